package image

import "maps"

// Edit is a set of changes to a tree that is shared, and so is not changed in
// place. The zero Edit changes nothing.
type Edit struct {
	replaced map[*Inode]*Inode
	put      map[*Inode]map[string]*Inode
}

// Replace gives all names of a file to another. The root cannot be replaced.
func (e *Edit) Replace(old, file *Inode) {
	if e.replaced == nil {
		e.replaced = make(map[*Inode]*Inode)
	}
	e.replaced[old] = file
}

// Put gives a name in a directory of the tree to a new file. What has the name
// already must not be a directory.
func (e *Edit) Put(dir *Inode, name string, file *Inode) {
	if e.put == nil {
		e.put = make(map[*Inode]map[string]*Inode)
	}
	if e.put[dir] == nil {
		e.put[dir] = make(map[string]*Inode)
	}
	e.put[dir][name] = file
}

// Apply returns the tree as it is with the changes. It shares with t all files
// but those that changed and the directories that lead to them.
func (e *Edit) Apply(t *Tree) *Tree {
	if len(e.replaced)+len(e.put) == 0 {
		return t
	}
	for old, file := range e.replaced {
		file.Links = old.Links
	}
	e.unlink()
	return &Tree{Root: e.apply(t.Root)}
}

// unlink replaces files that lose one of several names.
func (e *Edit) unlink() {
	for dir, files := range e.put {
		for name := range files {
			old := dir.Lookup(name)
			if old == nil || old.Links < 2 {
				continue
			}
			if e.replaced[old] == nil {
				e.Replace(old, new(*old))
			}
			e.replaced[old].Links--
		}
	}
}

// apply returns a directory as it is with the changes: itself where there are
// none in it.
func (e *Edit) apply(dir *Inode) *Inode {
	changed := maps.Clone(e.put[dir])
	for name, child := range dir.entries {
		if changed[name] != nil {
			continue
		}
		file := e.replaced[child]
		if file == nil && child.IsDir() {
			file = e.apply(child)
		}
		if file == nil || file == child {
			continue
		}
		if changed == nil {
			changed = make(map[string]*Inode)
		}
		changed[name] = file
	}
	if len(changed) == 0 {
		return dir
	}
	return dir.with(changed)
}

// with returns a copy of a directory in which files have the names given.
func (n *Inode) with(files map[string]*Inode) *Inode {
	c := new(*n)
	c.entries = maps.Clone(n.entries)
	for name, file := range files {
		if c.entries[name] == nil {
			c.sorted = nil
		}
		c.entries[name] = file
		file.Links = max(file.Links, 1)
	}
	if c.sorted == nil {
		c.sorted = c.Names()
	}
	return c
}
