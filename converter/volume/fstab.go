package volume

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The table of filesystems (fstab(5)).
const (
	fstabPath = "/etc/fstab"
	maxFstab  = 1 << 20 // bytes
	// rootLine begins the line of a root filesystem that is found on every disk
	// that is rendered, by its label (docs/disk.md): it need not change.
	rootLine = "LABEL=root"
	// mergedComment stands in front of the lines that are made comments.
	mergedComment = "# On the disk that this image was imported from: "
)

// fstab is an /etc/fstab, whose lines are matched with the partitions of a disk.
type fstab struct {
	lines []fstabLine
	root  Partition
}

// fstabLine is a line. Only those that name a filesystem on a disk have more than
// their text.
type fstabLine struct {
	text      string
	where     string     // the mount point
	partition *Partition // on the same disk; nil is elsewhere
	missing   string     // what the line names and the disk does not have
}

// parseFstab matches the lines of a table with the partitions of the disk.
func parseFstab(text string, d *Disk, root Partition) (*fstab, error) {
	t := &fstab{root: root}
	for text := range strings.Lines(text) {
		line := fstabLine{text: text}
		fields := strings.Fields(text)
		if len(fields) >= 2 && !strings.HasPrefix(fields[0], "#") {
			spec := unescape(fields[0])
			line.where = path.Clean(unescape(fields[1]))
			found, isDisk := d.match(spec)
			switch {
			case len(found) > 1:
				return nil, fmt.Errorf("%w: %s is on several partitions; import with --root-only", ErrNoFiles, spec)
			case spec == rootLine && line.where == "/":
			case len(found) == 1:
				line.partition = &found[0]
			case isDisk && line.where != "/": // that is the root filesystem, by whatever name
				line.missing = spec
			}
		}
		t.lines = append(t.lines, line)
	}
	return t, nil
}

// changed reports whether any line names a partition of the disk.
func (t *fstab) changed() bool {
	return slices.ContainsFunc(t.lines, func(l fstabLine) bool { return l.partition != nil })
}

// text returns the table without what is on the disk.
func (t *fstab) text() string {
	var b strings.Builder
	for _, l := range t.lines {
		if l.partition != nil {
			b.WriteString(mergedComment)
		}
		b.WriteString(l.text)
	}
	return b.String()
}

// mounts returns what is to be mounted on the root filesystem, outer directories
// first.
func (t *fstab) mounts() []Mounted {
	var mounts []Mounted
	for _, l := range t.lines {
		if l.partition == nil || l.partition.Number == t.root.Number || !strings.HasPrefix(l.where, "/") || l.where == "/" {
			continue
		}
		mounts = append(mounts, Mounted{l.where, *l.partition})
	}
	slices.SortStableFunc(mounts, func(a, b Mounted) int {
		return cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/"))
	})
	return mounts
}

// notes says what is on other disks.
func (t *fstab) notes() []string {
	var notes []string
	for _, l := range t.lines {
		if l.missing != "" {
			notes = append(notes, fmt.Sprintf("%s mounts %s on %s, which is not on this disk", fstabPath, l.missing, l.where))
		}
	}
	return notes
}

// escapes are the octal numbers that stand for blanks and others.
var escapes = regexp.MustCompile(`\\[0-7]{3}`)

func unescape(field string) string {
	return escapes.ReplaceAllStringFunc(field, func(escape string) string {
		n, err := strconv.ParseUint(escape[1:], 8, 8)
		if err != nil {
			return escape
		}
		return string([]byte{byte(n)})
	})
}

// deviceNames are what Linux calls the partitions of the first disk, whatever it
// is attached to.
var deviceNames = regexp.MustCompile(`^/dev/(?:[shv]da|xvda|nvme0n1p|mmcblk0p)([0-9]{1,3})$`)

// match returns the partitions that the first field of a line names, and whether
// it names any of any disk.
func (d *Disk) match(spec string) (found []Partition, isDisk bool) {
	if number := deviceNames.FindStringSubmatch(spec); number != nil {
		n, err := strconv.Atoi(number[1])
		return d.with(func(p Partition) bool { return err == nil && p.Number == n }), true
	}
	key, value, ok := strings.Cut(spec, "=")
	if dir, name := path.Split(spec); strings.HasPrefix(dir, "/dev/disk/by-") {
		key, value, ok = strings.ToUpper(strings.TrimSuffix(strings.TrimPrefix(dir, "/dev/disk/by-"), "/")), name, true
	}
	if !ok {
		return nil, strings.HasPrefix(spec, "/dev/")
	}
	value = strings.Trim(value, `"`)
	switch key {
	case "UUID":
		found = d.with(func(p Partition) bool { return sameUUID(p.UUID, value) })
	case "PARTUUID":
		found = d.with(func(p Partition) bool { return sameUUID(p.ID, value) })
	case "LABEL":
		found = d.with(func(p Partition) bool { return p.Label != "" && p.Label == value })
	case "PARTLABEL":
		found = d.with(func(p Partition) bool { return p.Name != "" && p.Name == value })
	default:
		return nil, false
	}
	return found, true
}

// with returns the partitions of which something is so.
func (d *Disk) with(is func(Partition) bool) []Partition {
	var found []Partition
	for _, p := range d.Partitions {
		if is(p) {
			found = append(found, p)
		}
	}
	return found
}
