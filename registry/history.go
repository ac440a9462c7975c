package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// serveHistory serves api.ComponentHistory.
func (s *Server) serveHistory(w http.ResponseWriter, r *http.Request, name, tag string) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return &Error{Status: http.StatusMethodNotAllowed, Code: CodeUnsupported,
			Message: r.Method + " is not possible here: a history is only added to, by changing the tag"}
	}
	if err := checkTag(tag); err != nil {
		return err
	}
	q := r.URL.Query()
	p, err := parsePage(q)
	if err != nil {
		return err
	}
	before, err := parseEventID(q.Get("last"))
	if err != nil {
		return err
	}
	events, err := s.meta.TagHistory(r.Context(), name, tag, before, p.n+1)
	if err != nil {
		return err
	}
	if len(events) == 0 && before == 0 && p.n > 0 {
		return metadata.ErrManifestUnknown
	}
	if len(events) > p.n {
		events = events[:p.n]
		if p.n > 0 {
			setNext(w, r.URL.Path, url.Values{}, p, strconv.FormatInt(events[p.n-1].ID, 10))
		}
	}
	named := Allowed(r.Context(), Need{ActionPush, name})
	return writeJSON(w, r, "application/json", api.TagHistory{Name: name, Tag: tag, Events: toldEvents(events, named)})
}

// parseEventID reads where a page of a history ended; empty is the beginning.
func parseEventID(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, &Error{Status: http.StatusBadRequest, Code: CodePaginationInvalid,
			Message: fmt.Sprintf("last=%s is not where a page ended: follow the Link header", text)}
	}
	return id, nil
}

// toldEvents returns events as they are told; named says whether with who was it.
func toldEvents(events []metadata.TagEvent, named bool) []api.TagEvent {
	told := make([]api.TagEvent, len(events))
	for i, e := range events {
		told[i] = api.TagEvent{ID: e.ID, Digest: string(e.Digest), Previous: string(e.Previous), At: e.At.UTC().Format(time.RFC3339Nano)}
		if named {
			told[i].Actor = e.Actor
		}
	}
	return told
}
