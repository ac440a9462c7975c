package image

// Clone returns a copy of the tree whose files can be changed, linked and
// unlinked without changing t. Names of one file stay names of one file. The
// copies share what is never changed in place: extents, xattrs and their bytes.
func (t *Tree) Clone() *Tree {
	return &Tree{Root: t.Root.clone(make(map[*Inode]*Inode))}
}

// clone copies n and what is in it; copies maps the files copied so far.
func (n *Inode) clone(copies map[*Inode]*Inode) *Inode {
	if c := copies[n]; c != nil {
		return c
	}
	c := new(*n)
	copies[n] = c
	if n.entries != nil {
		c.entries = make(map[string]*Inode, len(n.entries))
		for name, child := range n.entries {
			c.entries[name] = child.clone(copies)
		}
	}
	return c
}

// Bare returns a copy of a file that has no name yet and, if it is a directory,
// nothing in it.
func (n *Inode) Bare() *Inode {
	c := *n
	c.Links, c.entries, c.sorted = 0, nil, nil
	return &c
}
