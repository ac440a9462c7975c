package bundle

import (
	"errors"
	"fmt"
	"strings"
)

// Names and numbers of the format.
const (
	// manifestVersion is the version of manifests that is read and written.
	manifestVersion = "2007-10-10"
	// ManifestSuffix ends the name of a manifest, after the bundle's prefix.
	ManifestSuffix = ".manifest.xml"
	// DefaultPartSize is how many bytes all parts but the last have.
	DefaultPartSize = 10 << 20

	digestAlgorithm = "SHA1"
	cipherAlgorithm = "AES-128-CBC"
	unsigned        = "UNSIGNED" // stands where the signature would
	imageIsOne      = "true"     // kernel_id of a kernel, ramdisk_id of a ramdisk
)

// Limits on what is read.
const (
	maxManifest  = 16 << 20 // bytes; a bundle of 100 GiB needs 2 MiB
	maxDepth     = 8        // of elements; manifests have 5
	maxParts     = 1 << 16
	maxImageSize = 1 << 40 // bytes; EC2 takes 10 GiB
	maxName      = 255     // bytes of a part's name
	// tarOverhead is how many bytes a tar with one member may have besides it:
	// headers, maps of holes, padding.
	tarOverhead = 1 << 20
)

// Errors that are wrapped.
var (
	// ErrManifest says that a manifest cannot be read or contradicts itself.
	ErrManifest = errors.New("not a sound bundle manifest")
	// ErrUnsigned says that a manifest has no signature to verify.
	ErrUnsigned = errors.New("the manifest is not signed")
	// ErrSignature says that a signature is not of the key it is verified with,
	// or that the manifest was changed after it was signed.
	ErrSignature = errors.New("the signature does not match the manifest")
	// ErrKey says that a private key is none of those the bundle is encrypted to.
	ErrKey = errors.New("the bundle is not encrypted to this key")
	// ErrPart says that a part is missing or has another content than the
	// manifest says.
	ErrPart = errors.New("wrong part")
	// ErrImage says that the content of the parts is not the image that the
	// manifest describes.
	ErrImage = errors.New("wrong image")
)

// checkName says whether a name is safe to be one of a file in a directory.
func checkName(what, name string) error {
	plain := !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' })
	if name == "" || len(name) > maxName || name[0] == '.' || !plain {
		return fmt.Errorf("%s %q: expected a file's name of printable ASCII characters, without directories, spaces or a leading dot", what, name)
	}
	return nil
}
