package volume

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/gpt"
	"github.com/cloudlets/cloudlets/converter/mbr"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrNoFiles is wrapped where a disk or a partition has no files to be read: there
// is no filesystem, none that is read here, or none to choose among several.
var ErrNoFiles = errors.New("no files to open")

// Kinds of partition tables.
const (
	TableGPT  = "gpt"
	TableMBR  = "mbr"
	TableNone = "none" // the disk is one filesystem
)

// Disk is a disk and its partitions.
type Disk struct {
	Size       int64       `json:"size"`         // bytes
	Table      string      `json:"table"`        // one of the constants
	ID         string      `json:"id,omitempty"` // the GUID or the signature of the table
	Partitions []Partition `json:"partitions"`

	content *extent.Map
	blobs   container.Blobs
}

// Partition is a partition of a disk, or, with the number 0, all of a disk that
// has none.
type Partition struct {
	Number int    `json:"number"`
	Type   string `json:"type,omitempty"` // what the table says it is for
	Name   string `json:"name,omitempty"` // of a GPT
	ID     string `json:"id,omitempty"`   // PARTUUID
	Start  int64  `json:"start"`          // bytes
	Size   int64  `json:"size"`           // bytes
	Contents
}

// String returns what a partition is called in messages.
func (p Partition) String() string {
	what := p.Filesystem
	if what == "" {
		what = "nothing that is known"
	}
	if p.Number == 0 {
		return "the disk (" + what + ")"
	}
	return fmt.Sprintf("partition %d (%s)", p.Number, what)
}

// Open reads the partition table of a disk and looks what is in the partitions:
// content is the disk, and blobs has what it names. An unsound table is an error
// that wraps [container.ErrFormat] or [gpt.ErrFormat].
func Open(ctx context.Context, content *extent.Map, blobs container.Blobs) (*Disk, error) {
	d := &Disk{Size: content.Size(), content: content, blobs: blobs}
	r := extent.NewReader(ctx, content, blobs)
	if err := d.readTable(r); err != nil {
		return nil, errors.Join(fmt.Errorf("open disk of %d bytes: %w", d.Size, err), r.Close())
	}
	for i := range d.Partitions {
		p := &d.Partitions[i]
		var err error
		if p.Contents, err = probe(io.NewSectionReader(r, p.Start, p.Size)); err != nil {
			return nil, errors.Join(fmt.Errorf("look at partition %d: %w", p.Number, err), r.Close())
		}
	}
	return d, r.Close()
}

// readTable finds the partition table. A disk that begins as a filesystem which
// has a boot sector of its own — an ISO for USB sticks has a whole table — is
// that filesystem. Where else both are possible, it is the table, if it is sound.
func (d *Disk) readTable(r io.ReaderAt) error {
	whole, err := probe(io.NewSectionReader(r, 0, d.Size))
	if err != nil {
		return err
	}
	head, err := container.File{Reader: r, Size: d.Size}.Bytes("first sector", 0, min(d.Size, sectorSize))
	if err != nil {
		return err
	}
	switch {
	case whole.hasBootSector || whole.Filesystem != "" && !isMBR(head):
		d.setWhole(whole)
		return nil
	case isProtective(head):
		return d.readGPT(r)
	case isMBR(head):
		return d.readMBROr(r, whole)
	}
	return fmt.Errorf("%w: it has neither a partition table nor a filesystem that is known", ErrNoFiles)
}

// setWhole takes the disk for one filesystem.
func (d *Disk) setWhole(whole Contents) {
	d.Table, d.ID = TableNone, ""
	d.Partitions = []Partition{{Size: d.Size, Contents: whole}}
}

const (
	sectorSize   = 512
	mbrSignature = 510
	mbrTypes     = 446 + 4
	mbrRecord    = 16
)

func isMBR(head []byte) bool {
	return len(head) == sectorSize && head[mbrSignature] == 0x55 && head[mbrSignature+1] == 0xaa
}

// isProtective reports whether an MBR says that there is a GPT.
func isProtective(head []byte) bool {
	if !isMBR(head) {
		return false
	}
	for i := range 4 {
		if head[mbrTypes+i*mbrRecord] == mbr.TypeProtective {
			return true
		}
	}
	return false
}

func (d *Disk) readGPT(r io.ReaderAt) error {
	t, err := gpt.Read(r, d.Size)
	if err != nil {
		return err
	}
	d.Table, d.ID = TableGPT, t.ID.String()
	for _, e := range t.Partitions {
		d.Partitions = append(d.Partitions, Partition{
			Number: e.Number, Type: gptType(e.Type), Name: e.Name, ID: e.ID.String(),
			Start: e.Span.Offset, Size: e.Span.Length,
		})
	}
	return nil
}

// readMBROr reads an MBR. Where it is none that is sound, the disk is the
// filesystem that begins with such a sector, if there is one.
func (d *Disk) readMBROr(r io.ReaderAt, whole Contents) error {
	t, err := mbr.Read(r, d.Size)
	switch {
	case whole.Filesystem != "" && (err != nil || len(t.Partitions) == 0):
		d.setWhole(whole)
		return nil
	case err != nil:
		return err
	}
	d.Table, d.ID = TableMBR, fmt.Sprintf("%08x", t.ID)
	for _, e := range t.Partitions {
		d.Partitions = append(d.Partitions, Partition{
			Number: e.Number, Type: mbrType(e.Type), ID: t.PartitionID(e.Number),
			Start: e.Start, Size: e.Size,
		})
	}
	return nil
}

// Partition returns the partition with a number.
func (d *Disk) Partition(number int) (Partition, error) {
	for _, p := range d.Partitions {
		if p.Number == number {
			return p, nil
		}
	}
	return Partition{}, fmt.Errorf("%w: there is no partition %d; %s", ErrNoFiles, number, d.choices())
}

// choices says what partitions there are.
func (d *Disk) choices() string {
	text := "there are"
	for i, p := range d.Partitions {
		if i > 0 {
			text += ","
		}
		text += " " + p.String()
	}
	return text
}
