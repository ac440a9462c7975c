package gitdir

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// MetadataPath is where in the rootfs the metadata file stands.
const MetadataPath = tarball.GitMetadata

// metadataHead is how a metadata file begins.
const metadataHead = "#mtree\n# What git does not keep of these files, written by cloudlets git.\n"

// maxMetadata bounds a metadata file, in bytes.
const maxMetadata = 1 << 30

// metadata is what a metadata file says: the keywords of each path, as text. The
// path of the root is "".
type metadata map[string]string

// encode returns the text of a metadata file.
func (m metadata) encode() []byte {
	var b bytes.Buffer
	b.Grow(len(m) * 100)
	b.WriteString(metadataHead)
	for _, path := range m.paths() {
		b.WriteByte('.')
		if path != "" {
			b.WriteByte('/')
			b.WriteString(escape(path))
		}
		b.WriteByte(' ')
		b.WriteString(m[path])
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// paths returns the paths in order: a directory before what is in it.
func (m metadata) paths() []string { return slices.Sorted(maps.Keys(m)) }

// errMetadata means that a metadata file is not one.
var errMetadata = errors.New("not a valid metadata file")

// parseMetadata reads a metadata file. What its keywords say is not looked at.
func parseMetadata(text []byte) (metadata, error) {
	if len(text) > maxMetadata {
		return nil, fmt.Errorf("/%s: %w: %d bytes long, the limit is %d", MetadataPath, errMetadata, len(text), maxMetadata)
	}
	m := make(metadata, bytes.Count(text, []byte{'\n'}))
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		path, keywords, ok := cutLine(line)
		if !ok {
			return nil, fmt.Errorf("/%s: %w: line %d: expected ./PATH type=…, found %.60q: correct it, or take it from a commit with git restore", MetadataPath, errMetadata, number, line)
		}
		if _, twice := m[path]; twice {
			return nil, fmt.Errorf("/%s: %w: line %d: another line for %q: remove one of them", MetadataPath, errMetadata, number, path)
		}
		if len(m) == image.MaxFiles {
			return nil, fmt.Errorf("/%s: %w: more than %d lines", MetadataPath, errMetadata, image.MaxFiles)
		}
		m[path] = keywords
	}
	return m, nil
}

// cutLine takes the path from a line.
func cutLine(line string) (path, keywords string, ok bool) {
	name, keywords, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(keywords, "type=") {
		return "", "", false
	}
	if name == "." {
		return "", keywords, true
	}
	name, ok = strings.CutPrefix(name, "./")
	if !ok {
		return "", "", false
	}
	path, ok = unescape(name)
	return path, keywords, ok && isClean(path)
}

// isClean reports whether a path leads from the root to a file below it.
func isClean(path string) bool {
	if len(path) > tarball.MaxPath || strings.IndexByte(path, 0) >= 0 {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// escape writes bytes that could be taken for something else, or not be printed,
// as a backslash and three octal digits (mtree(5), vis(3)).
func escape(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' || r == '#' || r == '=' }) {
		return s
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '\\' || c == '#' || c == '=' {
			fmt.Fprintf(&b, "\\%03o", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// unescape is the inverse of escape.
func unescape(s string) (string, bool) {
	if !strings.Contains(s, "\\") {
		return s, true
	}
	var b strings.Builder
	for len(s) > 0 {
		if s[0] != '\\' {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		if len(s) < 4 || s[1] < '0' || s[1] > '3' || s[2] < '0' || s[2] > '7' || s[3] < '0' || s[3] > '7' {
			return "", false
		}
		b.WriteByte((s[1]-'0')<<6 | (s[2]-'0')<<3 | (s[3] - '0'))
		s = s[4:]
	}
	return b.String(), true
}
