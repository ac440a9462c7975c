package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// userKeys lets openssl make the key and the certificate of an EC2 user.
func userKeys(t *testing.T) (key, cert string) {
	t.Helper()
	dir := t.TempDir()
	key, cert = filepath.Join(dir, "pk.pem"), filepath.Join(dir, "cert.pem")
	tool(t, "openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-subj", "/CN=user", "-keyout", key, "-out", cert)
	return key, cert
}

func TestBundleFilesystem(t *testing.T) {
	key, cert := userKeys(t)
	dir := t.TempDir()
	fs, out := filepath.Join(dir, "root.ext4"), filepath.Join(dir, "bundle")
	tool(t, "mkfs.ext4", "-q", fs, "20m")
	manifest := ok(t, "bundle", "export", fs, "--key", key, "--cert", cert, "--ec2cert", cert, "--user", "1234-5678-9012", "-o", out)
	if manifest != filepath.Join(out, "root.ext4.manifest.xml") {
		t.Errorf("the manifest is %s", manifest)
	}
	image := filepath.Join(dir, "image")
	// The names of euca2ools do as well.
	text := ok(t, "bundle", "import", manifest, "--privatekey", key, "-o", image)
	if text != "root.ext4 x86_64 filesystem, 20971520 bytes" {
		t.Errorf("import says %q", text)
	}
	want, got := readFile(t, fs), readFile(t, image)
	if !bytes.Equal(got, want) {
		t.Error("the filesystem comes back as another")
	}
	// Once more, into another directory.
	ok(t, "bundle", "export", fs, "-k", key, "-c", cert, "--ec2cert", cert, "-u", "123456789012", "--destination", out+"2")
	for _, name := range []string{"root.ext4.manifest.xml", "root.ext4.part.00"} {
		if !bytes.Equal(readFile(t, filepath.Join(out, name)), readFile(t, filepath.Join(out+"2", name))) {
			t.Errorf("%s differs from one export to the next", name)
		}
	}
}

func TestBundleOfImage(t *testing.T) {
	key, cert := userKeys(t)
	dir := t.TempDir()
	rootfs, out := filepath.Join(dir, "rootfs"), filepath.Join(dir, "bundle")
	if err := os.MkdirAll(filepath.Join(rootfs, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "etc/hostname"), []byte("bundled\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	manifest := ok(t, "bundle", "export", rootfs, "--size", "16M", "--cert", cert, "--user", "1", "-o", out)
	image := filepath.Join(dir, "image")
	r := cloudlets(t, "bundle", "import", manifest, "--key", key, "-o", image, "--json")
	if r.code != 0 || !strings.Contains(r.stderr, "not signed") || !strings.Contains(r.stdout, `"verified": false`) {
		t.Errorf("an unsigned bundle: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if text := tool(t, "debugfs", "-R", "cat /etc/hostname", image); !strings.Contains(text, "bundled") {
		t.Errorf("debugfs reads %q", text)
	}
	fails(t, exitFailed, []string{"not signed"}, "bundle", "import", manifest, "--key", key, "--cert", cert, "-o", image+"2")
}

func TestBundleFailuresLeaveNothing(t *testing.T) {
	key, cert := userKeys(t)
	otherKey, otherCert := userKeys(t)
	dir := t.TempDir()
	fs, image := filepath.Join(dir, "root.ext4"), filepath.Join(dir, "image")
	tool(t, "mkfs.ext4", "-q", fs, "20m")
	manifest := ok(t, "bundle", "export", fs, "--key", key, "--cert", cert, "--user", "1", "-o", dir)
	fails(t, exitFailed, []string{"not encrypted to this key"}, "bundle", "import", manifest, "--key", otherKey, "-o", image)
	fails(t, exitFailed, []string{"signature does not match"}, "bundle", "import", manifest, "--key", key, "--cert", otherCert, "-o", image)
	fails(t, exitNotFound, []string{"private key"}, "bundle", "import", manifest, "--key", dir+"/none", "-o", image)
	part := filepath.Join(dir, "root.ext4.part.00")
	if err := os.Rename(part, part+".away"); err != nil {
		t.Fatal(err)
	}
	fails(t, exitNotFound, []string{"wrong part", "root.ext4.part.00, number 1 of 1"}, "bundle", "import", manifest, "--key", key, "-o", image)
	// A link out of the directory is not followed.
	if err := os.Symlink("/etc/hostname", part); err != nil {
		t.Fatal(err)
	}
	fails(t, exitFailed, []string{"wrong part", "escapes"}, "bundle", "import", manifest, "--key", key, "-o", image)
	// Nobody writes to a pipe.
	if err := errors.Join(os.Remove(part), syscall.Mkfifo(part, 0o600)); err != nil {
		t.Fatal(err)
	}
	fails(t, exitFailed, []string{"wrong part", "no regular file"}, "bundle", "import", manifest, "--key", key, "-o", image)
	if entries, err := filepath.Glob(filepath.Join(dir, "*image*")); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
