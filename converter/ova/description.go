package ova

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// description is what is read of a description. Namespaces are not looked at:
// producers differ in them.
type description struct {
	Files  []listedFile `xml:"References>File"`
	Disks  []listedDisk `xml:"DiskSection>Disk"`
	System struct {
		ID string `xml:"id,attr"`
	} `xml:"VirtualSystem"`
}

type listedFile struct {
	ID          string `xml:"id,attr"`
	Href        string `xml:"href,attr"`
	Compression string `xml:"compression,attr"`
	ChunkSize   string `xml:"chunkSize,attr"`
}

type listedDisk struct {
	ID       string `xml:"diskId,attr"`
	File     string `xml:"fileRef,attr"`
	Parent   string `xml:"parentRef,attr"`
	Capacity string `xml:"capacity,attr"`
	Units    string `xml:"capacityAllocationUnits,attr"`
}

// parseDescription parses a description: one envelope and nothing else.
func parseDescription(text []byte) (*description, error) {
	decoder := xml.NewDecoder(bytes.NewReader(text))
	var e struct {
		XMLName xml.Name
		description
	}
	if err := decoder.Decode(&e); err != nil {
		return nil, fmt.Errorf("%w: the description is not XML: %w", container.ErrFormat, err)
	}
	if e.XMLName.Local != "Envelope" {
		return nil, fmt.Errorf("%w: the description is a %q, want an Envelope", container.ErrFormat, e.XMLName.Local)
	}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return &e.description, nil
		}
		if _, ok := token.(xml.StartElement); ok || err != nil {
			return nil, fmt.Errorf("%w: the description goes on after its end", container.ErrFormat)
		}
	}
}

// file returns the name of the file with an identifier.
func (d *description) file(id string) (string, error) {
	for _, f := range d.Files {
		if f.ID != id {
			continue
		}
		if f.Compression != "" && f.Compression != "identity" || f.ChunkSize != "" {
			return "", fmt.Errorf("%w: the file %q is compressed (%q) or in chunks; unpack it first", container.ErrUnsupported, f.Href, f.Compression)
		}
		return f.Href, nil
	}
	return "", fmt.Errorf("%w: the description lists no file %q", container.ErrFormat, id)
}

// size returns the size of a disk in bytes, as the description gives it: a
// number of units, which are "byte" and a power of two (DSP0004, "Programmatic
// Units").
func (d listedDisk) size() (int64, error) {
	n, err := strconv.ParseInt(d.Capacity, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: a capacity of %q", container.ErrFormat, d.Capacity)
	}
	units := strings.ReplaceAll(d.Units, " ", "")
	if units == "" || units == "byte" {
		return n, nil
	}
	const maxShift = 62
	exponent, ok := strings.CutPrefix(units, "byte*2^")
	shift, err := strconv.ParseUint(exponent, 10, 8)
	if !ok || err != nil || shift > maxShift || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%w: a capacity of %d in units of %q, want bytes times a power of two", container.ErrFormat, n, d.Units)
	}
	return n << shift, nil
}
