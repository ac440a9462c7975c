package kind

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image/tarball"
)

// headSize is how much of a file's start is looked at, in bytes: up to the magic
// number of btrfs.
const headSize = 64<<10 + 128

// packedHeadSize is how much of a compressed file's start is looked at, in bytes: a
// block of bzip2 has up to 900 kB before its last, coding step, which may lengthen
// it, and nothing comes of a block before its end.
const packedHeadSize = 5 << 18

// Finding is what the content of a file shows.
type Finding struct {
	Container Container
	// Types are the image types that the content allows, in the order of
	// [Types].
	Types []Type
	// Signs say what was found, in words: "a GPT".
	Signs []string
	// Missing is what the file needs and does not hold, in words: "a backing
	// file"; or what else keeps others from reading it. Empty where it is whole.
	Missing string
	// Parent says that the file leaves content to another one, of a format whose
	// readers can be given that.
	Parent bool
	// Contradictory says that the signs exclude each other: a file made to be
	// one thing to one reader and another to the next.
	Contradictory bool
	// Packed says that the content is a compressed disk, and no disk before it was
	// decompressed.
	Packed bool
	// Tar says that the content is, or that its compression holds, a tar.
	Tar bool

	size int64 // of the content, in bytes
}

// MissingParts is what the descriptor of a disk in several files is missing: they
// are what [Finding.Missing] is about.
const MissingParts = "the files that it names"

// Detect looks at a file of size bytes. It reads 64 KiB from the start, of a
// compressed file 1.25 MiB, 512 bytes from the end and what the header of a container names, which is at most
// 1 MiB more. The error is one of reading.
func Detect(r io.ReaderAt, size int64) (Finding, error) {
	head, err := readAt(r, 0, min(size, headSize))
	if err == nil && tarball.DetectCompression(head) != tarball.Uncompressed {
		head, err = readAt(r, 0, min(size, packedHeadSize))
	}
	if err != nil {
		return Finding{}, fmt.Errorf("read the start of the file: %w", err)
	}
	signs := contentSigns(head, size)
	c, err := findContainer(r, head, size)
	switch {
	case err != nil:
		return Finding{}, err
	case c != nil:
		return c.finding(signs), nil
	}
	f := Finding{Container: Raw}
	f.conclude(signs, size)
	return f, nil
}

// readAt reads n bytes that a file is known to have.
func readAt(r io.ReaderAt, offset, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := r.ReadAt(b, offset)
	if got == len(b) {
		return b, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// conclude finds the types that signs of content allow.
func (f *Finding) conclude(signs []sign, size int64) {
	f.size = size
	classes := make(map[class]bool)
	for _, s := range signs {
		f.Signs = append(f.Signs, s.what)
		f.Tar = f.Tar || s.class == tarballClass
		f.Packed = f.Packed || s.class == packedDisk
		classes[s.class] = true
	}
	has := func(all ...class) bool {
		for _, c := range all {
			if !classes[c] {
				return false
			}
		}
		return len(classes) == len(all)
	}
	switch {
	case has():
		f.Types = unknown(size)
	case has(iso, table):
		// One that also boots from a USB stick. The table is for that.
		f.Types = []Type{ISO9660}
	case has(table, filesystem):
		// One of them is left of an earlier use; which one, nobody can see.
		f.Types = []Type{Filesystem, Disk}
	case len(classes) == 1:
		f.Types = signs[0].class.types()
	default:
		f.Contradictory = true
	}
}

// unknown returns the types of content without any sign. A disk need not have
// one; all else does.
func unknown(size int64) []Type {
	if size > 0 && size%sectorSize == 0 {
		return []Type{Disk, Other}
	}
	return []Type{Other}
}

// Describe says in words what was found.
func (f Finding) Describe() string {
	const unknown = "content without any known sign"
	switch {
	case len(f.Signs) > 0:
		return strings.Join(f.Signs, " and ")
	case f.size == 0:
		return "no content"
	case f.size%sectorSize != 0:
		return fmt.Sprintf("%s, and %d bytes, where a disk has whole sectors of %d", unknown, f.size, sectorSize)
	}
	return unknown
}

// Known reports whether the content shows that the file is, or pretends to be, an
// image of these kinds.
func (f Finding) Known() bool {
	return f.Container != Raw || f.Contradictory || !slices.Contains(f.Types, Other)
}

// Hides reports whether the file is whole, and its container does not tell what is
// inside: who opens it can look.
func (f Finding) Hides() bool {
	return f.Container != Raw && len(f.Types) > 1 && f.refuse() == nil
}

// Decide compares what was declared with what was found, and returns the kind of
// the file. What was not declared is taken from the content, where that leaves
// no choice.
func (f Finding) Decide(declared Kind) (Kind, error) {
	if err := f.refuse(); err != nil {
		return Kind{}, err
	}
	if declared.Container != "" && declared.Container != f.Container {
		return Kind{}, fmt.Errorf("declared as %s, but the container format is %s: the file has %s", declared.Container, f.Container, f.Describe())
	}
	if declared.Type == "" {
		if len(f.Types) != 1 {
			return Kind{}, fmt.Errorf("the file has %s, which does not tell its image type: say --type %s", f.Describe(), join(f.Types, " or "))
		}
		return Kind{f.Types[0], f.Container}, nil
	}
	if !slices.Contains(f.Types, declared.Type) {
		return Kind{}, fmt.Errorf("declared as %s, but the image type is %s: the file has %s", declared.Type, join(f.Types, " or "), f.Describe())
	}
	return Kind{declared.Type, f.Container}, nil
}

// DecideInside returns the type of what a container of disks has inside: a disk
// where the content shows nothing else, as that of an empty one does not.
func (f Finding) DecideInside() (Type, error) {
	if len(f.Signs) == 0 || slices.Equal(f.Types, []Type{Disk, Other}) {
		return Disk, nil
	}
	k, err := f.Decide(Kind{})
	return k.Type, err
}

// refuse says why a file is no image, whatever it is declared to be.
func (f Finding) refuse() error {
	switch {
	case f.Packed:
		return fmt.Errorf("the file has %s, and is no disk before it was decompressed", f.Describe())
	case f.Contradictory:
		return fmt.Errorf("the file has %s, which exclude each other: what it is depends on who reads it", f.Describe())
	case f.Parent:
		return fmt.Errorf("the file has %s, and leaves content to a parent: make one file of both with qemu-img convert", f.Describe())
	case f.Missing != "":
		return fmt.Errorf("the file has %s, and needs %s: make one file of it with qemu-img convert", f.Describe(), f.Missing)
	}
	return nil
}
