package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/image/kind"
)

// credentials are a private key and its certificate, in files and parsed.
type credentials struct {
	keyFile, certFile string
	key               *rsa.PrivateKey
	public            *rsa.PublicKey
}

// newCredentials lets openssl make a key and a certificate of its own.
func newCredentials(t *testing.T) credentials {
	t.Helper()
	convertertest.Need(t, "openssl", "openssl")
	dir := t.TempDir()
	c := credentials{keyFile: filepath.Join(dir, "pk.pem"), certFile: filepath.Join(dir, "cert.pem")}
	convertertest.Run(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=user",
		"-keyout", c.keyFile, "-out", c.certFile)
	var err error
	if c.key, err = ParsePrivateKey(readFile(t, c.keyFile)); err != nil {
		t.Fatal(err)
	}
	if c.public, err = ParseCertificate(readFile(t, c.certFile)); err != nil {
		t.Fatal(err)
	}
	return c
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// memory is a bundle in memory: its files by name.
type memory map[string][]byte

func (m memory) OpenPart(_ context.Context, name string) (io.ReadCloser, error) {
	content, ok := m[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

func (m memory) Create(name string) (File, error) { return &memoryFile{to: m, name: name}, nil }

type memoryFile struct {
	bytes.Buffer
	to   memory
	name string
}

func (f *memoryFile) Commit() error { f.to[f.name] = f.Bytes(); return nil }
func (f *memoryFile) Close() error  { return nil }

func (m memory) manifest(t convertertest.TB, name string) *Manifest {
	t.Helper()
	manifest, err := ReadManifest(bytes.NewReader(m[name+ManifestSuffix]))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return manifest
}

// unbundle reads the image with a key.
func (m memory) unbundle(manifest *Manifest, key *rsa.PrivateKey) ([]byte, error) {
	secret, _, err := manifest.Decrypt(key)
	if err != nil {
		return nil, err
	}
	image, err := Open(context.Background(), manifest, m, secret)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(image)
	return content, errors.Join(err, image.Close())
}

// randomImage returns bytes that do not compress.
func randomImage(n int) []byte {
	p := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(p)
	return p
}

func (c credentials) options(name string) Options {
	return Options{
		Name: name, User: "123456789012", Architecture: "x86_64", Type: kind.Filesystem, Version: "1",
		PartSize: 4096, Recipient: c.public, Cloud: c.public, Signer: c.key,
		Secret: Secret{Key: [16]byte{1}, IV: [16]byte{2}},
	}
}

func mustWrite(t convertertest.TB, image []byte, o Options) memory {
	t.Helper()
	to := memory{}
	if _, err := Write(context.Background(), bytes.NewReader(image), int64(len(image)), o, to); err != nil {
		t.Fatalf("%v", err)
	}
	return to
}

func TestWhatIsBundledIsUnbundled(t *testing.T) {
	c := newCredentials(t)
	rapid.Check(t, func(t *rapid.T) {
		image := rapid.SliceOfN(rapid.Byte(), 0, 20000).Draw(t, "image")
		o := c.options("image")
		o.Type = rapid.SampledFrom(kind.Types()).Draw(t, "type")
		o.PartSize = rapid.Int64Range(1024, 5000).Draw(t, "part size")
		files := mustWrite(t, image, o)
		m := files.manifest(t, "image")
		if err := m.Verify(c.public); err != nil {
			t.Fatal(err)
		}
		got, err := files.unbundle(m, c.key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, image) {
			t.Fatalf("got %d bytes, bundled were %d others", len(got), len(image))
		}
		want := kind.Filesystem
		if o.Type == kind.Kernel || o.Type == kind.Ramdisk {
			want = o.Type
		}
		if m.ImageType() != want {
			t.Fatalf("a %s was bundled, and is a %s", o.Type, m.ImageType())
		}
	})
}

func TestBundlesAreReproducible(t *testing.T) {
	c := newCredentials(t)
	image := randomImage(30000)
	secret, err := DeriveSecret(c.key, sha256.Sum256(image), "image")
	if err != nil {
		t.Fatal(err)
	}
	o := c.options("image")
	o.Secret = secret
	first, second := mustWrite(t, image, o), mustWrite(t, image, o)
	if fmt.Sprint(first) != fmt.Sprint(second) {
		t.Error("two bundles with one secret differ")
	}
	again, _ := DeriveSecret(c.key, sha256.Sum256(image), "image")
	other, _ := DeriveSecret(c.key, sha256.Sum256(image[1:]), "image")
	renamed, _ := DeriveSecret(c.key, sha256.Sum256(image), "other")
	stranger, _ := DeriveSecret(newCredentials(t).key, sha256.Sum256(image), "image")
	if secret != again {
		t.Error("one image has two secrets")
	}
	for _, s := range []Secret{other, renamed, stranger, RandomSecret()} {
		if s.Key == secret.Key || s.IV == secret.IV {
			t.Error("another image, name or user has the same secret")
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	s := Secret{Key: [16]byte{0xab, 0xcd}, IV: [16]byte{0xef}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("bundle", "secret", s, "pointer", &s)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %v", s, s, s, &s), log.String()} {
		if strings.Contains(text, "171") || strings.Contains(text, "abcd") || !strings.Contains(text, "secret") {
			t.Errorf("a secret prints as %s", text)
		}
	}
	const key = "00112233445566778899aabbccddeexx"
	if err := parseHex(make([]byte, 16), []byte(key)); err == nil || strings.Contains(err.Error(), "0011") {
		t.Errorf("got %v: expected an error without the key", err)
	}
}

// TestWrongBundlesAreRefused damages a bundle in one way at a time.
func TestWrongBundlesAreRefused(t *testing.T) {
	c, stranger := newCredentials(t), newCredentials(t)
	image := randomImage(20000)
	for name, w := range map[string]struct {
		damage func(files memory)
		key    *rsa.PrivateKey
		want   error
		says   string
	}{
		"key of somebody else": {nil, stranger.key, ErrKey, "the certificate that the bundle was made with"},
		"missing part":         {func(f memory) { delete(f, "image.part.03") }, c.key, ErrPart, "image.part.03, number 4 of 5"},
		"first part missing":   {func(f memory) { delete(f, "image.part.00") }, c.key, ErrPart, "image.part.00, number 1 of 5"},
		"parts in the wrong order": {func(f memory) {
			f["image.part.01"], f["image.part.02"] = f["image.part.02"], f["image.part.01"]
		}, c.key, ErrPart, "image.part.01 holds what belongs into image.part.02"},
		"a bit of a part": {func(f memory) { f["image.part.02"][9] ^= 1 }, c.key, ErrPart, "image.part.02 has the SHA-1"},
		"first bit":       {func(f memory) { f["image.part.00"][0] ^= 1 }, c.key, ErrPart, "image.part.00 has the SHA-1"},
		"part cut short":  {func(f memory) { f["image.part.04"] = f["image.part.04"][:16] }, c.key, ErrPart, "image.part.04 has the SHA-1"},
		"endless part": {func(f memory) {
			f["image.part.04"] = append(f["image.part.04"], make([]byte, 1<<20)...)
		}, c.key, ErrPart, "more than the"},
		"part of another bundle": {func(f memory) { f["image.part.00"] = randomImage(4096) }, c.key, ErrPart, "image.part.00 has the SHA-1"},
	} {
		t.Run(name, func(t *testing.T) {
			files := mustWrite(t, image, c.options("image"))
			if w.damage != nil {
				w.damage(files)
			}
			_, err := files.unbundle(files.manifest(t, "image"), w.key)
			if !errors.Is(err, w.want) || !strings.Contains(err.Error(), w.says) {
				t.Errorf("got %v, want %v with %q", err, w.want, w.says)
			}
		})
	}
}

// TestSoundPartsWithWrongContentAreRefused has parts with the right digests that
// hold another image than the manifest says.
func TestSoundPartsWithWrongContentAreRefused(t *testing.T) {
	c := newCredentials(t)
	image := randomImage(9000)
	bomb := make([]byte, 8<<20)
	for name, w := range map[string]struct {
		image []byte
		lie   func(m *Manifest)
		says  string
	}{
		"image digest": {image, func(m *Manifest) { m.Digest = strings.Repeat("0", 40) }, "its tar has the SHA-1"},
		"size":         {image, func(m *Manifest) { m.Size++ }, "has 9000 bytes, and the manifest says 9001"},
		"bundled size": {image, func(m *Manifest) { m.BundledSize += 16 }, "all parts together"},
		"bomb":         {bomb, func(m *Manifest) { m.Size = 100 }, "has 8388608 bytes, and the manifest says 100"},
		"last part":    {image, func(m *Manifest) { m.Parts = m.Parts[:1] }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			files := mustWrite(t, w.image, c.options("image"))
			m := files.manifest(t, "image")
			w.lie(m)
			_, err := files.unbundle(m, c.key)
			if !errors.Is(err, ErrImage) && !errors.Is(err, ErrPart) || !strings.Contains(fmt.Sprint(err), w.says) {
				t.Errorf("got %v, want one with %q", err, w.says)
			}
		})
	}
	t.Run("another secret", func(t *testing.T) {
		files := mustWrite(t, image, c.options("image"))
		_, err := Open(t.Context(), files.manifest(t, "image"), files, RandomSecret())
		if !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "key and IV are not those of the parts") {
			t.Errorf("got %v", err)
		}
	})
}

func TestSignaturesAreVerified(t *testing.T) {
	c, stranger := newCredentials(t), newCredentials(t)
	files := mustWrite(t, []byte("image"), c.options("image"))
	if err := files.manifest(t, "image").Verify(stranger.public); !errors.Is(err, ErrSignature) {
		t.Errorf("with the key of somebody else: %v", err)
	}
	for _, change := range [][2]string{{"x86_64", "i386"}, {"<user>1", "<user>2"}, {"<size>5<", "<size>6<"}} {
		changed := memory{"image" + ManifestSuffix: bytes.Replace(files["image"+ManifestSuffix], []byte(change[0]), []byte(change[1]), 1)}
		if err := changed.manifest(t, "image").Verify(c.public); !errors.Is(err, ErrSignature) {
			t.Errorf("with %s instead of %s: %v", change[1], change[0], err)
		}
	}
	o := c.options("image")
	o.Signer = nil
	m := mustWrite(t, []byte("image"), o).manifest(t, "image")
	if err := m.Verify(c.public); !errors.Is(err, ErrUnsigned) || m.Signed() {
		t.Errorf("without a signature: %v", err)
	}
}

func TestTheCloudCanReadToo(t *testing.T) {
	user, cloud := newCredentials(t), newCredentials(t)
	o := user.options("image")
	o.Cloud = cloud.public
	m := mustWrite(t, []byte("image"), o).manifest(t, "image")
	for want, key := range map[Recipient]*rsa.PrivateKey{User: user.key, Cloud: cloud.key} {
		secret, who, err := m.Decrypt(key)
		if err != nil || who != want || secret != o.Secret {
			t.Errorf("%s: got the secret for %s, %v", want, who, err)
		}
	}
}

func TestManifestsOfBothSpellingsAreRead(t *testing.T) {
	c := newCredentials(t)
	o := c.options("image")
	o.KernelID, o.RamdiskID = "aki-1", "ari-1"
	o.BlockDevices = []BlockDevice{{"ami", "sda1"}, {"root", "/dev/sda1"}}
	o.ProductCodes = []string{"code"}
	text := string(mustWrite(t, nil, o)["image"+ManifestSuffix])
	renamed := strings.NewReplacer("<mapping>", "<block_device_mapping>", "</mapping>", "</block_device_mapping>",
		"block_device_mapping>", "block_device_mappings>", "product_codes>", "productcodes>").Replace(text)
	for _, document := range []string{text, renamed} {
		m, err := ReadManifest(strings.NewReader(document))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(m.KernelID, m.RamdiskID, m.BlockDevices, m.ProductCodes)
		if want := fmt.Sprint("aki-1", "ari-1", o.BlockDevices, o.ProductCodes); got != want {
			t.Errorf("got %s, want %s in\n%s", got, want, document)
		}
	}
}

func TestHostileManifestsAreRefused(t *testing.T) {
	c := newCredentials(t)
	sound := string(mustWrite(t, randomImage(9000), c.options("image"))["image"+ManifestSuffix])
	for name, change := range map[string][3]string{
		"entity":             {"<manifest>", "<!DOCTYPE m [<!ENTITY a \"b\">]><manifest>", "document type"},
		"undeclared entity":  {"<user>", "<user>&a;", "entity"},
		"other root":         {"manifest>", "envelope>", "expected the element <manifest>"},
		"other version":      {"2007-10-10", "2006-01-01", "expected 2007-10-10"},
		"no image":           {"image>", "picture>", "expected the element <image>"},
		"second image":       {"<signature>", "<image></image><signature>", "<image> stands twice"},
		"second size":        {"<size>", "<size>1</size><size>", "<size> stands twice"},
		"negative size":      {"<size>", "<size>-", "expected a number of bytes"},
		"huge size":          {"<size>", "<size>999999999999999", "expected a number of bytes"},
		"no parts":           {`count="3"`, `count="0"`, "counts 0 parts and lists 3"},
		"huge count":         {`count="3"`, `count="1000000000"`, "counts 1000000000"},
		"part twice":         {`index="1"`, `index="0"`, "part 0 of 3 stands twice"},
		"part out of range":  {`index="1"`, `index="7"`, "out of range"},
		"path as part":       {"image.part.01", "../../etc/passwd", "expected a file's name"},
		"absolute part":      {"image.part.01", "/etc/passwd", "expected a file's name"},
		"hidden part":        {"image.part.01", ".part", "expected a file's name"},
		"short digest":       {`SHA1">`, `SHA1">00`, "expected 40 hexadecimal digits"},
		"other digest":       {`"SHA1"`, `"MD5"`, "by SHA1"},
		"other cipher":       {`"AES-128-CBC"`, `"ROT13"`, "expected AES-128-CBC"},
		"kernel and ramdisk": {"</architecture>", "</architecture><kernel_id>true</kernel_id><ramdisk_id>true</ramdisk_id>", "at once"},
		"empty signature":    {"<signature>", "<signature>x", "expected hexadecimal digits, or UNSIGNED"},
		"cut short":          {"</manifest>", "", "EOF"},
		"deep":               {"<architecture>", strings.Repeat("<a>", 20), "deep"},
	} {
		t.Run(name, func(t *testing.T) {
			document := strings.ReplaceAll(sound, change[0], change[1])
			if document == sound {
				t.Fatalf("the manifest has no %s", change[0])
			}
			_, err := ReadManifest(strings.NewReader(document))
			if !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), change[2]) {
				t.Errorf("got %v, want one with %q", err, change[2])
			}
		})
	}
	if _, err := ReadManifest(io.MultiReader(strings.NewReader(sound), bytes.NewReader(make([]byte, maxManifest)))); !errors.Is(err, ErrManifest) {
		t.Errorf("a manifest that is too long: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	c := newCredentials(t)
	for says, change := range map[string]func(o *Options){
		"nobody could read it":   func(o *Options) { o.Recipient, o.Cloud = nil, nil },
		`name "../x"`:            func(o *Options) { o.Name = "../x" },
		`user ""`:                func(o *Options) { o.User = "" },
		"expected at least 1024": func(o *Options) { o.PartSize = 1 },
		"a kernel is not booted": func(o *Options) { o.Type, o.KernelID = kind.Kernel, "aki-1" },
		"marks a kernel":         func(o *Options) { o.KernelID = "true" },
	} {
		o := c.options("image")
		change(&o)
		to := memory{}
		_, err := Write(t.Context(), strings.NewReader("image"), 5, o, to)
		if err == nil || !strings.Contains(err.Error(), says) || len(to) > 0 {
			t.Errorf("got %v and %d files, want an error with %q", err, len(to), says)
		}
	}
	to := memory{}
	if _, err := Write(t.Context(), strings.NewReader("short"), 1<<20, c.options("image"), to); !errors.Is(err, io.ErrUnexpectedEOF) || to["image"+ManifestSuffix] != nil {
		t.Errorf("an image that is too short: %v", err)
	}
}

func TestEncryptedKeysAreRefusedWithAdvice(t *testing.T) {
	c := newCredentials(t)
	out := filepath.Join(t.TempDir(), "key")
	for _, tool := range [][]string{
		{"rsa", "-aes128", "-traditional", "-passout", "pass:x", "-in", c.keyFile, "-out", out},
		{"pkcs8", "-topk8", "-passout", "pass:x", "-in", c.keyFile, "-out", out},
	} {
		convertertest.Run(t, "openssl", tool...)
		if _, err := ParsePrivateKey(readFile(t, out)); err == nil || !strings.Contains(err.Error(), "openssl rsa") {
			t.Errorf("openssl %s: %v", tool[0], err)
		}
	}
	convertertest.Run(t, "openssl", "rsa", "-traditional", "-in", c.keyFile, "-out", out)
	if key, err := ParsePrivateKey(readFile(t, out)); err != nil || !key.Equal(c.key) {
		t.Errorf("PKCS#1: %v", err)
	}
	if _, err := ParseCertificate(readFile(t, c.keyFile)); err == nil {
		t.Error("a key was read as a certificate")
	}
}

// FuzzReadManifest reads any manifest, and what it says is in the parts.
func FuzzReadManifest(f *testing.F) {
	f.Add([]byte("<manifest><version>2007-10-10</version></manifest>"))
	f.Add([]byte(`<manifest><version>2007-10-10</version><machine_configuration><architecture>i386</architecture></machine_configuration>` +
		`<image><name>a</name><user>b</user><type>machine</type><digest algorithm="SHA1">da39a3ee5e6b4b0d3255bfef95601890afd80709</digest>` +
		`<size>1</size><bundled_size>16</bundled_size><user_encrypted_key algorithm="AES-128-CBC">00</user_encrypted_key><user_encrypted_iv>00</user_encrypted_iv>` +
		`<parts count="1"><part index="0"><filename>p</filename><digest algorithm="SHA1">da39a3ee5e6b4b0d3255bfef95601890afd80709</digest></part></parts></image>` +
		`<signature>UNSIGNED</signature></manifest>`))
	f.Fuzz(func(t *testing.T, document []byte) {
		m, err := ReadManifest(bytes.NewReader(document))
		if err != nil {
			if !errors.Is(err, ErrManifest) {
				t.Fatal(err)
			}
			return
		}
		files := memory{}
		for _, p := range m.Parts {
			if strings.Contains(p.Name, "/") {
				t.Fatalf("part %q is a path", p.Name)
			}
			files[p.Name] = document
		}
		if i, err := Open(t.Context(), m, files, Secret{}); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(i, 1<<20))
		}
	})
}

// FuzzOpen opens any content that a key holder put into sound parts.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("\x1f\x8b\x08"), int64(3))
	f.Fuzz(func(t *testing.T, plain []byte, size int64) {
		files := memory{}
		s := &splitter{ctx: t.Context(), to: files, prefix: "p", size: 4096}
		e, err := newEncrypter(s, Secret{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Close(), s.close(nil)); err != nil {
			t.Fatal(err)
		}
		m := &Manifest{Name: "image", Size: max(0, size%maxImageSize), BundledSize: s.total, Parts: s.parts}
		i, err := Open(t.Context(), m, files, Secret{})
		if err != nil {
			return
		}
		if n, _ := io.Copy(io.Discard, io.LimitReader(i, 1<<20)); n > m.Size {
			t.Fatalf("%d bytes were read of an image of %d", n, m.Size)
		}
	})
}

// TestPaddingIsBounded has a sound image in a tar that does not end.
func TestPaddingIsBounded(t *testing.T) {
	var plain bytes.Buffer
	z := gzip.NewWriter(&plain)
	archive := tar.NewWriter(z)
	content := []byte("image")
	if err := archive.WriteHeader(&tar.Header{Name: "image", Size: int64(len(content)), Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	files := memory{}
	s := &splitter{ctx: t.Context(), to: files, prefix: "p", size: DefaultPartSize}
	e, err := newEncrypter(s, Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), s.close(nil)); err != nil {
		t.Fatal(err)
	}
	i, err := Open(t.Context(), &Manifest{Name: "image", Size: int64(len(content)), BundledSize: s.total, Parts: s.parts}, files, Secret{})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	if _, err := io.ReadAll(i); !errors.Is(err, ErrImage) || !strings.Contains(err.Error(), "decompresses to more") {
		t.Errorf("got %v", err)
	}
	if i.stream.left < -cbcBuffer {
		t.Errorf("%d bytes were decompressed beyond the limit", -i.stream.left)
	}
}
