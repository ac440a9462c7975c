package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/ulikunitz/xz/lzma"
)

// SectorSize is the size of a disk sector as a BIOS counts them, in bytes.
const SectorSize = 512

// The module area (include/grub/kernel.h): a header of three u32 (magic, offset
// of the first object, size of all), then objects behind two u32 each (type,
// size with the header). Objects are padded to 4 bytes with zeros.
const (
	moduleMagic      = 0x676d696d // "mimg"
	moduleInfoSize   = 12
	objectHeaderSize = 8
	objectAlign      = 4

	objectELF    = 0
	objectConfig = 2
	objectPrefix = 3
)

// Fields of lzma_decompress.img, u32 each (include/grub/offsets.h). The two
// Reed-Solomon fields, at 0x10 and 0x14, stay as they are shipped: no
// redundancy, so nothing is repaired at boot.
const (
	decompressCompressedSize   = 0x08
	decompressUncompressedSize = 0x0c
	decompressHeaderSize       = 0x1c
	maxDecompress              = 0x2200 // GRUB_DECOMPRESSOR_I386_PC_MAX_DECOMPRESSOR_SIZE
)

// The block list entry that ends diskboot.img (include/grub/i386/pc/boot.h):
// where the rest of the core image starts on the disk (u64 LBA), how many
// sectors it has (u16), and the segment to load it to (u16, shipped right).
const (
	blockListStart   = 500
	blockListSectors = 508
)

// What the core image may fill: it is loaded at 0x8000 (diskboot.img) and
// 0x8200 (the rest) and must end below the scratch area that GRUB and the BIOS
// use, at 0x78000.
const (
	coreLoadAddr = 0x8000
	coreLoadEnd  = 0x78000
	maxCore      = coreLoadEnd - coreLoadAddr
)

// The decoder in lzma_decompress.img is assembled for these properties and
// reads from all it has written, so any dictionary would do; this is the one
// that grub-mkimage uses.
const (
	lzmaLC         = 3
	lzmaLP         = 0
	lzmaPB         = 2
	lzmaDictionary = 64 << 10
	lzmaHeaderSize = 13 // of a .lzma file, which a raw stream does not have
)

const (
	maxPrefix = 4 << 10  // bytes; paths in GRUB are far shorter
	maxConfig = 64 << 10 // bytes
)

// ErrTooBig is wrapped where a core image does not fit the memory it is loaded to.
var ErrTooBig = errors.New("the core image is too big")

// Options say what a core image holds besides GRUB's kernel.
type Options struct {
	// Prefix is the directory with GRUB's configuration, such as "/boot/grub"
	// or "(hd0,gpt2)/grub": what $prefix is when GRUB starts.
	Prefix string
	// Config is run by GRUB's rescue parser before anything else: commands,
	// one a line, without if or functions. May be empty.
	Config string
	// Modules are the names of the modules to build in; those they need are
	// added.
	Modules []string
	// LBA is the sector of the disk at which the core image will start.
	LBA uint64
	// Packer remembers compressed core images, or is nil.
	Packer *Packer
}

// CoreImage returns the core image made from the kit, as
// `grub-mkimage -O i386-pc -p Prefix -c Config Modules…` does, told where it
// stands on the disk. Its length is a multiple of [SectorSize].
func CoreImage(kit Kit, opts Options) ([]byte, error) {
	core, err := coreImage(kit, opts)
	if err != nil {
		return nil, fmt.Errorf("make the GRUB core image: %w", err)
	}
	return core, nil
}

func coreImage(kit Kit, opts Options) ([]byte, error) {
	payload, err := corePayload(kit, opts)
	if err != nil {
		return nil, err
	}
	packed, err := opts.Packer.compress(payload)
	if err != nil {
		return nil, err
	}
	decompressor, err := patchedDecompressor(kit, len(packed), len(payload))
	if err != nil {
		return nil, err
	}
	rest := len(decompressor) + len(packed)
	sectors := (rest + SectorSize - 1) / SectorSize
	if size := SectorSize * (1 + sectors); size > maxCore {
		return nil, fmt.Errorf("%w: %d bytes, at most %d fit; leave out modules", ErrTooBig, size, maxCore)
	}
	loader, err := patchedDiskboot(kit, opts.LBA, sectors)
	if err != nil {
		return nil, err
	}
	core := make([]byte, 0, SectorSize*(1+sectors))
	core = append(core, loader...)
	core = append(core, decompressor...)
	core = append(core, packed...)
	return core[:cap(core)], nil
}

// corePayload returns what is compressed: the kernel and the module area.
func corePayload(kit Kit, opts Options) ([]byte, error) {
	file, err := kit.read(fileKernel, maxKernelFile)
	if err != nil {
		return nil, err
	}
	kernel, err := loadKernel(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fileKernel, err)
	}
	objects, err := coreObjects(kit, opts)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	payload := kernel
	payload = le.AppendUint32(payload, moduleMagic)
	payload = le.AppendUint32(payload, moduleInfoSize)
	payload = le.AppendUint32(payload, uint32(moduleInfoSize+len(objects)))
	return append(payload, objects...), nil
}

// coreObjects returns the objects of the module area in the order in which
// grub-mkimage writes them.
func coreObjects(kit Kit, opts Options) ([]byte, error) {
	list, err := kit.read(fileModDep, maxModDep)
	if err != nil {
		return nil, err
	}
	deps, err := parseModDep(list)
	if err != nil {
		return nil, err
	}
	names, err := deps.resolve(opts.Modules)
	if err != nil {
		return nil, err
	}
	var objects []byte
	for _, name := range names {
		module, err := kit.readModule(name)
		if err != nil {
			return nil, err
		}
		objects = appendObject(objects, objectELF, module)
		if len(objects) > maxPayload {
			return nil, fmt.Errorf("%w: the modules have more than %d bytes", ErrTooBig, maxPayload)
		}
	}
	if opts.Config != "" {
		config, err := cString("embedded configuration", opts.Config, maxConfig)
		if err != nil {
			return nil, err
		}
		objects = appendObject(objects, objectConfig, config)
	}
	prefix, err := cString("prefix", opts.Prefix, maxPrefix)
	if err != nil {
		return nil, err
	}
	return appendObject(objects, objectPrefix, prefix), nil
}

// maxPayload bounds the bytes before compression, so that hostile kits cost
// little. Four times what fits after it is more than LZMA makes of code.
const maxPayload = 4 * maxCore

func appendObject(area []byte, kind uint32, data []byte) []byte {
	padded := (len(data) + objectAlign - 1) / objectAlign * objectAlign
	area = binary.LittleEndian.AppendUint32(area, kind)
	area = binary.LittleEndian.AppendUint32(area, uint32(objectHeaderSize+padded))
	area = append(area, data...)
	return append(area, make([]byte, padded-len(data))...)
}

// cString returns s with the NUL that ends it.
func cString(what, s string, limit int) ([]byte, error) {
	if len(s) > limit {
		return nil, fmt.Errorf("%s of %d bytes, expected at most %d", what, len(s), limit)
	}
	if strings.ContainsRune(s, 0) {
		return nil, fmt.Errorf("%s contains a NUL byte", what)
	}
	return append([]byte(s), 0), nil
}

// compress returns data as a raw LZMA stream without an end marker: the decoder
// stops at the uncompressed size in its header.
func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	config := lzma.WriterConfig{
		Properties: &lzma.Properties{LC: lzmaLC, LP: lzmaLP, PB: lzmaPB},
		DictCap:    lzmaDictionary,
		Size:       int64(len(data)),
	}
	w, err := config.NewWriter(&out)
	if err != nil {
		return nil, fmt.Errorf("start LZMA: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("compress %d bytes with LZMA: %w", len(data), err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress %d bytes with LZMA: %w", len(data), err)
	}
	return out.Bytes()[lzmaHeaderSize:], nil
}

func patchedDecompressor(kit Kit, compressed, uncompressed int) ([]byte, error) {
	file, err := kit.read(fileDecompress, maxDecompress)
	if err != nil {
		return nil, err
	}
	if len(file) < decompressHeaderSize {
		return nil, fmt.Errorf("%s is %d bytes long, expected at least %d", fileDecompress, len(file), decompressHeaderSize)
	}
	image := bytes.Clone(file)
	binary.LittleEndian.PutUint32(image[decompressCompressedSize:], uint32(compressed))
	binary.LittleEndian.PutUint32(image[decompressUncompressedSize:], uint32(uncompressed))
	return image, nil
}

func patchedDiskboot(kit Kit, lba uint64, sectors int) ([]byte, error) {
	if lba == 0 || lba > math.MaxInt64/SectorSize {
		return nil, fmt.Errorf("at sector %d, expected after the boot sector and within a disk", lba)
	}
	file, err := kit.readSector(fileDiskboot)
	if err != nil {
		return nil, err
	}
	image := bytes.Clone(file)
	binary.LittleEndian.PutUint64(image[blockListStart:], lba+1)
	binary.LittleEndian.PutUint16(image[blockListSectors:], uint16(sectors))
	return image, nil
}
