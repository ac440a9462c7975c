package configure

import (
	"encoding/json"
	"regexp"

	"github.com/cloudlets/cloudlets/image/template"
)

// Report says how an image was configured.
type Report struct {
	templates []template.Template
}

// Unused returns the parts of the configuration, as it was given, that have no
// effect: dns, ip or args that no template names.
func (r Report) Unused(given []byte) []string {
	var parts map[string]json.RawMessage
	if json.Unmarshal(given, &parts) != nil {
		return nil
	}
	var unused []string
	for _, part := range []string{"dns", "ip", "args"} {
		if len(parts[part]) > 0 && !r.names(part) {
			unused = append(unused, part)
		}
	}
	return unused
}

// names reports whether a template has the name of a part, or of the object that
// holds them all.
func (r Report) names(part string) bool {
	name := regexp.MustCompile(`\b(` + part + `|locals)\b`)
	for _, t := range r.templates {
		if name.Match(t.Text) {
			return true
		}
	}
	return false
}
