package container

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

// listed is a foreign filesystem: the entries of directories, as "name id", by
// the directory's number. All other numbers are regular files.
type listed map[uint64][]string

func (l listed) ReadInode(id uint64) (*image.Inode, error) {
	if _, ok := l[id]; ok {
		return &image.Inode{Mode: image.TypeDir}, nil
	}
	return &image.Inode{Mode: image.TypeRegular, UID: uint32(id)}, nil
}

func (l listed) ReadDirectory(id uint64, link func(string, uint64) error) error {
	for _, e := range l[id] {
		name, number, _ := strings.Cut(e, " ")
		var child uint64
		if _, err := fmt.Sscan(number, &child); err != nil {
			return err
		}
		if err := link(name, child); err != nil {
			return err
		}
	}
	return nil
}

func TestFilesFoundTwiceAreHardLinks(t *testing.T) {
	tree, err := ReadTree(1, listed{1: {"b 2", "f 3"}, 2: {"g 3", "h 4"}}, &Memory{Limit: MaxTree})
	if err != nil {
		t.Fatal(err)
	}
	if f := tree.Lookup("f"); f == nil || f != tree.Lookup("b/g") || f.Links != 2 || tree.Lookup("b/h").UID != 4 || tree.Root.Links != 1 {
		t.Fatalf("tree %+v", tree.Root)
	}
}

func TestTreesThatAreNoneAreRefused(t *testing.T) {
	deep := listed{}
	for i := range uint64(maxDepth + 2) {
		deep[i+1] = []string{fmt.Sprint("d ", i+2)}
	}
	for name, c := range map[string]struct {
		from  listed
		limit int64
		want  error
		text  string
	}{
		"a root that is a file":    {listed{}, MaxTree, ErrFormat, "the root is not a directory"},
		"a directory in itself":    {listed{1: {"a 2"}, 2: {"b 2"}}, MaxTree, ErrFormat, `/a: "b": `},
		"a directory in its child": {listed{1: {"a 2"}, 2: {"b 1"}}, MaxTree, ErrFormat, "contains itself"},
		"a directory twice":        {listed{1: {"a 2", "b 2"}, 2: nil}, MaxTree, ErrFormat, "another name"},
		"a name twice":             {listed{1: {"a 2", "a 3"}}, MaxTree, ErrFormat, "twice"},
		"a slash":                  {listed{1: {"a/b 2"}}, MaxTree, ErrFormat, "no name"},
		"dots":                     {listed{1: {".. 2"}}, MaxTree, ErrFormat, "no name"},
		"depth":                    {deep, MaxTree, ErrUnsupported, "directories deep"},
		"size":                     {listed{1: {"a 2", "b 3"}}, 600, ErrUnsupported, "600 bytes of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadTree(1, c.from, &Memory{Limit: c.limit})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("error %v", err)
			}
		})
	}
}
