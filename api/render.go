package api

import (
	"encoding/json"

	"github.com/opencontainers/go-digest"
)

// ComponentRenders is the part of the extension that renders in the registry.
//
//	POST /v2/<repository>/_cloudlets/renders                 body: RenderRequest → Render
//	GET  /v2/<repository>/_cloudlets/renders/<key>           → Render; ?wait waits for the end
//	GET  /v2/<repository>/_cloudlets/renders/<key>/content   the output, by Range at any offset
//	GET  /v2/<repository>/_cloudlets/renders/<key>/content/<name>   a file of it
//
// <key> is the derivation key. The POST answers as soon as the output can be
// read: 201 where its artifact exists, 202 where its digest is still being
// computed. What has to be compressed first is waited for no longer than a
// second.
const ComponentRenders = "renders"

// RenderRequest asks for a render.
type RenderRequest struct {
	// Image is the digest of the image's OCI manifest or index.
	Image digest.Digest `json:"image"`
	// Format is the name of a format, such as "qcow2", "azure" or "tar".
	Format string `json:"format"`
	// Type is what the format holds of the image: "disk", "filesystem", "kernel",
	// "ramdisk", "persistent" or "iso9660"; empty is what it usually holds.
	Type string `json:"type,omitempty"`
	// Entrypoint is the kind of the entry point, "kernel", "init" or "chroot";
	// empty is the first of the image's that the output can start.
	Entrypoint string `json:"entrypoint,omitempty"`
	// Size is the size of the disk in bytes; 0 is content plus FreeSpace.
	Size int64 `json:"size,omitempty"`
	// FreeSpace is how many bytes of the root filesystem stay free, at least.
	FreeSpace int64 `json:"freeSpace,omitempty"`
	// Volatile keeps the volatile paths of the image in the output.
	Volatile bool `json:"volatile,omitempty"`
	// Compress has content really compressed: with one of the format's
	// compressions, or "default". Empty is not at all.
	Compress string `json:"compress,omitempty"`
	// Parent is the digest of an image or a disk in the repository: the output holds
	// only what differs from its disk, and names that by its digest. Of a root
	// filesystem that is what the same request gives without a configuration.
	Parent digest.Digest `json:"parent,omitempty"`
	// KernelArgs are appended to the kernel's command line.
	KernelArgs string `json:"kernelArgs,omitempty"`
	// Config is the configuration: hostname, dns, ip, args.
	Config json.RawMessage `json:"config,omitempty"`
	// Persistent has the persistent paths mounted from a second disk, which is
	// rendered by a request like this with the type "persistent".
	Persistent bool `json:"persistent,omitempty"`
	// PersistentSize is the size of that second disk in bytes; 0 is as small as
	// possible.
	PersistentSize int64 `json:"persistentSize,omitempty"`
	// VolatileTmpfs has directories for volatile files mounted in memory.
	VolatileTmpfs bool `json:"volatileTmpfs,omitempty"`
	// Bootkit brings bootloader files that the image does not have.
	Bootkit *Bootkit `json:"bootkit,omitempty"`
}

// ForParent returns the request for the disk of the parent, raw. content says that
// it is a disk already, and no root filesystem: it is taken as it is.
func (r RenderRequest) ForParent(content bool) RenderRequest {
	if content {
		return RenderRequest{Image: r.Parent, Format: "raw"}
	}
	r.Image, r.Format = r.Parent, "raw"
	r.Parent, r.Compress, r.Config = "", "", nil
	return r
}

// States of a render.
const (
	RenderPlanning = "planning" // not readable yet
	RenderPlanned  = "planned"  // readable; the digest is being computed
	RenderDone     = "done"     // the artifact exists
	RenderFailed   = "failed"
)

// RenderFile is one file of an output.
type RenderFile struct {
	Name      string        `json:"name"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`           // bytes
	Content   string        `json:"content"`        // path to read it at
	Blob      digest.Digest `json:"blob,omitempty"` // once done
}

// Render is the state of a render.
type Render struct {
	Key      digest.Digest `json:"key"`
	State    string        `json:"state"`
	Error    string        `json:"error,omitempty"`
	Size     int64         `json:"size"`               // of the output's first file in bytes
	Content  string        `json:"content"`            // path to read that at
	Blob     digest.Digest `json:"blob,omitempty"`     // of that, once done
	Files    []RenderFile  `json:"files,omitempty"`    // all files of the output, once planned
	Artifact digest.Digest `json:"artifact,omitempty"` // of the derived artifact's manifest, once done
	Hashed   int64         `json:"hashed,omitempty"`   // bytes of all files read so far
	Boot     []string      `json:"boot,omitempty"`     // firmware the disk boots with: "bios", "uefi"
	// CommandLine is what the kernel is started with, of a filesystem, a kernel
	// or a ramdisk.
	CommandLine string   `json:"commandLine,omitempty"`
	Notes       []string `json:"notes,omitempty"` // what a person should know about the result
}
