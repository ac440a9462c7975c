package configure

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/template"
)

// Renderer renders templates. A [template.Runner] is one.
type Renderer interface {
	Render(ctx context.Context, templates []template.Template, scope template.Scope) ([][]byte, error)
}

// Input is an image and what it is configured with.
type Input struct {
	Tree *image.Tree
	// Open gives the blobs that files of the tree are extents of.
	Open extent.Opener
	// Manifest is the image's cloudlet manifest.
	Manifest *cloudlet.Manifest
	// Configuration is valid for Manifest.
	Configuration *cloudlet.Configuration
	// Env is the environment that templates see; nil is an empty one.
	Env map[string]string
}

// Needed reports whether an image is configured before it is rendered: with a
// configuration that is given, or with the defaults that its templates want. One
// that was configured before is rendered as it is.
func Needed(t *image.Tree, m *cloudlet.Manifest, given []byte) bool {
	return len(given) > 0 || len(m.Templates) > 0 && !Configured(t)
}

// Apply returns the tree of a configured image. The tree that is given is not
// changed, and shares with the result what is the same.
//
// The host name of the configuration goes to /etc/hostname, instead of what a
// template there would give. A template that is volatile and not in the tree is
// passed over. The error is ErrConfigured, a [*template.Error], or says which file
// is missing.
func Apply(ctx context.Context, in Input, r Renderer) (*image.Tree, Report, error) {
	if Configured(in.Tree) {
		return nil, Report{}, ErrConfigured
	}
	a := applier{Input: in}
	if err := a.render(ctx, r); err != nil {
		return nil, Report{}, err
	}
	if err := a.hostname(); err != nil {
		return nil, Report{}, err
	}
	if err := a.record(); err != nil {
		return nil, Report{}, err
	}
	return a.edit.Apply(in.Tree), a.report, nil
}

type applier struct {
	Input
	edit   image.Edit
	report Report
}

// render renders the templates of the image.
func (a *applier) render(ctx context.Context, r Renderer) error {
	files, templates, err := a.templates(ctx)
	if err != nil || len(templates) == 0 {
		return err
	}
	scope, err := a.scope()
	if err != nil {
		return err
	}
	outputs, err := r.Render(ctx, templates, scope)
	if err != nil {
		return err
	}
	for i, file := range files {
		a.setContent(file, outputs[i])
	}
	a.report.templates = templates
	return nil
}

// maxTemplate bounds what is read of a template, in bytes. It is more than a
// Renderer takes.
const maxTemplate = 16 << 20

// templates reads the templates of the image: each file once, whatever names the
// manifest has for it.
func (a *applier) templates(ctx context.Context) (files []*image.Inode, templates []template.Template, err error) {
	seen := make(map[*image.Inode]bool)
	classifier := a.Manifest.Classifier()
	for _, name := range a.Manifest.Templates {
		class, err := classifier.Classes(path.Clean(name))
		if err != nil {
			return nil, nil, err
		}
		file, err := a.Tree.Resolve(name)
		if err != nil {
			if class&cloudlet.Volatile != 0 {
				continue
			}
			return nil, nil, fmt.Errorf("template %s: expected a file in the image, as the cloudlet manifest lists it: %w", name, err)
		}
		if seen[file] {
			continue
		}
		seen[file] = true
		text, err := file.Read(ctx, a.Open, maxTemplate)
		if err != nil {
			return nil, nil, fmt.Errorf("template %s: %w", name, err)
		}
		files = append(files, file)
		templates = append(templates, template.Template{Path: path.Clean(name), Text: text})
	}
	return files, templates, nil
}

// scope returns what templates see.
func (a *applier) scope() (s template.Scope, err error) {
	for _, v := range []struct {
		name string
		into *json.RawMessage
	}{{"args", &s.Args}, {"dns", &s.DNS}, {"ip", &s.IP}} {
		if *v.into, err = a.Configuration.Part(v.name); err != nil {
			return s, err
		}
	}
	if s.Manifest, err = a.Manifest.MarshalJSON(); err != nil {
		return s, err
	}
	if len(a.Env) > 0 {
		if s.Env, err = json.Marshal(a.Env); err != nil {
			return s, err
		}
	}
	s.Secrets, err = a.Configuration.SecretValues()
	return s, err
}

// setContent gives a regular file other content and nothing else.
func (a *applier) setContent(file *image.Inode, content []byte) {
	changed := new(*file)
	changed.SetContent(content)
	a.edit.Replace(file, changed)
}

// newFile returns a file of root's that is dated as the directory it goes to, so
// that its time says nothing of when it was made. Planners place its content last,
// so that all other content stays where it is without the configuration: what
// differs is little then, see render --parent.
func newFile(dir *image.Inode, content []byte) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: dir.ModTime, Order: math.MaxInt64}
	n.SetContent(content)
	return n
}

// hostname sets the host name, if the configuration has one.
func (a *applier) hostname() error {
	name := a.Configuration.Hostname()
	if name == "" {
		return nil
	}
	etc, err := a.Tree.Resolve("/etc")
	if err != nil || !etc.IsDir() {
		return fmt.Errorf("set the host name to %s: the image has no directory /etc", name)
	}
	content := []byte(name + "\n")
	old := etc.Lookup("hostname")
	switch {
	case old != nil && old.IsDir():
		return fmt.Errorf("set the host name to %s: /etc/hostname is a directory", name)
	case old != nil && old.IsRegular():
		a.setContent(old, content)
	default:
		a.edit.Put(etc, "hostname", newFile(etc, content))
	}
	return nil
}

// record records the configuration, without its secrets.
func (a *applier) record() error {
	redacted, err := a.Configuration.Redacted()
	if err != nil {
		return err
	}
	redacted = append(redacted, '\n')
	reserved := a.Tree.Lookup(path.Dir(RecordPath))
	switch {
	case reserved == nil:
		dir := &image.Inode{Mode: image.TypeDir | 0o755, ModTime: a.Tree.Root.ModTime}
		dir.Link(path.Base(RecordPath), newFile(dir, redacted))
		a.edit.Put(a.Tree.Root, path.Dir(RecordPath), dir)
	case !reserved.IsDir():
		return fmt.Errorf("/%s is reserved for a directory, and the image has something else there", path.Dir(RecordPath))
	default:
		a.edit.Put(reserved, path.Base(RecordPath), newFile(reserved, redacted))
	}
	return nil
}
