package iso9660

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

// sample is a tree with a file of every kind, names and targets of every length,
// and more than eight levels of directories.
func sample() contents {
	c := newContents()
	c.put("etc/hostname", c.regular("image\n"))
	c.put("etc/empty", c.regular(""))
	c.put("etc/Hostname", c.regular("another"))
	c.put("a.b.c/read.me.first", c.regular(strings.Repeat("read me\n", 5000)))
	c.put("etc/"+strings.Repeat("long", 63)+"abc", c.regular("long"))
	c.put("etc/"+strings.Repeat("é", 127), c.regular("not ASCII"))
	c.put("1/2/3/4/5/6/7/8/9/10/11/12", c.regular("deep"))
	for target := 1; target <= 240; target += 60 {
		c.put(fmt.Sprintf("links/%d", target), symlink(strings.Repeat("target/", 600)[:target]))
	}
	for name, target := range map[string]string{
		"root": "/", "absolute": "/etc/hostname", "up": "../../x", "here": "./x/./y", "component": strings.Repeat("c", 300),
	} {
		c.put("links/"+name, symlink(target))
	}
	c.put("dev/null", deviceInode(image.TypeChar, 1, 3))
	c.put("dev/sda", deviceInode(image.TypeBlock, 8, 0))
	c.put("dev/none", deviceInode(image.TypeChar, 0, 0))
	c.put("dev/pipe", deviceInode(image.TypeFIFO, 0, 0))
	linked := c.regular("linked")
	for _, name := range []string{"one", "etc/two", "z/three"} {
		c.put(name, linked)
	}
	owned := c.regular("owned")
	owned.Mode, owned.UID, owned.GID, owned.ModTime = image.TypeRegular|0o6751, 1000, 4_000_000_000, image.Time{Sec: 1_700_000_000}
	c.put("owned", owned)
	old := directoryInode()
	old.ModTime = image.Time{Sec: -1_000_000_000}
	c.put("old", old)
	return c
}

func TestLibarchiveReadsWhatIsPlanned(t *testing.T) {
	c := sample()
	mustEqual(t, "what bsdtar reads", byBsdtar(t, c.write(t, Options{})), c)
}

func TestXorrisoExtractsWhatIsPlanned(t *testing.T) {
	c := sample()
	for _, o := range []Options{{}, {Joliet: true, Label: "LABEL_1"}} {
		got := byXorriso(t, c.write(t, o), filepath.Join(t.TempDir(), "out"))
		mustEqual(t, "what xorriso extracts", got, extractable(c))
	}
}
