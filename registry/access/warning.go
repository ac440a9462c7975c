package access

import (
	"fmt"
	"slices"
	"strings"
)

// maxWarning bounds the text of a warning, in bytes.
const maxWarning = 1000

// warning is a Warning that was checked.
type warning struct {
	repositories []pattern
	tags         []glob // none: whatever is asked for
	text         string
}

// newWarnings checks warnings.
func newWarnings(configured []Warning) ([]warning, error) {
	var all []warning
	for n, c := range configured {
		w, err := newWarning(c)
		if err != nil {
			return nil, fmt.Errorf("warnings[%d]: %w", n, err)
		}
		all = append(all, w)
	}
	return all, nil
}

func newWarning(c Warning) (warning, error) {
	w := warning{text: c.Text}
	if len(c.Repositories) == 0 || c.Text == "" {
		return w, fmt.Errorf("expected repositories and a text")
	}
	if len(c.Text) > maxWarning || strings.ContainsFunc(c.Text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return w, fmt.Errorf("text %.40q: expected one line of at most %d ASCII characters, as headers have", c.Text, maxWarning)
	}
	for _, text := range c.Repositories {
		p, err := parsePattern(text)
		if err != nil {
			return w, err
		}
		w.repositories = append(w.repositories, p)
	}
	for _, tag := range c.Tags {
		w.tags = append(w.tags, glob(tag))
	}
	return w, nil
}

// of says whether a warning is about what a reference names.
func (w *warning) of(repository, reference string) bool {
	if !slices.ContainsFunc(w.repositories, func(p pattern) bool { return p.match(repository) }) {
		return false
	}
	return len(w.tags) == 0 || slices.ContainsFunc(w.tags, func(g glob) bool { return g.match(reference) })
}

// Warnings returns what everybody is told who asks for a reference.
func (p *principal) Warnings(repository, reference string) []string {
	var texts []string
	for _, w := range p.policy.warnings {
		if w.of(repository, reference) {
			texts = append(texts, w.text)
		}
	}
	return texts
}
