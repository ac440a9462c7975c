package qemu

import (
	"bytes"
	"strings"
	"testing"
)

func TestWatcherHearsTheKernelAndTheText(t *testing.T) {
	for name, c := range map[string]struct {
		writes       []string
		spoken, seen bool
	}{
		"firmware alone":         {[]string{"SeaBIOS (version 1.16)\r\n", "Booting from Hard Disk...\r\n", "GRUB loading"}, false, false},
		"a kernel's time stamp":  {[]string{"[    0.000000] Linux version 6.1.0"}, true, false},
		"a stamp in two writes":  {[]string{"\r\n[    0.00", "0000] Command line"}, true, false},
		"a late stamp":           {[]string{"[12345.678901] oops"}, true, false},
		"a quiet kernel's login": {[]string{"Debian GNU/Linux 12\n\nvm login: "}, true, true},
		"text in two writes":     {[]string{"vm log", "in: "}, true, true},
		"text after much output": {[]string{strings.Repeat("x", 3*watched), "login:"}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var spoken, seen int
			w := &watcher{w: &out, until: "login:", seen: func() { seen++ }, spoken: func() { spoken++ }}
			for _, s := range c.writes {
				if _, err := w.Write([]byte(s)); err != nil {
					t.Fatal(err)
				}
			}
			if (spoken == 1) != c.spoken || (seen == 1) != c.seen {
				t.Errorf("heard the kernel %d times and the text %d times", spoken, seen)
			}
			if out.String() != strings.Join(c.writes, "") {
				t.Error("the console shows something else")
			}
		})
	}
}

func TestArguments(t *testing.T) {
	args, err := Machine{Disk: "/tmp/a,b.qcow2", Format: "qcow2"}.args(AccelTCG, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(args, " ")
	for _, want := range []string{"-accel tcg", "-m 1024", "-smp 2", "file=/tmp/a,,b.qcow2,format=qcow2"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in %s", want, all)
		}
	}
}

func TestUnknownWordsAreRefused(t *testing.T) {
	for _, m := range []Machine{{Firmware: "coreboot"}, {Accel: "warp"}} {
		if err := m.Check(); err == nil {
			t.Errorf("%+v was taken", m)
		}
	}
}
