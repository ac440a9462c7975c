package main

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/api"
)

// postRender asks a registry for a render by hand.
func postRender(t testing.TB, s *server, query, body string) (status int, render api.Render) {
	t.Helper()
	resp, answer := s.do(t, http.MethodPost, "/v2/a/_cloudlets/renders"+query, "Content-Type", "application/json", strings.NewReader(body))
	if resp.StatusCode < http.StatusBadRequest {
		if err := json.Unmarshal([]byte(answer), &render); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, render
}

// A script that asks for a kernel, or is willing to wait, needs one request.
func TestRenderIsAnsweredWithItsArtifactWhereThatIsSoonKnown(t *testing.T) {
	s := newServer(t)
	image := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	for _, c := range []struct{ query, format string }{
		{"", `"format": "raw", "type": "kernel"`},
		{"?wait=30s", `"format": "qcow2", "size": 1073741824`},
	} {
		status, render := postRender(t, s, c.query, `{"image": "`+image+`", `+c.format+`}`)
		if status != http.StatusCreated || render.State != api.RenderDone || render.Artifact == "" {
			t.Errorf("%s: status %d, %+v", c.format, status, render)
		}
	}
}

func TestRenderRequestsAreReadWhole(t *testing.T) {
	s := newServer(t)
	image := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	request := `{"image": "` + image + `", "format": "qcow2"}`
	for name, c := range map[string]struct{ query, body string }{
		"two requests":       {"", request + request},
		"something after it": {"", request + "]"},
		"no time":            {"?wait=soon", request},
	} {
		if status, _ := postRender(t, s, c.query, c.body); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if resp, body := s.get(t, "/v2/a/_cloudlets/renders/"+image+"?wait=soon", "", ""); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("a state with no time: status %d, %s", resp.StatusCode, body)
	}
}

// What a person should know of an output does not depend on who asked first.
func TestRenderTellsTheSameEachTime(t *testing.T) {
	s := newServer(t)
	image := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	for _, format := range []string{`"format": "qcow2"`, `"format": "raw", "type": "kernel", "kernelArgs": "quiet"`, `"format": "pxe"`, `"format": "ironic"`} {
		_, first := postRender(t, s, "?wait=30s", `{"image": "`+image+`", `+format+`}`)
		_, again := postRender(t, s, "", `{"image": "`+image+`", `+format+`}`)
		if first.State != api.RenderDone || !reflect.DeepEqual(first, again) {
			t.Errorf("%s: first\n%+v\nthen\n%+v", format, first, again)
		}
		if first.CommandLine == "" && len(first.Boot)+len(first.Notes) == 0 {
			t.Errorf("%s: it tells nothing: %+v", format, first)
		}
	}
}

// What was rendered stays until it is collected, and is not what is asked for.
func TestNothingIsRenderedOfAnImageThatWasRemoved(t *testing.T) {
	s := newServer(t)
	image := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	request := `{"image": "` + image + `", "format": "raw", "type": "kernel"}`
	if status, _ := postRender(t, s, "", request); status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	ok(t, "rm", s.ref("a@"+image))
	if status, _ := postRender(t, s, "", request); status != http.StatusNotFound {
		t.Errorf("status %d", status)
	}
}
