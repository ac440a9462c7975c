package bundle

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"fmt"

	"github.com/cloudlets/cloudlets/image/kind"
)

// Manifest is what the manifest of a bundle says.
type Manifest struct {
	Bundler      string // name and version of the program that made it
	Architecture string // in EC2's words: i386, x86_64, …
	// KernelID and RamdiskID are the images to boot a machine image with. They
	// are "true" where the image is itself a kernel or a ramdisk.
	KernelID, RamdiskID string
	BlockDevices        []BlockDevice
	ProductCodes        []string
	Ancestors           []string // IDs of the images that this one was made from

	Name string // of the image's file
	User string // account
	Type string // machine, kernel or ramdisk; old tools write machine for all

	Digest      string // SHA-1 of the tar that holds the image, hexadecimal
	Size        int64  // of the image, in bytes
	BundledSize int64  // of all parts, in bytes
	Parts       []Part // in order

	user, cloud encryptedSecret
	signed      []byte // what the signature is of
	signature   []byte // nil: not signed
}

// BlockDevice says as which device an instance gets a volume.
type BlockDevice struct {
	Virtual string `json:"virtual"` // root, ami, ephemeral0, swap
	Device  string `json:"device"`
}

// Part is a part of the bundle.
type Part struct {
	Name   string
	Digest string // SHA-1, hexadecimal
}

// Types of images, in the manifest's words.
const (
	typeMachine = "machine"
	typeKernel  = "kernel"
	typeRamdisk = "ramdisk"
)

// ImageType returns what the image is: [kind.Kernel], [kind.Ramdisk], or
// [kind.Filesystem] for a machine image. That may be a disk as well, which only
// its content shows.
func (m *Manifest) ImageType() kind.Type {
	switch {
	case m.Type == typeKernel || m.KernelID == imageIsOne:
		return kind.Kernel
	case m.Type == typeRamdisk || m.RamdiskID == imageIsOne:
		return kind.Ramdisk
	}
	return kind.Filesystem
}

// Signed reports whether there is a signature, right or wrong.
func (m *Manifest) Signed() bool { return m.signature != nil }

// Verify checks the signature. What is signed is all but the version and the
// name of the bundler. The error wraps [ErrUnsigned] or [ErrSignature].
func (m *Manifest) Verify(signer *rsa.PublicKey) error {
	if !m.Signed() {
		return ErrUnsigned
	}
	sum := sha1.Sum(m.signed)
	if err := rsa.VerifyPKCS1v15(signer, crypto.SHA1, sum[:], m.signature); err != nil {
		return fmt.Errorf("%w: it was signed with another key, or changed afterwards (%w)", ErrSignature, err)
	}
	return nil
}
