package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// Side is one of the two trees of a merge.
type Side uint8

// Which side wins where both changed the same.
const (
	Neither Side = iota // conflicts are left as they are in ours, and reported
	Ours
	Theirs
)

// Conflict is a path that both trees changed, in ways that do not go together.
type Conflict struct {
	Path string `json:"path"`
	What string `json:"what"` // for people
}

// String says what is in conflict, for people.
func (c Conflict) String() string { return "/" + c.Path + ": " + c.What }

// Merge returns ours with the changes that theirs made since base, and where
// they conflict. Files are merged as wholes: where one side changed a file's
// content and the other its mode, both count; where both changed its content
// there is a conflict, unless they agree. Times never conflict. favour says who
// wins; the conflicts are returned all the same.
func Merge(base, ours, theirs *image.Tree, same SameContent, favour Side) (*image.Tree, []Conflict, error) {
	ourChanges, err := Trees(base, ours, same)
	if err != nil {
		return nil, nil, err
	}
	theirChanges, err := Trees(base, theirs, same)
	if err != nil {
		return nil, nil, err
	}
	m := merger{
		theirs: theirs, result: ours.Clone(), same: same, favour: favour,
		ours: byPath(ourChanges), changed: byPath(theirChanges),
		names: namesOf(theirs), copies: make(map[*image.Inode]*image.Inode),
	}
	if err := m.merge(theirChanges); err != nil {
		return nil, nil, err
	}
	m.result.Sort()
	return m.result, m.conflicts, nil
}

func byPath(changes []Change) map[string]Change {
	m := make(map[string]Change, len(changes))
	for _, c := range changes {
		m[c.Path] = c
	}
	return m
}

// namesOf returns all paths of the files that have several.
func namesOf(t *image.Tree) map[*image.Inode][]string {
	names := make(map[*image.Inode][]string)
	for path, n := range t.Walk() {
		if !n.IsDir() && n.Links > 1 {
			names[n] = append(names[n], path)
		}
	}
	return names
}

// merger is a merge under way.
type merger struct {
	theirs    *image.Tree
	result    *image.Tree
	same      SameContent
	favour    Side
	ours      map[string]Change // by path
	changed   map[string]Change // theirs, by path
	names     map[*image.Inode][]string
	copies    map[*image.Inode]*image.Inode // their files in the result
	conflicts []Conflict
}

// merge applies their changes: what is put from the root down, what is removed
// from the leaves up.
func (m *merger) merge(changes []Change) error {
	for _, c := range changes {
		if c.Removed() {
			continue
		}
		if err := m.put(c); err != nil {
			return fmt.Errorf("merge /%s: %w", c.Path, err)
		}
	}
	for _, c := range slices.Backward(changes) {
		if c.Removed() {
			m.remove(c)
		}
	}
	return nil
}

// conflict notes a conflict, and reports whether theirs is taken.
func (m *merger) conflict(path, format string, args ...any) bool {
	m.conflicts = append(m.conflicts, Conflict{path, fmt.Sprintf(format, args...)})
	return m.favour == Theirs
}

// put takes over a file that they added or changed.
func (m *merger) put(t Change) error {
	o, both := m.ours[t.Path]
	switch {
	case t.Path == "" || !both && m.result.Lookup(t.Path) != nil:
		return m.attributes(t, o)
	case !both:
		return m.place(t)
	case o.Removed() && t.Aspects == Time:
		return nil
	case o.Removed():
		if m.conflict(t.Path, "removed by us, changed by them (%s)", t.Aspects) {
			return m.place(t)
		}
		return nil
	case o.Added() || t.Added() || (o.Aspects|t.Aspects)&Type != 0:
		return m.whole(t, o)
	}
	return m.attributes(t, o)
}

// whole takes one of two files that have nothing in common to be merged by.
func (m *merger) whole(t, o Change) error {
	a, err := Compare(o.New, t.New, m.same)
	if err != nil || a&^Time == 0 {
		return err
	}
	what := "added by both"
	if !o.Added() {
		what = "changed by both"
	}
	if m.conflict(t.Path, "%s, with another %s", what, a&^Time) {
		return m.place(t)
	}
	return nil
}

// attributes takes over what they changed of a file that is in ours too. Where
// we did not change it, o is the zero Change.
func (m *merger) attributes(t, o Change) error {
	if o.New == nil && (t.Aspects&(Type|Links) != 0 || !t.New.IsDir()) {
		return m.place(t)
	}
	take := t.Aspects
	if o.New != nil {
		a, err := Compare(o.New, t.New, m.same)
		if err != nil {
			return err
		}
		clash := t.Aspects & o.Aspects & (a | Links) &^ Time
		if clash != 0 && !m.conflict(t.Path, "changed by both: %s", clash) {
			take &^= clash
		}
		if clash&(Content|Links) != 0 && m.favour == Theirs {
			return m.place(t)
		}
	}
	n := m.result.Lookup(t.Path)
	if n == nil {
		return m.place(t)
	}
	copyAspects(n, t.New, take)
	return nil
}

// copyAspects copies some of a file's aspects to another of its type.
func copyAspects(to, from *image.Inode, a Aspect) {
	if a&Mode != 0 {
		to.Mode = from.Mode
	}
	if a&Owner != 0 {
		to.UID, to.GID = from.UID, from.GID
	}
	if a&Xattrs != 0 {
		to.Xattrs = from.Xattrs
	}
	if a&Content != 0 {
		to.Content, to.Order, to.Target, to.Major, to.Minor = from.Content, from.Order, from.Target, from.Major, from.Minor
	}
	if a&(Content|Time) != 0 {
		to.ModTime = from.ModTime
	}
}

// place puts their file at its path, in place of what is there.
func (m *merger) place(t Change) error {
	dir, name := image.SplitPath(t.Path)
	parent := m.result.Lookup(dir)
	if parent == nil {
		// We removed the directory; they need it.
		if err := m.place(Change{Path: dir, New: m.theirs.Lookup(dir)}); err != nil {
			return err
		}
		parent = m.result.Lookup(dir)
	}
	if !parent.IsDir() {
		if !m.conflict(t.Path, "in a directory of theirs that is none of ours") {
			return nil
		}
		if err := m.replace(dir); err != nil {
			return err
		}
		parent = m.result.Lookup(dir)
	}
	n := m.file(t)
	if was := parent.Lookup(name); was != nil && was.IsDir() && n.IsDir() {
		copyAspects(was, n, Mode|Owner|Xattrs|Time)
		return nil
	}
	if was := parent.Lookup(name); was != nil && was.IsDir() && m.keeps(t.Path) {
		if !m.conflict(t.Path, "a directory that they replaced, and that we added to") {
			return nil
		}
	}
	if parent.Lookup(name) != n {
		parent.RemoveAll(name)
		parent.Link(name, n)
	}
	return nil
}

// replace puts their directory in place of our file.
func (m *merger) replace(dir string) error {
	up, name := image.SplitPath(dir)
	parent := m.result.Lookup(up)
	if parent == nil || !parent.IsDir() {
		if err := m.replace(up); err != nil {
			return err
		}
		parent = m.result.Lookup(up)
	}
	parent.RemoveAll(name)
	return m.place(Change{Path: dir, New: m.theirs.Lookup(dir)})
}

// file returns their file for the result: what another of its names has there
// already, so that names of one file stay that.
func (m *merger) file(t Change) *image.Inode {
	if c := m.copies[t.New]; c != nil {
		return c
	}
	for _, name := range m.names[t.New] {
		_, theirs := m.changed[name]
		_, ours := m.ours[name]
		if held := m.result.Lookup(name); held != nil && !theirs && !ours {
			m.copies[t.New] = held
			return held
		}
	}
	n := t.New.Bare()
	m.copies[t.New] = n
	return n
}

// keeps reports whether we added or changed something below a path.
func (m *merger) keeps(dir string) bool {
	for path, c := range m.ours {
		if strings.HasPrefix(path, dir+"/") && !c.Removed() {
			return true
		}
	}
	return false
}

// remove takes away what they removed.
func (m *merger) remove(t Change) {
	dir, name := image.SplitPath(t.Path)
	parent := m.result.Lookup(dir)
	if parent == nil || !parent.IsDir() || parent.Lookup(name) == nil {
		return
	}
	o, both := m.ours[t.Path]
	switch {
	case both && o.Aspects != Time:
		if !m.conflict(t.Path, "removed by them, %s by us", verb(o)) {
			return
		}
	case len(parent.Lookup(name).Names()) > 0:
		return // a directory that we need
	}
	parent.RemoveAll(name)
}

func verb(c Change) string {
	if c.Added() {
		return "added"
	}
	return "changed (" + c.Aspects.String() + ")"
}
