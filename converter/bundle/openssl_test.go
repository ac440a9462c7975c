package bundle

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

// bundleByHand makes a bundle with the tools that euca2ools calls, in the words of
// its manifest, and unbundleByHand takes one apart. Neither knows this package.
const (
	bundleByHand = `set -eu
hex() { od -An -v -tx1 | tr -d ' \n'; }
key=$(openssl rand -hex 16) iv=$(openssl rand -hex 16)
tar -c -S -C "$(dirname "$IMAGE")" "$(basename "$IMAGE")" > image.tar
gzip -9 -c image.tar | openssl enc -e -aes-128-cbc -K "$key" -iv "$iv" > image.enc
split -a 2 -d -b 10485760 image.enc image.part.
rsa() { printf %s "$1" | openssl pkeyutl -encrypt -certin -inkey "$CERT" | hex; }
sha1() { sha1sum "$1" | cut -d' ' -f1; }
parts= n=0
for p in image.part.*; do
	parts="$parts<part index=\"$n\"><filename>$p</filename><digest algorithm=\"SHA1\">$(sha1 "$p")</digest></part>"
	n=$((n + 1))
done
configuration='<machine_configuration><architecture>x86_64</architecture><kernel_id>true</kernel_id></machine_configuration>'
image="<image><name>image</name><user>123456789012</user><type>machine</type><digest algorithm=\"SHA1\">$(sha1 image.tar)</digest>
<size>$(stat -c %s "$IMAGE")</size><bundled_size>$(stat -c %s image.enc)</bundled_size><ec2_encrypted_key algorithm=\"AES-128-CBC\">$(rsa "$key")</ec2_encrypted_key>
<user_encrypted_key algorithm=\"AES-128-CBC\">$(rsa "$key")</user_encrypted_key><ec2_encrypted_iv>$(rsa "$iv")</ec2_encrypted_iv>
<user_encrypted_iv>$(rsa "$iv")</user_encrypted_iv><parts count=\"$n\">$parts</parts></image>"
printf %s "$configuration$image" | openssl dgst -sha1 -sign "$KEY" | hex > signature
printf '<manifest><version>2007-10-10</version><bundler><name>sh</name><version>1</version><release>0</release></bundler>%s%s<signature>%s</signature></manifest>' \
	"$configuration" "$image" "$(cat signature)" > image.manifest.xml
`
	unbundleByHand = `set -eu
value() { sed -n "s/.*<$1[^>]*>\([^<]*\)<.*/\1/p" image.manifest.xml; }
unhex() { sed 's/../\\x&/g' | xargs -0 printf %b; }
rsa() { value "$1" | tr -d '\n' | unhex | openssl pkeyutl -decrypt -inkey "$KEY"; }
# Signed is the text of two elements.
sed 's/.*\(<machine_configuration>.*<\/image>\).*/\1/' image.manifest.xml | tr -d '\n' > signed
value signature | tr -d '\n' | unhex > signature
openssl x509 -in "$CERT" -noout -pubkey > public.pem
openssl dgst -sha1 -verify public.pem -signature signature signed >&2
# Names and digests of parts, a line each.
sed 's/<part index/\n&/g' image.manifest.xml | sed -n 's/^<part index[^>]*><filename>\([^<]*\)<.*SHA1">\([^<]*\)<.*/\2  \1/p' > SHA1SUMS
sha1sum -c SHA1SUMS >&2
cut -c43- SHA1SUMS | xargs cat > image.enc
[ "$(stat -c %s image.enc)" = "$(value bundled_size)" ]
openssl enc -d -aes-128-cbc -K "$(rsa user_encrypted_key)" -iv "$(rsa user_encrypted_iv)" -in image.enc | gunzip > image.tar
sed -n 's/.*<digest algorithm="SHA1">\([^<]*\)<\/digest><size>.*/\1  image.tar/p' image.manifest.xml | sha1sum -c >&2
tar -xOf image.tar image
`
)

// byHand runs a script in a directory, and returns what it prints.
func byHand(t *testing.T, script, dir, image string, c credentials) []byte {
	t.Helper()
	for tool, debianPackage := range map[string]string{"openssl": "openssl", "tar": "tar", "gzip": "gzip", "split": "coreutils", "sed": "sed"} {
		convertertest.Need(t, tool, debianPackage)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "IMAGE="+image, "KEY="+c.keyFile, "CERT="+c.certFile)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	return stdout.Bytes()
}

// sparseImage returns an image with holes, of more than two parts.
func sparseImage() []byte {
	image := make([]byte, 40<<20)
	copy(image[1<<20:], randomImage(22<<20))
	copy(image[39<<20:], "the end")
	return image
}

func TestBundlesMadeByOpensslAreRead(t *testing.T) {
	c := newCredentials(t)
	dir := t.TempDir()
	image := sparseImage()
	path := filepath.Join(t.TempDir(), "image")
	var holes []byte // Only a file with holes makes tar write a map of them.
	if err := os.WriteFile(path, holes, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range [][2]int{{1 << 20, 23 << 20}, {39 << 20, 40 << 20}} {
		if _, err := f.WriteAt(image[run[0]:run[1]], int64(run[0])); err != nil {
			t.Fatal(err)
		}
	}
	f.Close()
	byHand(t, bundleByHand, dir, path, c)

	files := memory{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		files[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	m := files.manifest(t, "image")
	if err := m.Verify(c.public); err != nil {
		t.Error(err)
	}
	if len(m.Parts) != 3 || m.ImageType() != "kernel" || m.Bundler != "sh 1" {
		t.Errorf("got %d parts of a %s by %s", len(m.Parts), m.ImageType(), m.Bundler)
	}
	got, err := files.unbundle(m, c.key)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, image) {
		t.Error("the image was read as another")
	}
	if len(files["image.tar"]) >= len(image) {
		t.Error("tar wrote no map of holes")
	}
}

func TestOpensslReadsBundles(t *testing.T) {
	c := newCredentials(t)
	dir := t.TempDir()
	image := sparseImage()
	o := c.options("image")
	o.PartSize = 0
	for name, content := range mustWrite(t, image, o) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := byHand(t, unbundleByHand, dir, "", c); !bytes.Equal(got, image) {
		t.Errorf("openssl and tar make %d other bytes of an image of %d", len(got), len(image))
	}
	parts, err := filepath.Glob(filepath.Join(dir, "image.part.*"))
	if err != nil || len(parts) != 3 || !strings.HasSuffix(parts[2], "image.part.02") {
		t.Errorf("parts are %v, %v", parts, err)
	}
}
