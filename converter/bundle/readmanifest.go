package bundle

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Elements of a manifest that are looked at one by one.
const (
	elementRoot          = "manifest"
	elementVersion       = "version"
	elementBundler       = "bundler"
	elementConfiguration = "machine_configuration"
	elementImage         = "image"
	elementSignature     = "signature"
)

// ReadManifest reads a manifest of at most 16 MiB. Document types, and with them
// entities, are refused. The error wraps [ErrManifest]; nothing is verified yet.
func ReadManifest(r io.Reader) (*Manifest, error) {
	document, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("read the manifest: %w", err)
	}
	if len(document) > maxManifest {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrManifest, maxManifest)
	}
	m, err := parseManifest(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrManifest, err)
	}
	return m, nil
}

func parseManifest(document []byte) (*Manifest, error) {
	elements, err := splitManifest(document)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{elementVersion, elementConfiguration, elementImage, elementSignature} {
		if elements[name] == nil {
			return nil, fmt.Errorf("expected the element <%s> in <%s>", name, elementRoot)
		}
	}
	var version string
	if err := xml.Unmarshal(elements[elementVersion], &version); err != nil {
		return nil, err
	}
	if version = strings.TrimSpace(version); version != manifestVersion {
		return nil, fmt.Errorf("version %q: expected %s", version, manifestVersion)
	}
	// What is read is exactly what is signed.
	var configuration xmlConfiguration
	if err := xml.Unmarshal(elements[elementConfiguration], &configuration); err != nil {
		return nil, err
	}
	var image xmlImage
	if err := xml.Unmarshal(elements[elementImage], &image); err != nil {
		return nil, err
	}
	m := &Manifest{signed: bytes.Join([][]byte{elements[elementConfiguration], elements[elementImage]}, nil)}
	m.setConfiguration(configuration)
	if err := m.setImage(image); err != nil {
		return nil, err
	}
	return m, m.setRest(elements)
}

// splitManifest returns the children of the root element by name, each as it
// stands in the document: a signature is of these bytes. An element that stands
// twice where there can be one is refused, because readers differ on which counts.
func splitManifest(document []byte) (map[string][]byte, error) {
	d := xml.NewDecoder(bytes.NewReader(document))
	elements := make(map[string][]byte)
	var path []string
	seen := make(map[string]bool) // by path, down to the children of <image>
	for begin := int64(0); ; {
		before := d.InputOffset()
		token, err := d.Token()
		if err == io.EOF {
			return elements, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.Directive:
			return nil, errors.New("it has a document type, which no manifest needs")
		case xml.StartElement:
			path = append(path, token.Name.Local)
			if err := checkElement(path, seen); err != nil {
				return nil, err
			}
			if len(path) == 2 {
				begin = before
			}
		case xml.EndElement:
			if len(path) == 2 {
				elements[path[1]] = document[begin:d.InputOffset()]
			}
			path = path[:len(path)-1]
		}
	}
}

func checkElement(path []string, seen map[string]bool) error {
	if path[0] != elementRoot {
		return fmt.Errorf("expected the element <%s>, found <%s>", elementRoot, path[0])
	}
	if len(path) > maxDepth {
		return fmt.Errorf("elements lie %d deep in each other", len(path))
	}
	if len(path) > 3 {
		return nil
	}
	joined := strings.Join(path, "/")
	if seen[joined] {
		return fmt.Errorf("the element <%s> stands twice", path[len(path)-1])
	}
	seen[joined] = true
	return nil
}

func (m *Manifest) setConfiguration(c xmlConfiguration) {
	m.Architecture = strings.TrimSpace(c.Architecture)
	m.KernelID, m.RamdiskID = strings.TrimSpace(c.KernelID), strings.TrimSpace(c.RamdiskID)
	for _, list := range []*xmlMappings{c.Mappings, c.EucaMappings} {
		if list == nil {
			continue
		}
		for _, mapping := range slices.Concat(list.Mappings, list.EucaMappings) {
			m.BlockDevices = append(m.BlockDevices, BlockDevice{strings.TrimSpace(mapping.Virtual), strings.TrimSpace(mapping.Device)})
		}
	}
	for _, list := range []*xmlCodes{c.ProductCodes, c.EucaProductCodes} {
		if list != nil {
			m.ProductCodes = append(m.ProductCodes, list.Codes...)
		}
	}
}

func (m *Manifest) setImage(i xmlImage) error {
	m.Name, m.User, m.Type = strings.TrimSpace(i.Name), strings.TrimSpace(i.User), strings.TrimSpace(i.Type)
	if i.Ancestry != nil {
		m.Ancestors = i.Ancestry.Ancestors
	}
	kernel, ramdisk := m.Type == typeKernel || m.KernelID == imageIsOne, m.Type == typeRamdisk || m.RamdiskID == imageIsOne
	if kernel && ramdisk {
		return fmt.Errorf("the image is a kernel and a ramdisk at once (type %q, kernel_id %q, ramdisk_id %q)", m.Type, m.KernelID, m.RamdiskID)
	}
	var err error
	if m.Digest, err = i.Digest.sha1("the image"); err != nil {
		return err
	}
	if m.Size, err = parseSize("size", i.Size, 0, maxImageSize); err != nil {
		return err
	}
	if m.BundledSize, err = parseSize("bundled_size", i.BundledSize, 1, maxImageSize); err != nil {
		return err
	}
	if m.user, err = i.secret("user", i.UserKey, i.UserIV); err != nil {
		return err
	}
	if m.cloud, err = i.secret("ec2", i.CloudKey, i.CloudIV); err != nil {
		return err
	}
	m.Parts, err = i.Parts.list()
	return err
}

// parseSize reads a number of bytes.
func parseSize(what, text string, least, most int64) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s %q: expected a number of bytes from %d to %d", what, text, least, most)
	}
	return n, nil
}

// sha1 returns a digest in lower case.
func (v xmlValue) sha1(of string) (string, error) {
	sum, err := hex.DecodeString(strings.TrimSpace(v.Text))
	if err != nil || len(sum) != sha1.Size || !strings.EqualFold(v.Algorithm, digestAlgorithm) {
		return "", fmt.Errorf("digest %q of %s by %q: expected %d hexadecimal digits by %s", v.Text, of, v.Algorithm, 2*sha1.Size, digestAlgorithm)
	}
	return hex.EncodeToString(sum), nil
}

// secret reads the two halves of an encrypted secret. They may be missing: a
// bundle for oneself is for no cloud.
func (i xmlImage) secret(who string, key xmlValue, iv string) (encryptedSecret, error) {
	if strings.TrimSpace(key.Text) == "" && strings.TrimSpace(iv) == "" {
		return encryptedSecret{}, nil
	}
	if !strings.EqualFold(key.Algorithm, cipherAlgorithm) {
		return encryptedSecret{}, fmt.Errorf("%s_encrypted_key is for the cipher %q: expected %s", who, key.Algorithm, cipherAlgorithm)
	}
	var s encryptedSecret
	var err error
	if s.key, err = hex.DecodeString(strings.TrimSpace(key.Text)); err != nil {
		return s, fmt.Errorf("%s_encrypted_key: expected hexadecimal digits: %w", who, err)
	}
	if s.iv, err = hex.DecodeString(strings.TrimSpace(iv)); err != nil {
		return s, fmt.Errorf("%s_encrypted_iv: expected hexadecimal digits: %w", who, err)
	}
	return s, nil
}

// list returns the parts in order, whatever order they stand in.
func (p xmlParts) list() ([]Part, error) {
	if p.Count != len(p.Parts) || p.Count < 1 || p.Count > maxParts {
		return nil, fmt.Errorf("the manifest counts %d parts and lists %d: expected the same number, from 1 to %d", p.Count, len(p.Parts), maxParts)
	}
	parts := make([]Part, len(p.Parts))
	for _, part := range p.Parts {
		if part.Index < 0 || part.Index >= len(parts) || parts[part.Index].Name != "" {
			return nil, fmt.Errorf("part %d of %d stands twice or is out of range: expected each from 0 to %d once", part.Index, len(parts), len(parts)-1)
		}
		name := strings.TrimSpace(part.Filename)
		if err := checkName(fmt.Sprintf("part %d:", part.Index), name); err != nil {
			return nil, err
		}
		digest, err := part.Digest.sha1(fmt.Sprintf("part %d", part.Index))
		if err != nil {
			return nil, err
		}
		parts[part.Index] = Part{Name: name, Digest: digest}
	}
	return parts, nil
}

// setRest reads what is not signed.
func (m *Manifest) setRest(elements map[string][]byte) error {
	var bundler xmlBundler
	if raw := elements[elementBundler]; raw != nil {
		if err := xml.Unmarshal(raw, &bundler); err != nil {
			return err
		}
	}
	m.Bundler = strings.TrimSpace(bundler.Name + " " + bundler.Version)
	var signature string
	if err := xml.Unmarshal(elements[elementSignature], &signature); err != nil {
		return err
	}
	if signature = strings.TrimSpace(signature); signature == unsigned {
		return nil
	}
	var err error
	if m.signature, err = hex.DecodeString(signature); err != nil || signature == "" {
		return fmt.Errorf("signature: expected hexadecimal digits, or %s", unsigned)
	}
	return nil
}
