package live_test

import (
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/live"
)

func TestLiveSystemsFetchTheirRootFilesystem(t *testing.T) {
	const livenet = "usr/lib/dracut/modules.d/90livenet/module-setup.sh"
	for name, test := range map[string]struct {
		files files
		want  string // empty: it cannot
	}{
		"live-boot":              {files{liveBoot: "x"}, "boot=live fetch=http://host/root.squashfs"},
		"dracut":                 {files{dracut: "x", livenet: "x"}, "root=live:http://host/root.squashfs rd.live.image rd.live.overlay.overlayfs=1 rd.neednet=1 ip=dhcp"},
		"dracut without network": {files{dracut: "x"}, ""},
		"casper":                 {files{casper: "x"}, ""},
		"no live system":         {files{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			args, ok := live.NetworkArguments(rootfs().With(test.files).Tree(make(convertertest.Blobs)), "http://host/root.squashfs")
			got := strings.Join(args, " ")
			if ok != (test.want != "") || ok && got != test.want+" console=tty0 console=ttyS0,115200" {
				t.Errorf("got %q, %v, want %q and the consoles", got, ok, test.want)
			}
		})
	}
}
