// Package bundle reads and writes the classic AMI bundles of EC2 and Eucalyptus:
// an image as encrypted parts and a signed manifest, which is how machine,
// kernel and ramdisk images (ami, aki, ari) go to such clouds.
//
// What enters [ReadManifest] and [Open]: a manifest, the parts by name, and an
// RSA key. What leaves: the image as a stream, of which all digests were checked
// when it ends. What enters [Write]: an image, keys, and a secret to encrypt
// with. What leaves: parts and manifest, which follow from what entered alone.
//
// A bundle is the image as the only member of a tar, through gzip, through
// AES-128-CBC with PKCS#7 padding, cut into parts of 10 MiB. The manifest has the
// SHA-1 of the tar and of each part, and the AES key and IV as hexadecimal text,
// encrypted with RSA PKCS#1 v1.5 for the user and for the cloud. It is signed
// with RSA and SHA-1.
//
// SHA-1 and PKCS#1 v1.5 are what the format has, and no choice of this package:
// a bundle's signature is no stronger than SHA-1. Whoever can make two images
// with one SHA-1 can have one signed for the other.
//
// No path is opened: parts come from a [Parts], and go to a [Destination], by
// names that were checked to be names and not paths.
//
// Specification: manifest version 2007-10-10, as Amazon's ec2-ami-tools 1.5 and
// Eucalyptus' euca2ools 3.4 (euca2ools/bundle) write and read it. There is no
// published schema.
package bundle
