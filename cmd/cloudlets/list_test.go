package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestListShowsRepositoriesAndTags(t *testing.T) {
	s := newServer(t)
	if got := ok(t, "ls", s.host); got != "" {
		t.Errorf("a registry without content lists %q", got)
	}
	rootfs := writeTar(t, smallRootfs())
	d := ok(t, "push", rootfs, s.ref("golden/small:1"))
	ok(t, "push", rootfs, s.ref("golden/small:2"))
	ok(t, "push", rootfs, s.ref("other:latest"))
	if got := ok(t, "ls", s.host); got != "golden/small\nother" {
		t.Errorf("the repositories are listed as %q", got)
	}
	for line := range strings.Lines(ok(t, "ls", s.ref("golden/small"))) {
		if !strings.Contains(line, d) {
			t.Errorf("the digest is not in %q", line)
		}
	}
	var tags []struct{ Tag, Digest string }
	if err := json.Unmarshal([]byte(ok(t, "ls", "--json", s.ref("golden/small"))), &tags); err != nil {
		t.Fatal(err)
	}
	if len(tags) != 2 || tags[0].Tag != "1" || tags[1].Tag != "2" || tags[1].Digest != d {
		t.Errorf("the tags are listed as %+v", tags)
	}
}
