package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// maxPage is how many entries an answer lists at most, and lists where the
// client names no number. The Link header leads to the next ones.
const maxPage = 1000

// page is the part of a list that a request asks for.
type page struct {
	n    int    // how many entries at most
	last string // the entry to go on after; empty from the beginning
}

// parsePage reads the parameters n and last.
func parsePage(q url.Values) (page, error) {
	p := page{n: maxPage, last: q.Get("last")}
	text := q.Get("n")
	if text == "" {
		return p, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return p, &Error{Status: http.StatusBadRequest, Code: CodePaginationInvalid,
			Message: fmt.Sprintf("n=%s is not a number of entries: expected 0 or more", text)}
	}
	p.n = int(min(n, maxPage))
	return p, nil
}

// setNext sets the Link header that leads to the entries after last
// (distribution-spec, section Listing Tags; RFC 5988).
func setNext(w http.ResponseWriter, path string, q url.Values, p page, last string) {
	q.Set("n", strconv.Itoa(p.n))
	q.Set("last", last)
	next := url.URL{Path: path, RawQuery: q.Encode()}
	w.Header().Set("Link", "<"+next.String()+`>; rel="next"`)
}

// take returns the first page of names, of which one more than asked for was
// looked up, and links to the next where there is one.
func take(w http.ResponseWriter, r *http.Request, p page, names []string) []string {
	if len(names) <= p.n {
		return append([]string{}, names...) // an empty list, not null, in JSON
	}
	names = names[:p.n]
	if p.n > 0 {
		setNext(w, r.URL.Path, url.Values{}, p, names[p.n-1])
	}
	return names
}

// getTags lists the tags of a repository.
func (s *Server) getTags(w http.ResponseWriter, r *http.Request, rt route) error {
	p, err := parsePage(r.URL.Query())
	if err != nil {
		return err
	}
	tags, err := s.meta.Tags(r.Context(), rt.name, p.last, p.n+1)
	if err != nil {
		return err
	}
	return writeJSON(w, r, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{rt.name, take(w, r, p, tags)})
}

// getCatalog lists the repositories. It is Docker's, not the specification's.
func (s *Server) getCatalog(w http.ResponseWriter, r *http.Request, _ route) error {
	p, err := parsePage(r.URL.Query())
	if err != nil {
		return err
	}
	names, err := s.listed(r.Context(), p.last, p.n+1)
	if err != nil {
		return err
	}
	return writeJSON(w, r, "application/json", struct {
		Repositories []string `json:"repositories"`
	}{take(w, r, p, names)})
}

func writeJSON(w http.ResponseWriter, r *http.Request, mediaType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return writeBody(w, r, mediaType, body)
}

// WriteJSON answers a request with a document and a status. That the client went
// away is no error here.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
	return nil
}

// writeBody writes a small answer. That the client went away is no error here.
func writeBody(w http.ResponseWriter, r *http.Request, mediaType string, body []byte) error {
	h := w.Header()
	h["Content-Type"] = []string{mediaType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return nil
}
