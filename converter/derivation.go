package converter

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/converter/disk"
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
}

// Canonical returns the derivation as JSON, and the digest of that: the
// derivation key.
func (d Derivation) Canonical() (parameters string, key digest.Digest, err error) {
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
		Format: d.Format, Type: d.Type, Entrypoint: d.Entrypoint, Compress: d.Compress,
		Disk:   disk.Options{Size: d.Size, FreeSpace: d.FreeSpace, KernelArgs: strings.Fields(d.KernelArgs)},
		Mounts: Mounts{Persistent: d.Persistent, PersistentSize: d.PersistentSize, VolatileTmpfs: d.VolatileTmpfs},
	}
}
