package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

func fromJSON[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return v
}

func TestTagsAreSetAndRemovedAndRemembered(t *testing.T) {
	s := newServer(t)
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	if got := ok(t, "tag", s.ref("golden/small:1"), "2", "latest"); got != d {
		t.Errorf("tagged %s, want %s", got, d)
	}
	tagged := fromJSON[changed](t, ok(t, "tag", "--json", s.ref("golden/small@"+d), "3"))
	if tagged.Digest.String() != d || len(tagged.Tags) != 1 {
		t.Errorf("got %+v", tagged)
	}
	ok(t, "rm", s.ref("golden/small:2"))
	if tags := ok(t, "ls", s.ref("golden/small")); strings.Contains(tags, "2  ") || strings.Count(tags, d) != 3 {
		t.Errorf("the tags are\n%s", tags)
	}
	events := fromJSON[[]api.TagEvent](t, ok(t, "history", "--json", s.ref("golden/small:2")))
	if len(events) != 2 || events[0].Digest != "" || events[0].Previous != d || events[1].Digest != d {
		t.Errorf("the history is %+v", events)
	}
	if lines := ok(t, "history", "--limit", "1", s.ref("golden/small:2")); !strings.Contains(lines, "deleted") || strings.Contains(lines, "\n") {
		t.Errorf("the history is printed as\n%s", lines)
	}
	if lines := ok(t, "history", s.ref("golden/small")); !strings.Contains(lines, d) {
		t.Errorf("the history of latest is printed as\n%s", lines)
	}
	ok(t, "rm", s.ref("golden/small@"+d))
	fails(t, exitNotFound, []string{"golden/small:1"}, "inspect", s.ref("golden/small:1"))
}

func TestTagCommandsRefuse(t *testing.T) {
	s := newServer(t)
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	fails(t, exitUsage, []string{"TAG"}, "tag", s.ref("golden/small:1"))
	fails(t, exitUsage, []string{"not a tag"}, "tag", s.ref("golden/small:1"), s.ref("golden/small:2"))
	fails(t, exitNotFound, nil, "tag", s.ref("golden/small:9"), "2")
	fails(t, exitUsage, []string{"tag or a digest"}, "rm", s.ref("golden/small"))
	fails(t, exitNotFound, nil, "rm", s.ref("golden/small:9"))
	fails(t, exitNotFound, nil, "history", s.ref("golden/small:9"))
	fails(t, exitUsage, []string{"expected a tag"}, "history", s.ref("golden/small@"+d))
	fails(t, exitUsage, []string{"--reason"}, "retention", "hold", s.ref("golden/small:1"))
	fails(t, exitUsage, []string{"tag or a digest"}, "retention", "hold", s.ref("golden/small"), "--reason", "x")
	fails(t, exitUsage, []string{"@DIGEST"}, "retention", "restore", s.ref("golden/small:1"))
	fails(t, exitNotFound, nil, "retention", "restore", s.ref("golden/small@"+digest.FromString("never").String()))
	fails(t, exitNotFound, nil, "retention", "release", s.ref("golden/small:1"))
}

func TestHeldStaysAndRemovedComesBack(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	d := ok(t, "push", rootfs, s.ref("golden/small:1"))
	ok(t, "retention", "hold", s.ref("golden/small:1"), "--reason", "audit")
	holds := fromJSON[[]api.Hold](t, ok(t, "retention", "holds", "--json", s.ref("golden/small")))
	if len(holds) != 1 || holds[0].Reference != "1" || holds[0].Reason != "audit" {
		t.Errorf("got %+v", holds)
	}
	fails(t, exitFailed, []string{`on hold ("audit")`}, "rm", s.ref("golden/small:1"))
	fails(t, exitFailed, []string{"on hold"}, "rm", s.ref("golden/small@"+d))
	ok(t, "retention", "release", s.ref("golden/small:1"))
	ok(t, "rm", s.ref("golden/small@"+d))
	if lines := ok(t, "retention", "removed", s.ref("golden/small")); !strings.Contains(lines, d) {
		t.Errorf("what was removed is listed as\n%s", lines)
	}
	ok(t, "retention", "restore", s.ref("golden/small@"+d), "--tag", "1", "--tag", "2")
	back := filepath.Join(t.TempDir(), "back.tar")
	ok(t, "pull", s.ref("golden/small:2"), "-o", back)
	same(t, back, rootfs)
}
