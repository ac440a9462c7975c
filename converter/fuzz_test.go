package converter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/converter/ova"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
)

// FuzzRenderRequest derives keys of requests as clients send them: the parameters
// say all that the key was made of.
func FuzzRenderRequest(f *testing.F) {
	for _, s := range []string{
		`{"image":"sha256:x","format":"raw"}`, `{"format":"qcow2","size":-1,"config":{"hostname":"a","args":{"b":1}}}`,
		`{"config":null}`, `{"config":{"dns":["1.1.1.1"]}}`, `{"config":{"hostname":1}}`, `{"kernelArgs":"\u0000"}`, `{}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ask api.RenderRequest
		if json.Unmarshal(raw, &ask) != nil {
			return
		}
		parameters, key, err := derive(ask, ask.Config)
		if err != nil {
			return
		}
		again, same, err := derive(ask, ask.Config)
		if err != nil || again != parameters || same != key || key.Validate() != nil || !json.Valid([]byte(parameters)) {
			t.Errorf("%q derives %s from %q, then %s from %q, %v", raw, key, parameters, same, again, err)
		}
	})
}

// FuzzOpen has every reader read files, those of its own format and all others: it
// is declared what they are, and may be a lie.
func FuzzOpen(f *testing.F) {
	disk := convertertest.Build(f, func(b *extent.Builder) {
		b.Inline([]byte("boot"))
		b.Zero(100<<10 - 4)
		b.Inline(bytes.Repeat([]byte("end."), 128))
	})
	blobs := convertertest.Blobs{}
	formats := []string{containerOVA}
	f.Add(byte(0), packageOf(f, disk, blobs))
	for _, format := range Formats() {
		if format.Open == nil {
			continue
		}
		formats = append(formats, format.Name)
		const most = 600 << 10 // a fuzzer finds out little about long files
		if file := written(f, format, disk, blobs); len(file) < most {
			f.Add(byte(len(formats)-1), file)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, file []byte) {
		hostile := formattest.Format{Open: func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
			opened, err := Open(t.Context(), formats[int(which)%len(formats)], r, size, source)
			if errors.Is(err, ova.ErrDigest) {
				err = errors.Join(container.ErrFormat, err)
			}
			return opened, err
		}}
		hostile.OpenHostile(t, file)
	})
}

// written returns the file of a disk in a format.
func written(f *testing.F, format Format, disk *extent.Map, blobs convertertest.Blobs) []byte {
	f.Helper()
	m, err := format.write(&render{ctx: f.Context(), format: format, Input: Input{Open: blobs, Spool: blobs}}, disk)
	if err != nil {
		f.Fatalf("%s: %v", format.Name, err)
	}
	return convertertest.Bytes(f, m, blobs)
}

// packageOf returns an OVA with a disk.
func packageOf(f *testing.F, disk *extent.Map, blobs convertertest.Blobs) []byte {
	f.Helper()
	file, err := vmdk.WriteStored(f.Context(), disk, blobs, vmdk.Options{})
	if err != nil {
		f.Fatal(err)
	}
	m, err := ova.Write(f.Context(), ova.Machine{Name: "machine"}, []ova.Disk{{File: file, Capacity: disk.Size()}}, blobs)
	if err != nil {
		f.Fatal(err)
	}
	return convertertest.Bytes(f, m, blobs)
}
