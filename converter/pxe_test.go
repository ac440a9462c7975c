package converter

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

func TestWhatBootsFromTheNetworkDependsOnTheInitrd(t *testing.T) {
	const liveBoot = "usr/share/initramfs-tools/scripts/live"
	kernel := convertertest.Files{"boot/vmlinuz-6.1": "kernel", "etc/hostname": "image\n", "sbin/init": "init"}
	initrd := convertertest.Files{"boot/initrd.img-6.1": "initrd"}
	memory, live := []string{"boot.ipxe", "vmlinuz", "root.cpio"}, []string{"boot.ipxe", "vmlinuz", "initrd", "root.squashfs"}
	for name, test := range map[string]struct {
		files convertertest.Files
		want  []string
		line  string // of the script
	}{
		"an initrd of a live system": {initrd.With(convertertest.Files{liveBoot: "x"}), live, "kernel vmlinuz initrd=initrd boot=live fetch=${base}root.squashfs console=tty0 "},
		"another initrd":             {initrd, memory, "kernel vmlinuz initrd=root.cpio rdinit=/sbin/init "},
		"a live system, no initrd":   {convertertest.Files{liveBoot: "x"}, memory, "kernel vmlinuz initrd=root.cpio rdinit=/sbin/init "},
	} {
		for _, compress := range []string{"", "zstd"} {
			t.Run(name+" "+compress, func(t *testing.T) {
				blobs := make(convertertest.Blobs)
				in := Input{Tree: kernel.With(test.files).Tree(blobs), Open: blobs, Spool: blobs}
				p := Parameters{Format: "pxe", Compress: compress}
				p.Disk.Seed, p.Disk.KernelArgs = "sha256:test", []string{"quiet"}
				out, err := Render(t.Context(), in, p)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, f := range out.Files {
					names = append(names, f.Name)
				}
				if !slices.Equal(names, test.want) {
					t.Errorf("the files are %q, want %q", names, test.want)
				}
				script := string(convertertest.Bytes(t, out.Files[0].Map, blobs))
				if !strings.Contains(script, test.line) || !strings.Contains(script, " quiet\n") {
					t.Errorf("the script is\n%s\nwant %q in it", script, test.line)
				}
				if told := len(out.Notes) > 0; told != (compress != "" && slices.Equal(test.want, memory)) {
					t.Errorf("the notes are %q", out.Notes)
				}
			})
		}
	}
}
