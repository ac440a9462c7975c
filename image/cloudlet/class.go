package cloudlet

import (
	"fmt"
	"path"
	"strings"

	"github.com/cloudlets/cloudlets/image/pattern"
)

// Class is the set of classes that a path is in. A path can be in several of
// templates, persistent and volatile; it is in other where it is in none.
type Class uint8

// The classes of a path.
const (
	Templates Class = 1 << iota
	Persistent
	Volatile
	Other
)

// DefaultSelection is what outputs hold unless asked otherwise: all but
// volatile paths.
const DefaultSelection Selection = Selection(Templates | Persistent | Other)

// classNames are the names of classes, in the order they are written in.
var classNames = []struct {
	class Class
	name  string
}{{Templates, "templates"}, {Persistent, "persistent"}, {Volatile, "volatile"}, {Other, "other"}}

func (c Class) String() string {
	var names []string
	for _, n := range classNames {
		if c&n.class != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ",")
}

// Selection is a set of classes that paths are chosen by.
type Selection Class

// ParseOnly reads a selection: names of classes with commas between them.
func ParseOnly(only string) (Selection, error) {
	var s Selection
names:
	for name := range strings.SplitSeq(only, ",") {
		for _, n := range classNames {
			if n.name == strings.TrimSpace(name) {
				s |= Selection(n.class)
				continue names
			}
		}
		return 0, fmt.Errorf("%q is not a class of paths: expected some of templates, persistent, volatile, other, with commas between them", name)
	}
	return s, nil
}

func (s Selection) String() string { return Class(s).String() }

// Includes reports whether a selection chooses a path of these classes. With
// other, it is the rest that is chosen: all paths but those in a class that is
// not selected. Without, it is those in a class that is. So a path that is
// persistent and volatile is among the persistent ones, and not in the default.
func (s Selection) Includes(c Class) bool {
	if Class(s)&Other != 0 {
		return c&^Class(s) == 0
	}
	return c&Class(s) != 0
}

// What a classifier may spend on volatile expressions, in steps of
// [pattern.Budget]: some at the start, then some for each path and expression.
const (
	startSteps      = 4_000_000
	pathSteps       = 4_000
	expressionSteps = 500
	maxPathSteps    = 100_000
	maxSteps        = 3_000_000_000 // of one classifier: about a minute
)

// Classifier tells the classes of many paths, in bounded work. It is for one
// goroutine.
type Classifier struct {
	manifest  *Manifest
	templates map[string]bool
	budget    *pattern.Budget
	granted   int // steps added to the budget
}

// Classifier returns a classifier for the paths of one rootfs.
func (m *Manifest) Classifier() *Classifier {
	c := &Classifier{manifest: m, templates: make(map[string]bool, len(m.Templates)), budget: pattern.NewBudget(startSteps)}
	for _, t := range m.Templates {
		c.templates[path.Clean(t)] = true
	}
	return c
}

// Classes returns the classes of an absolute path, which ends without a slash.
// An expression that would take too long gives an error that wraps
// [pattern.ErrTooMuchWork].
func (c *Classifier) Classes(name string) (Class, error) {
	c.grant()
	var class Class
	if c.templates[name] {
		class |= Templates
	}
	for _, prefix := range c.manifest.persistent {
		if strings.HasPrefix(name, prefix) && (len(name) == len(prefix) || name[len(prefix)] == '/') {
			class |= Persistent
			break
		}
	}
	for i, expr := range c.manifest.volatile {
		matches, err := expr.MatchPrefix(name, c.budget)
		if err != nil {
			return 0, fmt.Errorf("cloudlet manifest: /volatile/%d: %w", i, err)
		}
		if matches {
			class |= Volatile
			break
		}
	}
	if class == 0 {
		class = Other
	}
	return class, nil
}

// grant adds what one path may cost to the budget.
func (c *Classifier) grant() {
	steps := min(pathSteps+expressionSteps*len(c.manifest.volatile), maxPathSteps, maxSteps-c.granted)
	c.granted += steps
	c.budget.Add(steps)
}
