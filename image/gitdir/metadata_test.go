package gitdir

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

// sampleLines are lines of metadata files, one for each type.
var sampleLines = []string{
	". type=dir mode=0755 uid=0 gid=0 time=1669570812.000000000",
	"./dev/null type=char mode=0666 uid=0 gid=5 time=-5.000000005 device=native,1,3",
	"./dev/sda type=block mode=0660 uid=0 gid=6 time=1.000000000 device=native,8,0",
	`./new\012line type=file mode=4755 uid=0 gid=2147483648 time=1.000000000 hardlink=./a\040b holes=0+4096,8192+1 xattr.user.a\075b=djE= xattr.user.empty=`,
	"./lib type=link uid=0 gid=0 time=1.000000000",
	"./run/initctl type=fifo mode=0600 uid=0 gid=0 time=1.000000000",
}

func TestInvalidMetadataIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no keywords":          "./a\n",
		"no type":              "./a mode=0644\n",
		"an absolute path":     "/a type=file\n",
		"a path that leaves":   "./a/../../b type=file\n",
		"a path twice":         "./a type=file\n./\\141 type=dir\n",
		"half an escape":       "./a\\01 type=file\n",
		"an escape of no byte": "./a\\777 type=file\n",
		"a zero byte":          "./a\\000 type=file\n",
	} {
		if m, err := parseMetadata([]byte(text)); err == nil {
			t.Errorf("%s: got %q", name, m)
		}
	}
	for name, text := range map[string]string{
		"an unknown type":        "type=door",
		"two types":              "type=file type=dir",
		"a mode of five digits":  "type=file mode=17777",
		"an owner below zero":    "type=file uid=-1",
		"half a time":            "type=file time=1.5",
		"a device with a tail":   "type=char device=native,1,3x",
		"a device of no numbers": "type=char device=native",
		"a link that leaves":     "type=file hardlink=./../a",
		"holes that overlap":     "type=file holes=0+4096,4095+1",
		"a hole without end":     "type=file holes=1+9223372036854775807",
		"an attribute twice":     "type=file xattr.user.a=YQ== xattr.user.a=YQ==",
		"no base64":              "type=file xattr.user.a=?",
	} {
		if d, err := parseKeywords(text); err == nil {
			t.Errorf("%s: got %+v", name, d)
		}
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(metadataHead + strings.Join(sampleLines, "\n") + "\n"))
	f.Add([]byte("\n# a remark\n./a type=file unknown"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := parseMetadata(text)
		if err != nil {
			return
		}
		again, err := parseMetadata(m.encode())
		if err != nil || !maps.Equal(m, again) {
			t.Fatalf("%q is written as %q, which is read as %q: %v", m, m.encode(), again, err)
		}
	})
}

func FuzzParseKeywords(f *testing.F) {
	for _, line := range sampleLines {
		_, keywords, _ := strings.Cut(line, " ")
		f.Add(keywords)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseKeywords(text)
		if err != nil || typeNames[d.inode.Type()] == "" {
			return
		}
		d.holes = nil // which come from the content, when they are written
		if kind := d.inode.Type(); kind != image.TypeChar && kind != image.TypeBlock {
			d.inode.Major, d.inode.Minor = 0, 0
		}
		if d.inode.Type() == image.TypeSymlink {
			d.inode.Mode |= 0o7777 // links have none
		}
		written := keywords(&d.inode, d.hardLink)
		again, err := parseKeywords(written)
		if d.inode.Type() == image.TypeSymlink {
			again.inode.Mode |= 0o7777
		}
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%q is written as %q, which is read as %+v: %v", text, written, again, err)
		}
	})
}
