package main

import (
	"testing"
)

// TestHostileTemplatesEndAndTheServerLivesOn renders images whose templates do
// harm, in the server.
func TestHostileTemplatesEndAndTheServerLivesOn(t *testing.T) {
	s := newServer(t)
	manifest := `{"args": {"name": {"type": "string", "default": "golden"}}, "templates": ["/etc/motd"]}`
	rootfs := func(template string) string {
		return writeTar(t, []entry{
			dir(".", 0o755), dir("./.cloudlet", 0o755), dir("./etc", 0o755),
			regular("./.cloudlet/manifest", manifest), regular("./etc/motd", template),
		})
	}
	for name, c := range map[string]struct{ template, says string }{
		"an endless loop": {"first\n<% while (true) {} %>", "/etc/motd, line 2:"},
		"a huge string":   {"<%= 'x'.repeat(2**40) %>", "/etc/motd, line 1:"},
		"deep recursion":  {"\n\n<% function f() { return f() + 1 } f() %>", "/etc/motd, line 3:"},
		"a throw":         {"<% throw new Error('no such luck') %>", "no such luck"},
	} {
		t.Run(name, func(t *testing.T) {
			ok(t, "push", rootfs(c.template), s.ref("hostile/image:1"))
			fails(t, exitFailed, []string{c.says}, "render", s.ref("hostile/image:1"), "--format", "tar")
		})
	}
	ok(t, "push", rootfs("I am <%= args.name %>\n"), s.ref("hostile/image:1"))
	ok(t, "render", s.ref("hostile/image:1"), "--format", "tar")
}
