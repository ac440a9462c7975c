package api

import (
	"errors"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

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

	// On the descriptor of a disk that is kept as frames: the digest of the raw
	// disk, and its size in bytes, decimal.
	AnnotationContentDigest = "org.cloudlets.content.digest"
	AnnotationContentSize   = "org.cloudlets.content.size"

	// On the manifest of a version that was committed: the digests of the
	// versions it was made from, separated by commas, the one it replaces
	// first; why, and by whom. When is org.opencontainers.image.created.
	AnnotationParents   = "org.cloudlets.version.parents"
	AnnotationMessage   = "org.cloudlets.version.message"
	AnnotationCommitter = "org.cloudlets.version.committer"

	// On the manifest of an artifact that is a kernel, a ramdisk, a filesystem,
	// an ISO, a disk or something else: which of them, and what it is packed in.
	AnnotationImageType       = "org.cloudlets.image.type"
	AnnotationContainerFormat = "org.cloudlets.image.container-format"

	// On a derived artifact's manifest: the derivation key, and what it is the
	// digest of as JSON.
	AnnotationDerivation = "org.cloudlets.render.derivation"
	AnnotationParameters = "org.cloudlets.render.parameters"
	// AnnotationCommandLine, on a derived artifact that a bootloader does not
	// start, is what the kernel is to be started with.
	AnnotationCommandLine = "org.cloudlets.render.command-line"
	// AnnotationBoot, on a derived artifact with a bootloader, is the firmware it
	// boots with: "bios", "uefi", or both with a comma between.
	AnnotationBoot = "org.cloudlets.render.boot"
	// AnnotationNotes is what a person should know of the output, such as what it
	// lacks of the image: a JSON array of strings.
	AnnotationNotes = "org.cloudlets.render.notes"
)

// Media types and artifact types.
const (
	// ArtifactBootKit is the artifact type of a boot kit: one layer that holds
	// bootloader files.
	ArtifactBootKit = "application/vnd.cloudlets.bootkit.v1"

	artifactPrefix = "application/vnd.cloudlets."
)

// ArtifactKind returns the artifact type of a file that is an image type in a
// container format, which is also the media type of its blob.
func ArtifactKind(imageType, container string) string {
	return artifactPrefix + imageType + "." + container
}

// ParseArtifactKind is the inverse of ArtifactKind. That the words are an image
// type and a container format is for the caller to see.
func ParseArtifactKind(artifactType string) (imageType, container string, ok bool) {
	pair, ok := strings.CutPrefix(artifactType, artifactPrefix)
	if !ok {
		return "", "", false
	}
	return strings.Cut(pair, ".")
}

// framesSuffix ends the media type of what is kept as zstd frames.
const framesSuffix = "+zstd"

// MediaTypeFramed returns the media type of the blob of an artifact of an image
// type that is kept as frames of the raw content.
func MediaTypeFramed(imageType string) string { return ArtifactKind(imageType, "raw") + framesSuffix }

// FramedContent returns, by its annotations, the digest and the size in bytes of
// the content that a descriptor's blob keeps as frames. ok is false of a blob
// that is its own content.
func FramedContent(mediaType string, annotations map[string]string) (d digest.Digest, size int64, ok bool) {
	if !strings.HasPrefix(mediaType, artifactPrefix) || !strings.HasSuffix(mediaType, framesSuffix) {
		return "", 0, false
	}
	d, err1 := digest.Parse(annotations[AnnotationContentDigest])
	size, err2 := strconv.ParseInt(annotations[AnnotationContentSize], 10, 64)
	return d, size, errors.Join(err1, err2) == nil && size >= 0
}

// Bootkit names a boot kit.
type Bootkit struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
}

// FrameIndexPosition returns where, by the annotations of its descriptor, a
// layer keeps its frame index (offset and size in bytes) and the index's digest.
func FrameIndexPosition(annotations map[string]string) (offset, size int64, d digest.Digest, ok bool) {
	offset, err1 := strconv.ParseInt(annotations[AnnotationFramesOffset], 10, 64)
	size, err2 := strconv.ParseInt(annotations[AnnotationFramesSize], 10, 64)
	d, err3 := digest.Parse(annotations[AnnotationFramesDigest])
	return offset, size, d, errors.Join(err1, err2, err3) == nil
}
