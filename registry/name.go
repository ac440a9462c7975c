package registry

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	maxName = 255 // bytes of a repository name (distribution-spec, Pulling manifests)
	maxTag  = 128 // bytes of a tag
)

// checkName says whether name is the name of a repository:
//
//	component *( "/" component )
//	component = alnum+ *( ( "." | "_" | "__" | "-"+ ) alnum+ ), lower case
//
// (distribution-spec, section Pulling manifests).
func checkName(name string) error {
	if len(name) > maxName {
		return nameInvalid("the repository name is %d bytes long, at most %d are allowed", len(name), maxName)
	}
	for component := range strings.SplitSeq(name, "/") {
		if !validComponent(component) {
			return nameInvalid("the repository name %q is not valid: each part between slashes must be lower-case letters and digits, "+
				`with single ".", single or double "_", or any number of "-" between them`, name)
		}
	}
	return nil
}

func validComponent(s string) bool {
	alnum := false // whether the last byte was a letter or a digit
	for i := 0; i < len(s); {
		if isLower(s[i]) {
			alnum = true
			i++
			continue
		}
		n := separator(s[i:])
		if !alnum || n == 0 {
			return false
		}
		alnum = false
		i += n
	}
	return alnum
}

// separator returns the length of the separator that s begins with, or 0.
func separator(s string) int {
	switch {
	case s[0] == '.':
		return 1
	case strings.HasPrefix(s, "__"):
		return 2
	case s[0] == '_':
		return 1
	}
	return len(s) - len(strings.TrimLeft(s, "-"))
}

// checkTag says whether tag is a tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
// (distribution-spec, section Pulling manifests).
func checkTag(tag string) error {
	valid := len(tag) > 0 && len(tag) <= maxTag && tag[0] != '.' && tag[0] != '-'
	for i := 0; valid && i < len(tag); i++ {
		c := tag[i]
		valid = isLower(c) || c >= 'A' && c <= 'Z' || c == '_' || c == '.' || c == '-'
	}
	if !valid {
		return &Error{Status: 400, Code: CodeTagInvalid, Message: fmt.Sprintf(
			`the tag %q is not valid: it must be 1 to %d letters, digits, "_", "." and "-", and not begin with "." or "-"`, tag, maxTag)}
	}
	return nil
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// parseDigest returns the digest that s spells: sha256 or sha512 and lower-case
// hexadecimal (image-spec, descriptor.md, section Digests).
func parseDigest(s string) (digest.Digest, error) {
	algorithm, encoded, ok := strings.Cut(s, ":")
	if !ok {
		return "", digestInvalid(`%q is not a digest: expected "sha256:" or "sha512:" and hexadecimal digits`, s)
	}
	a, err := parseAlgorithm(algorithm)
	if err != nil {
		return "", err
	}
	if want := 2 * a.Size(); len(encoded) != want {
		return "", digestInvalid("the digest %q has %d digits, %s has %d", s, len(encoded), a, want)
	}
	for i := range len(encoded) {
		if c := encoded[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", digestInvalid("the digest %q has the digit %q: expected 0-9 and a-f", s, c)
		}
	}
	return digest.Digest(s), nil
}

// parseAlgorithm returns the digest algorithm of a name.
func parseAlgorithm(s string) (digest.Algorithm, error) {
	switch a := digest.Algorithm(s); a {
	case digest.SHA256, digest.SHA512:
		return a, nil
	}
	return "", digestInvalid("the digest algorithm %q is not supported: use sha256 or sha512", s)
}

// isDigest says whether a manifest's reference is a digest: no tag has a colon.
func isDigest(reference string) bool { return strings.IndexByte(reference, ':') >= 0 }
