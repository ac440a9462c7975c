package client

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
)

// DiffOptions say how images are compared.
type DiffOptions struct {
	Times bool // count files that differ in their time only
	Exact bool // as in NewContents
	Patch bool // say how text has changed
}

// Difference is where two images differ.
type Difference struct {
	Files   []FileDifference `json:"files"`
	Added   int              `json:"added"`
	Removed int              `json:"removed"`
	Changed int              `json:"changed"`
	Bytes   int64            `json:"bytes"` // of content, the second image has more
}

// FileDifference is one file that differs.
type FileDifference struct {
	Path    string `json:"path"`
	Change  string `json:"change"`         // A, D or M, as git has them
	What    string `json:"what,omitempty"` // what differs, of M
	OldSize int64  `json:"oldSize"`
	NewSize int64  `json:"newSize"`
	Patch   string `json:"patch,omitempty"`
}

// Diff compares two images.
func Diff(ctx context.Context, a, b *Image, o DiffOptions) (*Difference, error) {
	contents, err := NewContents(ctx, o.Exact, a, b)
	if err != nil {
		return nil, err
	}
	changes, err := diff.Trees(a.Tree, b.Tree, contents.Same)
	if err != nil {
		return nil, err
	}
	d := &Difference{Files: []FileDifference{}}
	for _, c := range changes {
		if c.Old != nil && c.New != nil && c.Aspects == diff.Time && !o.Times {
			continue
		}
		f := d.count(c)
		if o.Patch {
			if f.Patch, err = contents.patch(c); err != nil {
				return nil, fmt.Errorf("/%s: %w", c.Path, err)
			}
		}
		d.Files = append(d.Files, f)
	}
	return d, nil
}

// count describes a change, and adds it to the sums.
func (d *Difference) count(c diff.Change) FileDifference {
	f := FileDifference{Path: c.Path, Change: "M", What: c.Aspects.String(), OldSize: sizeOf(c.Old), NewSize: sizeOf(c.New)}
	switch {
	case c.Added():
		f.Change = "A"
		d.Added++
	case c.Removed():
		f.Change = "D"
		d.Removed++
	default:
		d.Changed++
	}
	d.Bytes += f.NewSize - f.OldSize
	return f
}

// sizeOf returns the size of a file that may not be there.
func sizeOf(n *image.Inode) int64 {
	if n == nil {
		return 0
	}
	return n.Size()
}

// maxPatched is how long a text is at most for its changes to be shown, in bytes.
const maxPatched = 1 << 20

// patch returns how the content of a file has changed, as diff -u shows it, or ""
// where its content is the same or not text.
func (c *Contents) patch(change diff.Change) (string, error) {
	if change.Old != nil && change.New != nil && change.Aspects&(diff.Content|diff.Type) == 0 {
		return "", nil
	}
	oldText, oldOK, err := c.text(change.Old)
	if err != nil || !oldOK {
		return "", err
	}
	newText, newOK, err := c.text(change.New)
	if err != nil || !newOK {
		return "", err
	}
	oldName, newName := "a/"+change.Path, "b/"+change.Path
	if change.Added() {
		oldName = "/dev/null"
	}
	if change.Removed() {
		newName = "/dev/null"
	}
	return udiff.Unified(oldName, newName, oldText, newText), nil
}

// text returns the content of a file if it is text, or "" of one that is not
// there.
func (c *Contents) text(n *image.Inode) (text string, ok bool, err error) {
	if n == nil {
		return "", true, nil
	}
	if !n.IsRegular() || n.Size() > maxPatched {
		return "", false, nil
	}
	content, err := c.ReadFile(n, maxPatched)
	if err != nil || bytes.IndexByte(content, 0) >= 0 || !utf8.Valid(content) {
		return "", false, err
	}
	return string(content), true, nil
}
