package registry

import (
	"net/http"
	"strings"
)

// maxWarnings bounds the text of an answer's warnings, in bytes
// (distribution-spec, section Warnings).
const maxWarnings = 4096

// Warned is a [Principal] that is told what to know of an image.
type Warned interface {
	// Warnings returns texts of printable ASCII about what a manifest's
	// reference, a tag or a digest, names.
	Warnings(repository, reference string) []string
}

// warn adds what is to be known to the answer of a request for a manifest: code
// 299, no agent, no date (distribution-spec, section Warnings; RFC 7234, section
// 5.5).
func warn(w http.ResponseWriter, r *http.Request, rt route) {
	who, ok := r.Context().Value(principalKey{}).(Warned)
	if !ok || rt.endpoint != endpointManifest {
		return
	}
	left := maxWarnings
	for _, text := range who.Warnings(rt.name, rt.reference) {
		value := `299 - "` + quoting.Replace(text) + `"`
		if left -= len(value); left < 0 {
			return
		}
		w.Header().Add("Warning", value)
	}
}

// quoting makes the inside of a quoted-string (RFC 9110, section 5.6.4).
var quoting = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
