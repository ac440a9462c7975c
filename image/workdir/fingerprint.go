package workdir

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Fingerprint stands for the state of a directory. Two that are equal and
// settled mean that nothing in it has changed.
type Fingerprint struct {
	Sum    [sha256.Size]byte
	Newest time.Time // when any file's status last changed
}

// settle is how long after a change the next one surely has another time: file
// systems that can hold a rootfs keep times in steps of the kernel's clock tick,
// of which there are 100 a second or more.
const settle = 25 * time.Millisecond

// Settled reports whether a change after taken, when the fingerprint was begun,
// would have changed it.
func (f Fingerprint) Settled(taken time.Time) bool { return f.Newest.Add(settle).Before(taken) }

// TakeSettled returns the fingerprint of a directory, once any further change
// would change it. ok is false while the directory goes on changing.
func TakeSettled(ctx context.Context, dir string) (f Fingerprint, ok bool, err error) {
	for range 2 {
		taken := time.Now()
		if f, err = Take(ctx, dir); err != nil || f.Settled(taken) {
			return f, err == nil, err
		}
		select {
		case <-ctx.Done():
			return f, false, ctx.Err()
		case <-time.After(settle):
		}
	}
	return f, false, nil
}

// Take returns the fingerprint of a directory. It looks at the status of each
// file (stat(2)), and opens directories only.
func Take(ctx context.Context, dir string) (Fingerprint, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Fingerprint{}, fmt.Errorf("read directory %s: %w", dir, err)
	}
	root := os.NewFile(uintptr(fd), dir)
	defer root.Close()
	t := taker{ctx: ctx, slots: make(chan struct{}, maxOpen)}
	f, err := t.directory(root)
	if err != nil {
		return Fingerprint{}, fmt.Errorf("look at what is in %s: %w", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Fingerprint{}, fmt.Errorf("look at %s: %w", dir, err)
	}
	f.Sum = sha256.Sum256(appendStatus(f.Sum[:], &st))
	f.noteTime(&st)
	return f, nil
}

// maxOpen bounds the goroutines that look at directories, and so what is open.
const maxOpen = 64

type taker struct {
	ctx   context.Context
	slots chan struct{}
}

// child is what is known of a file in a directory.
type child struct {
	name  string
	st    unix.Stat_t
	inner Fingerprint // of a directory
}

// directory returns the fingerprint of what is in an open directory.
func (t *taker) directory(dir *os.File) (Fingerprint, error) {
	if err := t.ctx.Err(); err != nil {
		return Fingerprint{}, err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return Fingerprint{}, err
	}
	slices.Sort(names)
	children := make([]child, len(names))
	var group errgroup.Group
	for i, name := range names {
		c := &children[i]
		c.name = name
		if err := unix.Fstatat(int(dir.Fd()), name, &c.st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return Fingerprint{}, fmt.Errorf("%s/%s: %w", dir.Name(), name, err)
		}
		if c.st.Mode&unix.S_IFMT == unix.S_IFDIR {
			t.spawn(&group, func() (err error) {
				c.inner, err = t.subdirectory(dir, c.name)
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		return Fingerprint{}, err
	}
	return digest(children), nil
}

// spawn runs f in a goroutine if there is room for one, or at once.
func (t *taker) spawn(group *errgroup.Group, f func() error) {
	select {
	case t.slots <- struct{}{}:
		group.Go(func() error {
			defer func() { <-t.slots }()
			return f()
		})
	default:
		err := f()
		group.Go(func() error { return err })
	}
}

func (t *taker) subdirectory(dir *os.File, name string) (Fingerprint, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Fingerprint{}, fmt.Errorf("%s/%s: %w", dir.Name(), name, err)
	}
	sub := os.NewFile(uintptr(fd), dir.Name()+"/"+name)
	defer sub.Close()
	return t.directory(sub)
}

// digest returns the fingerprint of the files of a directory.
func digest(children []child) Fingerprint {
	var f Fingerprint
	size := 0
	for i := range children {
		size += binary.MaxVarintLen64 + len(children[i].name) + statusLength + sha256.Size
	}
	b := make([]byte, 0, size)
	for i := range children {
		c := &children[i]
		b = binary.AppendUvarint(b, uint64(len(c.name)))
		b = append(b, c.name...)
		b = appendStatus(b, &c.st)
		b = append(b, c.inner.Sum[:]...)
		f.noteTime(&c.st)
		if c.inner.Newest.After(f.Newest) {
			f.Newest = c.inner.Newest
		}
	}
	f.Sum = sha256.Sum256(b)
	return f
}

// statusLength is how many bytes appendStatus appends.
const statusLength = 12 * 8

// appendStatus appends what of a file's status changes when the file does.
func appendStatus(b []byte, st *unix.Stat_t) []byte {
	for _, n := range []uint64{
		uint64(st.Mode), uint64(st.Uid), uint64(st.Gid), uint64(st.Size), st.Dev, st.Ino, st.Rdev, st.Nlink,
		uint64(st.Mtim.Sec), uint64(st.Mtim.Nsec), uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec),
	} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

func (f *Fingerprint) noteTime(st *unix.Stat_t) {
	if changed := time.Unix(st.Ctim.Sec, st.Ctim.Nsec); changed.After(f.Newest) {
		f.Newest = changed
	}
}
