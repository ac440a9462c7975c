package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
)

// ManifestPath is where in the rootfs the cloudlet manifest stands, from the
// root. The directory it is in is reserved.
const ManifestPath = ".cloudlet/manifest"

// MaxManifestSize bounds a cloudlet manifest, in bytes.
const MaxManifestSize = 1 << 20

// CloudletManifest is what makes an image a cloudlet: the JSON of the Cloudlets
// format 0.0.4. The zero value is that of an image without one.
type CloudletManifest struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	Author      string `json:"author,omitempty"`
	Arch        string `json:"arch,omitempty"`

	// Args is a JSON schema of the arguments a user gives at render time.
	Args json.RawMessage `json:"args,omitempty"`
	// Templates are the paths of the files that are rendered with them.
	Templates []string `json:"templates,omitempty"`
	// Persistent are prefixes of paths whose content outlives an upgrade.
	Persistent []string `json:"persistent,omitempty"`
	// Volatile are regular expressions (RE2, as package regexp) of paths that
	// are left out of outputs, each anchored at the start. A path begins with a
	// slash there and does not end with one.
	Volatile []string `json:"volatile,omitempty"`
	// Entrypoints say how the image can be started.
	Entrypoints json.RawMessage `json:"entrypoints,omitempty"`

	// Unknown are the fields that this version does not know, as they stand.
	Unknown map[string]json.RawMessage `json:"-"`

	volatile []*regexp.Regexp
}

// ReadCloudletManifest returns the cloudlet manifest of a rootfs, or an empty one
// where it has none. open gives the blobs that files are extents of.
func ReadCloudletManifest(ctx context.Context, t *Tree, open extent.Opener) (*CloudletManifest, error) {
	if t.Lookup(ManifestPath) == nil {
		return &CloudletManifest{}, nil
	}
	data, err := readSmallFile(ctx, t, open, ManifestPath)
	if err != nil {
		return nil, fmt.Errorf("read the cloudlet manifest: %w", err)
	}
	return ParseCloudletManifest(data)
}

// readSmallFile returns the content of a regular file of at most MaxManifestSize.
func readSmallFile(ctx context.Context, t *Tree, open extent.Opener, path string) (content []byte, err error) {
	n, err := t.Resolve(path)
	if err != nil {
		return nil, err
	}
	if !n.IsRegular() {
		return nil, fmt.Errorf("/%s is not a regular file", path)
	}
	if n.Size() > MaxManifestSize {
		return nil, fmt.Errorf("/%s is %d bytes long, the limit is %d", path, n.Size(), MaxManifestSize)
	}
	var b extent.Builder
	for _, e := range n.Content {
		b.Extent(e)
	}
	m, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", path, err)
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	content = make([]byte, m.Size())
	if _, err := r.ReadAt(content, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("/%s: %w", path, err)
	}
	return content, nil
}

// ParseCloudletManifest reads a cloudlet manifest and checks it.
func ParseCloudletManifest(data []byte) (*CloudletManifest, error) {
	if len(data) > MaxManifestSize {
		return nil, fmt.Errorf("the cloudlet manifest is %d bytes long, the limit is %d", len(data), MaxManifestSize)
	}
	m := new(CloudletManifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("the cloudlet manifest is not valid: %w", err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("the cloudlet manifest is not valid: %w", err)
	}
	return m, nil
}

// plainManifest is a CloudletManifest without its methods.
type plainManifest CloudletManifest

// UnmarshalJSON reads a JSON object, and keeps the fields it does not know.
func (m *CloudletManifest) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte{'{'}) {
		return errors.New("expected a JSON object")
	}
	var p plainManifest
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if err := json.Unmarshal(data, &p.Unknown); err != nil {
		return err
	}
	for name := range knownFields() {
		maps.DeleteFunc(p.Unknown, func(key string, _ json.RawMessage) bool { return strings.EqualFold(key, name) })
	}
	*m = CloudletManifest(p)
	return nil
}

// MarshalJSON writes the known fields and the others, sorted by name.
func (m CloudletManifest) MarshalJSON() ([]byte, error) {
	data, err := json.Marshal(plainManifest(m))
	if err != nil || len(m.Unknown) == 0 {
		return data, err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, m.Unknown)
	return json.Marshal(all)
}

// knownFields returns the names that the struct's tags give to fields.
func knownFields() map[string]bool {
	known := make(map[string]bool)
	for f := range reflect.TypeFor[CloudletManifest]().Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			known[name] = true
		}
	}
	return known
}

func (m *CloudletManifest) check() error {
	if err := checkPaths("templates", m.Templates); err != nil {
		return err
	}
	if err := checkPaths("persistent", m.Persistent); err != nil {
		return err
	}
	if args := bytes.TrimSpace(m.Args); len(args) > 0 && args[0] != '{' && string(args) != "null" {
		return errors.New("args: expected a JSON object, a schema of the arguments")
	}
	for _, expr := range m.Volatile {
		// Python's match, which the format was made with, anchors the start only.
		re, err := regexp.Compile(`^(?:` + expr + `)`)
		if err != nil {
			return fmt.Errorf("volatile: %q: %w (expressions are RE2: without look-ahead, look-behind and back-references)", expr, err)
		}
		m.volatile = append(m.volatile, re)
	}
	return nil
}

func checkPaths(field string, paths []string) error {
	for _, path := range paths {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("%s: %q does not begin with a slash", field, path)
		}
		for part := range strings.SplitSeq(path, "/") {
			if part == ".." {
				return fmt.Errorf("%s: %q holds \"..\"", field, path)
			}
		}
	}
	return nil
}

// IsVolatile reports whether one of the volatile expressions matches a path that
// begins with a slash. It holds for manifests made by [ParseCloudletManifest].
func (m *CloudletManifest) IsVolatile(path string) bool {
	for _, re := range m.volatile {
		if re.MatchString(path) {
			return true
		}
	}
	return false
}

// DropVolatile returns a tree without the volatile files of the manifest: those
// an expression matches, and what is in a directory that one matches. The
// expression "/tmp/.*" empties /tmp and leaves it, "/tmp" takes it away too —
// and "/tmpfiles" with it. The tree t itself is not changed; where nothing is volatile
// it is returned.
func DropVolatile(t *Tree, m *CloudletManifest) *Tree {
	if len(m.volatile) == 0 {
		return t
	}
	t = t.Clone()
	m.dropFrom(t.Root, "/")
	t.Sort()
	return t
}

func (m *CloudletManifest) dropFrom(dir *Inode, prefix string) {
	for _, name := range dir.Names() {
		path := prefix + name
		if m.IsVolatile(path) {
			dir.RemoveAll(name)
			continue
		}
		if child := dir.Lookup(name); child.IsDir() {
			m.dropFrom(child, path+"/")
		}
	}
}
