package provider

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
)

// derivation is what decides every byte of an output. Its JSON is canonical:
// fields in this order, without those at their zero value.
type derivation struct {
	Converter  int             `json:"converter"`
	Image      digest.Digest   `json:"image"`
	Format     string          `json:"format"`
	Size       int64           `json:"size,omitempty"`
	FreeSpace  int64           `json:"freeSpace,omitempty"`
	Volatile   bool            `json:"volatile,omitempty"`
	KernelArgs string          `json:"kernelArgs,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"`
	Bootkit    digest.Digest   `json:"bootkit,omitempty"`

	Type           string `json:"type,omitempty"`
	Entrypoint     string `json:"entrypoint,omitempty"`
	Persistent     bool   `json:"persistent,omitempty"`
	PersistentSize int64  `json:"persistentSize,omitempty"`
	VolatileTmpfs  bool   `json:"volatileTmpfs,omitempty"`
	Compress       string `json:"compress,omitempty"`
}

// derive returns the canonical parameters of a request and their digest: the
// derivation key. config is the canonical configuration, if there is one.
func derive(req api.RenderRequest, config json.RawMessage) (parameters string, key digest.Digest, err error) {
	d := derivation{
		Converter: converter.Version, Image: req.Image, Format: req.Format, Size: req.Size, FreeSpace: req.FreeSpace,
		Volatile: req.Volatile, KernelArgs: strings.Join(strings.Fields(req.KernelArgs), " "), Config: config,
	}
	d.Type, d.Entrypoint, d.Persistent, d.VolatileTmpfs = req.Type, req.Entrypoint, req.Persistent, req.VolatileTmpfs
	if req.Type == converter.TypePersistent {
		d.PersistentSize = req.PersistentSize
	}
	if d.Compress, err = compression(req); err != nil {
		return "", "", err
	}
	if req.Bootkit != nil {
		d.Bootkit = req.Bootkit.Digest
	}
	b, err := json.Marshal(d)
	return string(b), digest.FromBytes(b), err
}

// compression returns the name of the compression that is asked for.
func compression(req api.RenderRequest) (string, error) {
	format, err := converter.FindFormat(req.Format)
	if err != nil {
		return "", err
	}
	c, err := format.Compression(req.Compress)
	return c.Name, err
}
