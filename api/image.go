package api

import "github.com/opencontainers/go-digest"

// Annotations of golden images and of what is made from them.
const (
	// AnnotationManifest, on an OCI manifest, is the image's cloudlet manifest,
	// so that nobody has to open a layer to read it.
	AnnotationManifest = "org.cloudlets.manifest"

	// On a layer's descriptor: where the layer keeps its frame index (offset
	// and size in bytes, decimal) and the index's digest. A signature of the
	// manifest thereby covers the index.
	AnnotationFramesOffset = "org.cloudlets.frames.offset"
	AnnotationFramesSize   = "org.cloudlets.frames.size"
	AnnotationFramesDigest = "org.cloudlets.frames.digest"

	// On a derived artifact's manifest: the derivation key, and what it is the
	// digest of as JSON.
	AnnotationDerivation = "org.cloudlets.render.derivation"
	AnnotationParameters = "org.cloudlets.render.parameters"
)

// Media types and artifact types.
const (
	// ArtifactBootKit is the artifact type of a boot kit: one layer that holds
	// bootloader files.
	ArtifactBootKit = "application/vnd.cloudlets.bootkit.v1"

	artifactDiskPrefix = "application/vnd.cloudlets.disk."
)

// ArtifactDisk returns the artifact type of a disk in a format, which is also
// the media type of the disk's blob.
func ArtifactDisk(format string) string { return artifactDiskPrefix + format }

// Bootkit names a boot kit.
type Bootkit struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
}
