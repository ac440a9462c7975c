package converter

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Derivation is what decides every byte of an output. Its JSON is canonical:
// fields in this order, without those at their zero value.
type Derivation struct {
	Converter  int             `json:"converter"` // Version
	Image      digest.Digest   `json:"image"`
	Format     string          `json:"format"`
	Size       int64           `json:"size,omitempty"`
	FreeSpace  int64           `json:"freeSpace,omitempty"`
	Volatile   bool            `json:"volatile,omitempty"`
	KernelArgs string          `json:"kernelArgs,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"` // canonical
	Bootkit    digest.Digest   `json:"bootkit,omitempty"`

	Type           string `json:"type,omitempty"`
	Entrypoint     string `json:"entrypoint,omitempty"`
	Persistent     bool   `json:"persistent,omitempty"`
	PersistentSize int64  `json:"persistentSize,omitempty"`
	VolatileTmpfs  bool   `json:"volatileTmpfs,omitempty"`
	Compress       string `json:"compress,omitempty"`

	Parent digest.Digest `json:"parent,omitempty"`
}

// Derive returns what a request asks for, but for its configuration: see
// [Configuration].
func Derive(req api.RenderRequest) Derivation {
	d := Derivation{
		Converter: Version, Image: req.Image, Format: req.Format, Size: req.Size, FreeSpace: req.FreeSpace,
		Volatile: req.Volatile, KernelArgs: strings.Join(strings.Fields(req.KernelArgs), " "),
		Type: req.Type, Entrypoint: req.Entrypoint, Compress: req.Compress,
		Persistent: req.Persistent, VolatileTmpfs: req.VolatileTmpfs, Parent: req.Parent,
	}
	if req.Type == TypePersistent {
		d.PersistentSize = req.PersistentSize
	}
	if req.Bootkit != nil {
		d.Bootkit = req.Bootkit.Digest
	}
	return d
}

// ErrSecrets refuses a configuration with secrets. All who may pull a derived
// artifact could read them, and all who see its digest could guess at them.
var ErrSecrets = errors.New("the configuration has secrets, which a derived artifact would show to all who may pull it: " +
	"render the image into a file on your own machine, with cloudlets raw or render --here -o, or leave the secret arguments out")

// Configuration reads a configuration for an image of which an artifact is to be
// derived: none is the empty one. The error is ErrSecrets, or says what is not
// valid.
func Configuration(m *cloudlet.Manifest, given json.RawMessage) (*cloudlet.Configuration, error) {
	c, err := m.Configure(given)
	if err != nil {
		return nil, err
	}
	if len(c.Secrets()) > 0 {
		return nil, ErrSecrets
	}
	return c, nil
}

// Canonical returns the derivation as JSON, and the digest of that: the
// derivation key.
func (d Derivation) Canonical() (parameters string, key digest.Digest, err error) {
	format, err := FindFormat(d.Format)
	if err != nil {
		return "", "", err
	}
	compression, err := format.Compression(d.Compress)
	if err != nil {
		return "", "", err
	}
	d.Compress = compression.Name
	b, err := json.Marshal(d)
	return string(b), digest.FromBytes(b), err
}

// ParseDerivation reads what Canonical has returned.
func ParseDerivation(parameters string) (Derivation, error) {
	var d Derivation
	decoder := json.NewDecoder(strings.NewReader(parameters))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, fmt.Errorf("read the parameters of a render: %w", err)
	}
	if err := d.Image.Validate(); err != nil {
		return d, fmt.Errorf("read the parameters of a render: image %q: %w", d.Image, err)
	}
	return d, nil
}

// Parameters returns what is rendered, but for what the image itself says and
// brings: its cloudlet manifest and the boot kit.
func (d Derivation) Parameters() Parameters {
	return Parameters{
		Format: d.Format, Type: d.Type, Entrypoint: d.Entrypoint, Compress: d.Compress, Parent: d.Parent,
		Disk:   disk.Options{Size: d.Size, FreeSpace: d.FreeSpace, KernelArgs: strings.Fields(d.KernelArgs)},
		Mounts: Mounts{Persistent: d.Persistent, PersistentSize: d.PersistentSize, VolatileTmpfs: d.VolatileTmpfs},
	}
}
