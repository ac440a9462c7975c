package image

import (
	"iter"

	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Select returns the files of a tree whose classes a selection chooses, with
// their absolute paths, in the order of [Tree.Walk]. The root itself is not among
// them, nor are directories for the sake of what is in them. It ends with the
// first error.
func Select(t *Tree, m *CloudletManifest, s cloudlet.Selection) iter.Seq2[Selected, error] {
	classifier := m.Classifier()
	return func(yield func(Selected, error) bool) {
		for name, n := range t.Walk() {
			if name == "" {
				continue
			}
			class, err := classifier.Classes("/" + name)
			if err != nil {
				yield(Selected{}, err)
				return
			}
			if s.Includes(class) && !yield(Selected{"/" + name, n, class}, nil) {
				return
			}
		}
	}
}

// Selected is a file that was chosen by its classes.
type Selected struct {
	Path  string // absolute
	Inode *Inode
	Class cloudlet.Class
}

// Filter returns a tree with the files whose classes a selection chooses, and the
// directories they are in. The tree t itself is not changed; where all of it is
// chosen it is returned.
func Filter(t *Tree, m *CloudletManifest, s cloudlet.Selection) (*Tree, error) {
	kept := map[string]bool{}
	all := true
	classifier := m.Classifier()
	for name := range t.Walk() {
		if name == "" {
			continue
		}
		class, err := classifier.Classes("/" + name)
		if err != nil {
			return nil, err
		}
		kept[name] = s.Includes(class)
		all = all && kept[name]
	}
	if all {
		return t, nil
	}
	t = t.Clone()
	prune(t.Root, "", kept)
	t.Sort()
	return t, nil
}

// prune removes what is not kept and reports whether anything is left.
func prune(dir *Inode, prefix string, kept map[string]bool) bool {
	left := false
	for _, name := range dir.Names() {
		path := prefix + name
		child := dir.Lookup(name)
		keep := kept[path]
		if child.IsDir() && prune(child, path+"/", kept) {
			keep = true
		}
		if !keep {
			dir.RemoveAll(name)
		}
		left = left || keep
	}
	return left
}

// DropVolatile returns a tree without the volatile files of the manifest. A
// directory stays for the sake of what stays in it: the expression "/var/run$"
// takes away /var/run only when it is empty, as in format 0.0.4. The
// tree t itself is not changed; where nothing is volatile it is returned.
func DropVolatile(t *Tree, m *CloudletManifest) (*Tree, error) {
	if !m.HasVolatile() {
		return t, nil
	}
	return Filter(t, m, cloudlet.DefaultSelection)
}
