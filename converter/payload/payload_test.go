package payload

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

// compressors make streams of content in files, as a shell would.
var compressors = []struct {
	name, tool, debianPackage string
	args                      string // of the shell, with $1 for the file
	format                    Format
	left                      bool // what follows the stream is left to read
}{
	{"gzip", "gzip", "gzip", "gzip -9cn", Gzip, true},
	{"bzip2", "bzip2", "bzip2", "bzip2 -c", Bzip2, false},
	{"lzma", "xz", "xz-utils", "xz --format=lzma -c", LZMA, false},
	{"xz", "xz", "xz-utils", "xz -c", XZ, true},
	{"xz as initramfs-tools calls it", "xz", "xz-utils", "xz --check=crc32 -c", XZ, true},
	{"xz as Linux calls it", "xz", "xz-utils", "xz --check=crc32 --x86 --lzma2=dict=32MiB -c", XZ, true},
	{"xz with SHA-256", "xz", "xz-utils", "xz --check=sha256 --x86 --lzma2=preset=1 -c", XZ, true},
	{"xz without a check", "xz", "xz-utils", "xz --check=none -0 -c", XZ, true},
	{"xz with blocks", "xz", "xz-utils", "xz -T2 --block-size=200KiB --x86 --lzma2=preset=1 -c", XZ, true},
	{"lz4", "lz4", "lz4", "lz4 -l -9 -c", LZ4, false},
	{"lz4, fast", "lz4", "lz4", "lz4 -l -1 -c", LZ4, false},
	{"zstd", "zstd", "zstd", "zstd -q -c", Zstd, false},
	{"zstd, far back", "zstd", "zstd", "zstd -12 --long=27 -q -c", Zstd, false},
}

// program returns machine code: that of this test.
func program(t *testing.T) []byte {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content[:min(len(content), 1<<20)]
}

func TestWhatToolsCompressIsRead(t *testing.T) {
	for _, c := range compressors {
		t.Run(c.name, func(t *testing.T) {
			convertertest.Need(t, c.tool, c.debianPackage)
			for name, content := range map[string][]byte{
				"program": program(t),
				"text":    []byte(strings.Repeat("all work and no play ", 500)),
				"calls":   bytes.Repeat([]byte{0xe8, 0xe9, 0xff, 0, 0xe8, 0xff}, 999),
				"letter":  []byte("a"),
			} {
				stream := convertertest.Filter(t, c.args, content)
				if got := Detect(stream); got != c.format {
					t.Fatalf("%s is detected as %q", name, got)
				}
				source := bufio.NewReader(bytes.NewReader(stream))
				if c.left {
					source = bufio.NewReader(io.MultiReader(bytes.NewReader(stream), strings.NewReader("what follows")))
				}
				r, _, err := NewReader(source)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err = errors.Join(err, r.Close()); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if !bytes.Equal(got, content) {
					t.Errorf("%s of %d bytes is read as %d others", name, len(content), len(got))
				}
				if rest, _ := io.ReadAll(source); c.left && string(rest) != "what follows" {
					t.Errorf("%s: %q is left to read", name, rest)
				}
			}
		})
	}
}

// TestDamagedStreamsAreRefused cuts streams short and flips bits of them.
func TestDamagedStreamsAreRefused(t *testing.T) {
	content := program(t)[:100<<10]
	for _, c := range compressors {
		t.Run(c.name, func(t *testing.T) {
			convertertest.Need(t, c.tool, c.debianPackage)
			stream := convertertest.Filter(t, c.args, content)
			for _, size := range []int{len(stream) / 2, len(stream) - 5} {
				if got, _, err := Decode(stream[:size], 1<<30); !errors.Is(err, ErrFormat) {
					t.Errorf("%d of %d bytes: got %d bytes, %v", size, len(stream), len(got), err)
				}
			}
			if _, _, err := Decode(stream, int64(len(content))-1); !errors.Is(err, ErrFormat) {
				t.Errorf("more content than is allowed: %v", err)
			}
			for at := 20; at < len(stream); at += len(stream) / 12 {
				damaged := bytes.Clone(stream)
				damaged[at] ^= 0x10
				if got, _, err := Decode(damaged, 1<<30); err == nil && len(got) > 2*len(content) {
					t.Errorf("damage at %d: %d bytes", at, len(got))
				}
			}
		})
	}
}

func TestWhatIsNotReadIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		stream string
		want   error
		says   string
	}{
		"LZO":               {"\x89LZO\x00\r\n\x1a\n", ErrUnsupported, "LZO"},
		"text":              {"hello", ErrFormat, "like none of"},
		"nothing":           {"", ErrFormat, "like none of"},
		"LZ4, huge block":   {lz4Magic + "\xff\xff\xff\xff", ErrFormat, "expected at most"},
		"LZ4, far match":    {lz4Magic + "\x04\x00\x00\x00\x10a\xff\xff", ErrFormat, "corrupt"},
		"LZ4, overlong":     {lz4Magic + "\x02\x00\x00\x00\x50a", ErrFormat, "corrupt"},
		"LZ4, endless size": {lz4Magic + "\x02\x00\x00\x00\xf0\xff", ErrFormat, "corrupt"},
	} {
		if _, _, err := Decode([]byte(c.stream), 1<<20); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	convertertest.Need(t, "xz", "xz-utils")
	if _, _, err := Decode(convertertest.Filter(t, "xz --arm --lzma2=preset=0 -c", program(t)), 1<<30); !errors.Is(err, ErrUnsupported) {
		t.Errorf("another filter of xz: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00",
		lz4Magic + "\x02\x00\x00\x00\x10a",
		lz4Magic + "\x06\x00\x00\x00\x10a\x01\x00\x10b",
		xzMagic + "\x00\x01\x69\x22\xde\x36\x00\x00\x00\x00\x1c\xdf\x44\x21\x90\x42\x99\x0d\x00\x00\x00\x00\x00\x01YZ",
		"\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x30", "BZh91AY&SY", "\x28\xb5\x2f\xfd\x04\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		content, _, err := Decode(stream, 4<<20)
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
			t.Fatal(err)
		}
		if len(content) > 4<<20 {
			t.Fatal("more content than was allowed")
		}
	})
}

// FuzzX86 checks that any bytes can be unfiltered, and what is no target stays.
func FuzzX86(f *testing.F) {
	f.Add([]byte("\xe8\x00\x00\x00\x00\xe9\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := bytes.Clone(p)
		unfilterX86(p)
		if len(p) < x86Length && !bytes.Equal(p, before) {
			t.Fatal("bytes too few for an instruction were changed")
		}
	})
}
