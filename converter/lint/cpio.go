package lint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/payload"
)

// Of archives in cpio's format newc (Documentation/driver-api/early-userspace/
// buffer-format.rst of Linux): a header of hexadecimal digits, the name, the
// content, each padded to four bytes.
const (
	cpioMagic    = "07070" // and 1, or 2 with a checksum
	cpioHeader   = 110
	cpioFileSize = 54 // where eight digits begin
	cpioNameSize = 94
	cpioTrailer  = "TRAILER!!!"
	cpioUnit     = 4
)

// Limits on initrds.
const (
	maxInitrd   = 4 << 30 // bytes, uncompressed
	maxEntries  = 1 << 20
	maxNameSize = 4096
)

// errInitrd is wrapped by errors about initrds that cannot be read.
var errInitrd = errors.New("not a sound initrd")

// initrdNames returns the names of the files in an initrd: archives, one after
// another, each as it is or compressed. The first often holds nothing but
// microcode.
func initrdNames(r io.Reader) (map[string]bool, error) {
	names := make(map[string]bool)
	source := bufio.NewReaderSize(r, 64<<10)
	for {
		head, err := nextArchive(source)
		if err == io.EOF {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(string(head), cpioMagic) {
			if err := readArchive(source, names); err != nil {
				return nil, err
			}
			continue
		}
		unpacked, format, err := payload.NewReader(source)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errInitrd, err)
		}
		err = readArchives(unpacked, names)
		if err = errors.Join(err, unpacked.Close()); err != nil {
			return nil, fmt.Errorf("in %s: %w", format, err)
		}
	}
}

// nextArchive skips zeros between archives, and returns how the next begins.
func nextArchive(source *bufio.Reader) ([]byte, error) {
	for {
		head, err := source.Peek(len(cpioMagic))
		if len(head) == 0 {
			return nil, err
		}
		if head[0] != 0 {
			return head, nil
		}
		_, _ = source.ReadByte()
	}
}

// readArchives reads archives to the end of what was compressed.
func readArchives(r io.Reader, names map[string]bool) error {
	limited := &io.LimitedReader{R: r, N: maxInitrd}
	source := bufio.NewReaderSize(limited, 64<<10)
	for {
		switch head, err := nextArchive(source); {
		case err == io.EOF && limited.N > 0:
			return nil
		case err == io.EOF:
			return fmt.Errorf("%w: it has more than %d bytes", errInitrd, int64(maxInitrd))
		case err != nil:
			return err
		case !strings.HasPrefix(string(head), cpioMagic):
			return fmt.Errorf("%w: expected a cpio archive, found % x", errInitrd, head)
		}
		if err := readArchive(source, names); err != nil {
			return err
		}
	}
}

// readArchive reads an archive and its trailer.
func readArchive(source *bufio.Reader, names map[string]bool) error {
	header := make([]byte, cpioHeader)
	for {
		if _, err := io.ReadFull(source, header); err != nil {
			return fmt.Errorf("%w: it ends without its trailer: %w", errInitrd, err)
		}
		if !strings.HasPrefix(string(header), cpioMagic) {
			return fmt.Errorf("%w: expected the header of a file after %d of them, found %q", errInitrd, len(names), header[:6])
		}
		size, err := strconv.ParseUint(string(header[cpioFileSize:cpioFileSize+8]), 16, 32)
		if err != nil {
			return fmt.Errorf("%w: the size of a file: %w", errInitrd, err)
		}
		nameSize, err := strconv.ParseUint(string(header[cpioNameSize:cpioNameSize+8]), 16, 32)
		if err != nil || nameSize < 1 || nameSize > maxNameSize {
			return fmt.Errorf("%w: a name of %d bytes, expected at most %d", errInitrd, nameSize, maxNameSize)
		}
		name := make([]byte, container.AlignUp(cpioHeader+int64(nameSize), cpioUnit)-cpioHeader)
		if _, err := io.ReadFull(source, name); err != nil {
			return fmt.Errorf("%w: it ends within a name: %w", errInitrd, err)
		}
		path := string(name[:nameSize-1])
		if path == cpioTrailer {
			return nil
		}
		if _, err := io.CopyN(io.Discard, source, container.AlignUp(int64(size), cpioUnit)); err != nil {
			return fmt.Errorf("%w: it ends within %q: %w", errInitrd, path, err)
		}
		if len(names) == maxEntries {
			return fmt.Errorf("%w: it has more than %d files", errInitrd, maxEntries)
		}
		names[strings.TrimPrefix(strings.TrimPrefix(path, "."), "/")] = true
	}
}
