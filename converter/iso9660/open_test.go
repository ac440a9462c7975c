package iso9660

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/image"
)

func TestOpenReadsWhatIsPlanned(t *testing.T) {
	c := sample()
	for i := range 10 {
		c.put("links/long"+strings.Repeat("x", i), symlink(strings.Repeat("target/", 600)[:maxTarget-i*400]))
	}
	c.put("links/slashes", symlink("//a///b/"))
	c.put("dev/large", deviceInode(image.TypeChar, 4000, 1_000_000))
	c.put("dev/minor", deviceInode(image.TypeBlock, 0, 70_000))
	for _, o := range []Options{{}, {Joliet: true}} {
		mustEqual(t, "what Open reads", mustOpen(t, c.write(t, o)), c)
	}
}

// source writes a tree into a directory, for other programs to make volumes of.
// Its deepest directories are more than eight levels down.
func source(t *testing.T) (string, contents) {
	t.Helper()
	dir := t.TempDir()
	file := func(path, content string) {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file("etc/hostname", "image\n")
	file("etc/empty", "")
	file("etc/Mixed Case Name.with.dots", "mixed")
	file("etc/"+strings.Repeat("n", 250), "long")
	file("big", strings.Repeat("content ", 100_000))
	file("1/2/3/4/5/6/7/8/9/10/11/deep", "deep")
	file("1/2/3/4/5/6/7/8/x/y/z/deep too", "deep")
	for i := range 100 {
		file("many/"+strings.Repeat("m", i+1), strings.Repeat("m", i))
	}
	for name, target := range map[string]string{"link": "etc/hostname", "up": "../x", "root": "/", "long": strings.Repeat("abc/", 20) + "end"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(filepath.Join(dir, "big"), filepath.Join(dir, "etc/linked")); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"big": 0o755 | os.ModeSetuid, "etc": 0o700, "many": 0o777 | os.ModeSticky} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir, fromDir(t, dir)
}

func TestOpenReadsWhatOthersMake(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	convertertest.Need(t, "genisoimage", "genisoimage")
	dir, want := source(t)
	unlinked := want
	unlinked.tree = want.tree.Clone()
	linked := unlinked.tree.Root.Lookup("big").Bare()
	unlinked.tree.Root.Lookup("etc").Link("linked", linked)
	xorriso := func(options ...string) []string {
		return append(append([]string{"xorriso", "-as", "mkisofs"}, options...), "-quiet")
	}
	for _, test := range []struct {
		name    string
		command []string
		want    contents
	}{
		{"xorriso", xorriso("-R"), unlinked},
		{"xorriso, Joliet", xorriso("-R", "-J", "-joliet-long"), unlinked},
		{"xorriso, hard links", xorriso("-R", "--hardlinks"), want},
		{"xorriso, moved directories", xorriso("-R", "-disallow_dir_id_ext"), unlinked},
		{"genisoimage", []string{"genisoimage", "-quiet", "-R"}, unlinked},
		{"genisoimage, deep", []string{"genisoimage", "-quiet", "-R", "-D", "-iso-level", "3"}, unlinked},
		{"genisoimage, Joliet", []string{"genisoimage", "-quiet", "-R", "-J", "-joliet-long", "-iso-level", "3"}, unlinked},
		{"genisoimage, UDF", []string{"genisoimage", "-quiet", "-R", "-udf", "-allow-limited-size"}, unlinked},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "volume.iso")
			convertertest.Run(t, test.command[0], append(test.command[1:], "-o", path, dir)...)
			mustEqual(t, "what Open reads", mustOpen(t, path), test.want)
		})
	}
}

func TestOpenReadsTheNewestRockRidge(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	dir, want := source(t)
	path := filepath.Join(t.TempDir(), "volume.iso")
	convertertest.Run(t, "xorriso", "-compliance", "new_rr", "-hardlinks", "on", "-outdev", path, "-map", dir, "/")
	mustEqual(t, "what Open reads", mustOpen(t, path), want)
}

// Two sessions, the second of which replaces a file of the first.
func TestOpenReadsTheLastSession(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	path := filepath.Join(t.TempDir(), "volume.iso")
	first, second := t.TempDir(), t.TempDir()
	for dir, content := range map[string]string{first: "first", second: "second"} {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	convertertest.Run(t, "xorriso", "-outdev", path, "-map", first, "/")
	convertertest.Run(t, "xorriso", "-dev", path, "-update_r", second, "/")
	mustEqual(t, "what Open reads", mustOpen(t, path), fromDir(t, second))
}

// A volume with Joliet, HFS+, two boot images and a GUID partition table.
func TestOpenReadsAnISOHybrid(t *testing.T) {
	convertertest.Need(t, "grub-mkrescue", "grub-common")
	convertertest.Need(t, "mformat", "mtools")
	dir, want := source(t)
	path := filepath.Join(t.TempDir(), "volume.iso")
	convertertest.Run(t, "grub-mkrescue", "-o", path, dir)
	got := mustOpen(t, path)
	for path, n := range want.tree.Walk() {
		// grub-mkrescue adds files, and gives all the same owner and modes.
		same := got.tree.Lookup(path)
		if same == nil || same.Type() != n.Type() || same.Target != n.Target || !bytes.Equal(got.sum(t, same), want.sum(t, n)) {
			t.Errorf("/%s is %+v, want %+v", path, same, n)
		}
	}
}

func TestOpenFallsBackToOtherNames(t *testing.T) {
	convertertest.Need(t, "genisoimage", "genisoimage")
	dir := t.TempDir()
	name := "Mixed Case ünd länger"
	if err := os.WriteFile(filepath.Join(dir, name+".text"), []byte("content"), 0o755); err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]string{"-J": name + ".text", "-l": "mixed_case___nd_l__nger.text", "-U": "mixed case __nd l__nger.text"} {
		path := filepath.Join(t.TempDir(), "volume.iso")
		convertertest.Run(t, "genisoimage", "-quiet", "-input-charset", "utf-8", option, "-o", path, dir)
		c := mustOpen(t, path)
		if names := c.tree.Root.Names(); len(names) != 1 || names[0] != want {
			t.Errorf("with %s the names are %q, want %q", option, names, want)
			continue
		}
		n := c.tree.Root.Lookup(want)
		if n.Mode != image.TypeRegular|0o444 || n.Size() != 7 {
			t.Errorf("with %s the file has the mode %o and %d bytes", option, n.Mode, n.Size())
		}
	}
}

func TestOpenRefusesCompressedFiles(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("text "), 100_000), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "volume.iso")
	convertertest.Run(t, "xorriso", "-outdev", path, "-map", dir, "/", "-set_filter_r", "--zisofs", "/", "--")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = openBytes(file)
	mustWrap(t, err, container.ErrUnsupported, "zisofs", "FILE")
}
