package gc

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry"
)

// TestHoldAndUndeleteOverHTTP pushes an image, puts it on hold, deletes it once
// the hold was lifted, and puts it again after its blob was collected.
func TestHoldAndUndeleteOverHTTP(t *testing.T) {
	w := newWorld(t, engines["sqlite"], 0, Policy{})
	var handler *Handler
	server, err := registry.New(registry.Config{
		Blobs: w.blobs, Metadata: w.meta, Log: slog.New(slog.DiscardHandler),
		Extensions: map[string]registry.ExtensionHandler{
			api.ComponentRetention: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return handler.ServeExtension(w, r, name, rest)
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler = NewHandler(w.meta, server)
	h := httptest.NewServer(server)
	defer h.Close()
	do := func(method, path, body string, want int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s %s: got %d: %s, %v, want %d", method, path, resp.StatusCode, got, err, want)
		}
		return string(got)
	}
	blob := w.mustPush("a", "{}")
	image := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
		"config":{"mediaType":"application/json","digest":%q,"size":2},"layers":[]}`, blob)
	manifest := "/v2/a/manifests/" + string(digest.FromString(image))
	const extension = "/v2/a/_cloudlets/retention/"
	do("PUT", "/v2/a/manifests/v1", image, 201)

	do("PUT", extension+"holds/v9", `{"reason":"court"}`, 404)
	do("PUT", extension+"holds/v1", `no`, 400)
	do("PUT", extension+"holds/v1", `{"reason":"court"}`, 201)
	var holds []api.Hold
	if err := json.Unmarshal([]byte(do("GET", extension+"holds", "", 200)), &holds); err != nil ||
		len(holds) != 1 || holds[0] != (api.Hold{Reference: "v1", Reason: "court", Actor: "anonymous"}) {
		t.Errorf("got %+v, %v", holds, err)
	}
	do("DELETE", manifest, "", 403)
	do("DELETE", extension+"holds/v1", "", 202)
	do("DELETE", manifest, "", 202)

	w.clock.Pass(lease)
	if r := w.mustCollect(); r.Reviewed.Blobs != 1 {
		t.Fatalf("got %+v, want the blob to be collected", r)
	}
	var removed []api.Removed
	if err := json.Unmarshal([]byte(do("GET", extension+"removed", "", 200)), &removed); err != nil {
		t.Fatal(err)
	}
	t.Logf("removed: %+v", removed)
	do("POST", extension+"removed/"+string(digest.FromString(image))+"?tag=v1", "", 201)
	if got := do("GET", "/v2/a/manifests/v1", "", 200); got != image {
		t.Errorf("got %s", got)
	}
	do("GET", "/v2/a/blobs/"+string(blob), "", 200)
	do("POST", extension+"removed/"+string(digest.FromString("never")), "", 404)
	do("POST", extension+"removed/x", "", 400)
	do("GET", extension+"x", "", 404)
}
