package vmdk

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// description is what a descriptor says.
type description struct {
	fields map[string]string // in lower case: "createtype"
	parts  []part
}

// part is an extent line: a run of the disk that is in some file.
type part struct {
	sectors int64
	kind    string // in upper case: "SPARSE"
	name    string // of the file, or empty
	offset  int64  // in the file in sectors
}

// isDescriptor reports whether a file starts as descriptors do.
func isDescriptor(start []byte) bool {
	const comment = "# disk descriptorfile"
	return bytes.HasPrefix(bytes.ToLower(start[:min(len(start), len(comment))]), []byte(comment))
}

// refuseDescriptor says what to do with a descriptor that stands alone.
func refuseDescriptor(f container.File) error {
	if f.Size > maxDescriptorBytes {
		return fmt.Errorf("%w: a descriptor, want at most %d bytes", container.ErrFormat, maxDescriptorBytes)
	}
	text, err := f.Bytes("descriptor", 0, f.Size)
	if err != nil {
		return err
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: it is a descriptor (%q) and its content is in %d other files; %s",
		container.ErrUnsupported, d.fields["createtype"], len(d.parts), howToJoin)
}

// checkEmbedded refuses files whose descriptor says that their content is not
// all in them.
func checkEmbedded(f container.File, h header) error {
	n := int64(min(h.descriptor, maxCapacity)) * sectorSize
	if h.descriptorAt > maxCapacity || n > maxDescriptorBytes+1 {
		return fmt.Errorf("%w: a descriptor of %d sectors at sector %d, want at most %d bytes",
			container.ErrFormat, h.descriptor, h.descriptorAt, maxDescriptorBytes)
	}
	text, err := f.Bytes("descriptor", h.descriptorAt*sectorSize, n)
	if err != nil {
		return err
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return err
	}
	if err := d.checkParent(); err != nil {
		return err
	}
	createType := d.fields["createtype"]
	if !strings.EqualFold(createType, monolithicSparse) && !strings.EqualFold(createType, streamOptimized) {
		return fmt.Errorf("%w: a disk of type %q, want %q or %q; %s", container.ErrUnsupported,
			createType, monolithicSparse, streamOptimized, howToJoin)
	}
	if len(d.parts) != 1 || d.parts[0].kind != "SPARSE" {
		return fmt.Errorf("%w: its descriptor names %d extents, want one of type SPARSE", container.ErrFormat, len(d.parts))
	}
	return nil
}

// checkParent refuses disks that leave content to another one.
func (d *description) checkParent() error {
	id := d.fields["parentcid"]
	if _, named := d.fields["parentfilenamehint"]; !named && (id == "" || strings.EqualFold(id, strconv.FormatUint(noParent, 16))) {
		return nil
	}
	return fmt.Errorf("%w: it holds the differences to a parent disk with content ID %q; %s", container.ErrUnsupported, id, howToJoin)
}

// parseDescriptor parses the text of a descriptor, which zeros may follow. Every
// line must be one of the four kinds there are.
func parseDescriptor(text []byte) (*description, error) {
	text, _, _ = bytes.Cut(text, []byte{0})
	if !isDescriptor(text) {
		return nil, fmt.Errorf("%w: its descriptor does not start with %q", container.ErrFormat, "# Disk DescriptorFile")
	}
	d := &description{fields: make(map[string]string)}
	for line := range strings.Lines(string(text)) {
		if err := d.parseLine(strings.TrimSpace(line)); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *description) parseLine(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	if word, rest, ok := strings.Cut(line, " "); ok && isAccess(word) {
		p, err := parsePart(strings.TrimSpace(rest))
		if err != nil {
			return fmt.Errorf("%w: extent line %q: %w", container.ErrFormat, line, err)
		}
		d.parts = append(d.parts, p)
		return nil
	}
	key, value, ok := strings.Cut(line, "=")
	key = strings.ToLower(strings.TrimSpace(key))
	if !ok || key == "" || strings.ContainsAny(key, " \t\"") {
		return fmt.Errorf("%w: its descriptor has the line %.80q", container.ErrFormat, line)
	}
	if old, twice := d.fields[key]; twice && !strings.HasPrefix(key, "ddb.") {
		return fmt.Errorf("%w: its descriptor says twice what %s is, first %.80q", container.ErrFormat, key, old)
	}
	d.fields[key] = strings.Trim(strings.TrimSpace(value), `"`)
	return nil
}

func isAccess(word string) bool {
	return strings.EqualFold(word, "RW") || strings.EqualFold(word, "RDONLY") || strings.EqualFold(word, "NOACCESS")
}

// parsePart parses what follows the access of an extent line:
// size, type, and then a name in quotes and an offset where the type has them.
func parsePart(line string) (p part, err error) {
	size, rest, _ := strings.Cut(line, " ")
	kind, rest, _ := strings.Cut(strings.TrimSpace(rest), " ")
	p.kind = strings.ToUpper(kind)
	if p.sectors, err = parseSectors(size); err != nil {
		return p, err
	}
	rest = strings.TrimSpace(rest)
	if rest == "" {
		return p, nil
	}
	name, offset, ok := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
	if !ok || rest[0] != '"' {
		return p, fmt.Errorf("want a name in quotes, not %q", rest)
	}
	p.name = name
	if offset = strings.TrimSpace(offset); offset != "" {
		// Types of raw devices have more words after it.
		offset, _, _ = strings.Cut(offset, " ")
		p.offset, err = parseSectors(offset)
	}
	return p, err
}

func parseSectors(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > maxCapacity {
		return 0, fmt.Errorf("%q is not a number of sectors up to %d", s, uint64(maxCapacity))
	}
	return int64(n), nil
}
