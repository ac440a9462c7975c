package container

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
)

func TestAParentIsGivenAndNeverOpened(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0f", 32)
	parent := Parent{Digest: extent.Digest(digest), Size: 1}
	for _, name := range []string{digest, "", "base.vhd", "/var/lib/base.qcow2", "./a:b.qcow2", `C:\disks\base.vhdx`, `..\base.vhdx`} {
		if p, err := GivenParent(parent).Find(name); err != nil || p != parent {
			t.Errorf("%s: got %v, %v", name, p, err)
		}
		var missing *ParentError
		if _, err := FindParent(nil).Find(name); !errors.As(err, &missing) || missing.Name != name || !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s, where no parent was given: %v", name, err)
		}
	}
	for _, name := range []string{"sha256:" + strings.Repeat("10", 32), "http://host/" + digest, "sha256:", digest[:70], digest + "0", strings.ToUpper(digest),
		"sha512:" + digest[7:], digest[:70] + "g", "json:{}", "nbd://host/disk", "nbd:unix:/socket", "fat:rw:/", "file:base", "base\x00", "a\x1b[2J",
		strings.Repeat("x", 1<<20) + "\n"} {
		_, err := GivenParent(parent).Find(name)
		if !errors.Is(err, ErrUnsupported) {
			t.Errorf("%.80q: %v, want ErrUnsupported", name, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%.80q: the error has %d bytes", name, len(err.Error()))
		}
	}
}
