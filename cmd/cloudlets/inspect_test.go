package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
)

func TestInspectTellsOfImage(t *testing.T) {
	s := newServer(t)
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	words := ok(t, "inspect", s.ref("golden/small:1"))
	for _, want := range []string{s.ref("golden/small"), d, "amd64", "linux", "tar+zstd"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not in\n%s", want, words)
		}
	}
	var summary struct {
		Name, Digest, Architecture string
		Cloudlet                   struct{ Name string }
		Layers                     []struct{ Digest string }
	}
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", s.ref("golden/small@"+d))), &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Digest != d || summary.Architecture != "amd64" || summary.Cloudlet.Name != "small" || len(summary.Layers) != 1 {
		t.Errorf("got %+v", summary)
	}
	raw := cloudlets(t, "inspect", "--raw", s.ref("golden/small:1")).stdout
	if got := digest.FromString(raw).String(); got != d {
		t.Errorf("the raw manifest has the digest %s, want %s", got, d)
	}
}

func TestTextOfOthersDoesNothingToATerminal(t *testing.T) {
	const evil = "fine\x1b]0;evil\x07"
	var out strings.Builder
	printVersion(&out, client.Version{Committer: evil, Message: "A title\n\n\tand " + evil})
	printDiff(&out, &client.Difference{Files: []client.FileDifference{{Change: "A", Path: evil}}}, false)
	printHolds(&out, []api.Hold{{Reference: "12", Actor: evil, Reason: evil}})
	printEvents(&out, []api.TagEvent{{Actor: evil}})
	if text := out.String(); strings.ContainsAny(text, "\x1b\x07") || !strings.Contains(text, "\n    \tand fine") {
		t.Errorf("what is printed is %q", text)
	}
}
