package provider

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
)

// derive returns the canonical parameters of a request and their digest: the
// derivation key. config is the canonical configuration, if there is one.
func derive(req api.RenderRequest, config json.RawMessage) (parameters string, key digest.Digest, err error) {
	d := converter.Derivation{
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
	return d.Canonical()
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
