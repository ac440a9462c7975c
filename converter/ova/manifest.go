package ova

import (
	"context"
	"crypto/sha1" //nolint:gosec // packages of old products have nothing better
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// ErrDigest is wrapped when a file is not what the manifest says.
var ErrDigest = errors.New("the file differs from what the manifest says")

// digestLine is a line of a manifest.
type digestLine struct {
	algorithm string // in upper case: "SHA256"
	file      string
	sum       string // in lower-case hexadecimal digits
}

// newHash returns the hash of an algorithm; nil is unknown.
func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "SHA1":
		return sha1.New() //nolint:gosec // see above
	case "SHA256":
		return sha256.New()
	case "SHA512":
		return sha512.New()
	}
	return nil
}

// readManifest reads the manifest, if there is one. Players differ in where it
// has spaces.
func (p *Package) readManifest() error {
	m, err := p.one(".mf")
	if m.name == "" {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := m.text()
	if err != nil {
		return err
	}
	form := regexp.MustCompile(`^([A-Za-z0-9]+) ?\((.+)\) ?= ?([0-9A-Fa-f]+)$`)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		parts := form.FindStringSubmatch(line)
		if parts == nil || newHash(strings.ToUpper(parts[1])) == nil {
			return fmt.Errorf("%w: the manifest has the line %.200q, want SHA1, SHA256 or SHA512(FILE)= DIGEST", container.ErrFormat, line)
		}
		p.manifest = append(p.manifest, digestLine{strings.ToUpper(parts[1]), parts[2], strings.ToLower(parts[3])})
	}
	return nil
}

// Verify reads the package and compares its files with its manifest. A file that
// differs, or that the manifest does not list, is an error that wraps ErrDigest. A
// package without a manifest is not verified: verified is false.
func (p *Package) Verify(ctx context.Context) (verified bool, err error) {
	if len(p.manifest) == 0 {
		return false, nil
	}
	listed := make(map[string]bool)
	for _, line := range p.manifest {
		m, err := p.find(line.file)
		if err != nil {
			return false, err
		}
		listed[m.name] = true
		if err := m.verify(ctx, line); err != nil {
			return false, err
		}
	}
	for _, m := range p.files {
		if name := strings.ToLower(m.name); !listed[m.name] && !strings.HasSuffix(name, ".mf") && !strings.HasSuffix(name, ".cert") {
			return false, fmt.Errorf("%w: %q is not in it", ErrDigest, m.name)
		}
	}
	return true, nil
}

// verify compares a file with its line.
func (m member) verify(ctx context.Context, line digestLine) error {
	h := newHash(line.algorithm)
	if _, err := io.Copy(h, &stoppable{ctx, m.content()}); err != nil {
		return fmt.Errorf("hash %q: %w", m.name, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != line.sum {
		return fmt.Errorf("%w: %s of %q is %s, not %s", ErrDigest, line.algorithm, m.name, got, line.sum)
	}
	return nil
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	io.Reader
}

func (s *stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}
