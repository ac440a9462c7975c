package main

import (
	"archive/tar"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestBadRootfsIsRefused pushes what is no root filesystem. Each is refused
// with words that help, and the registry stays as it was.
func TestBadRootfsIsRefused(t *testing.T) {
	s := newServer(t)
	good := writeTar(t, smallRootfs())
	ok(t, "push", good, s.ref("golden/small:1"))
	before := ok(t, "ls", s.ref("golden/small"))
	for _, compress := range [][]string{{"gzip", "-k"}, {"zstd", "-q", "-k"}, {"xz", "-1", "-k"}, {"bzip2", "-1", "-k"}} {
		tool(t, compress[0], append(compress[1:], good)...)
	}
	half := func(suffix string) string {
		content := mustRead(t, good+suffix)
		return content[:len(content)/2]
	}
	entries := func(e ...entry) string { return tarOf(t, e) }
	for name, c := range map[string]struct {
		content string
		texts   []string
	}{
		"truncated tar":             {half(""), []string{"cut short"}},
		"truncated after an entry":  {strings.TrimRight(tarOf(t, smallRootfs()[:3]), "\x00"), []string{"cut short"}},
		"without the end":           {mustRead(t, good)[:len(mustRead(t, good))-1024], []string{"cut short"}},
		"truncated gzip":            {half(".gz"), []string{"gzip", "cut short"}},
		"truncated zstd":            {half(".zst"), []string{"zstd", "cut short"}},
		"truncated xz":              {half(".xz"), []string{"xz", "cut short"}},
		"truncated bzip2":           {half(".bz2"), []string{"bzip2", "cut short"}},
		"broken gzip":               {half(".gz") + strings.Repeat("\xff", 1000), []string{"tar"}},
		"dot dot":                   {entries(regular("../etc/passwd", "x")), []string{`".."`, "../etc/passwd"}},
		"dot dot inside":            {entries(regular("a/../../b", "x")), []string{`".."`}},
		"hard link out":             {entries(link(tar.TypeLink, "a", "../../etc/passwd")), []string{`".."`}},
		"hard link to nowhere":      {entries(regular("a", "x"), link(tar.TypeLink, "b", "nowhere")), []string{"hard link", "nowhere"}},
		"hard link to itself":       {entries(link(tar.TypeLink, "b", "b")), []string{"hard link"}},
		"below a looping link":      {entries(link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a"), regular("a/file", "x")), []string{"a/file"}},
		"below a file":              {entries(regular("a", "x"), regular("a/file", "x")), []string{"a/file"}},
		"an ELF program":            {mustRead(t, binary)[:100_000], []string{"not a tar"}},
		"a text":                    {strings.Repeat("just a text\n", 1000), []string{"not a tar"}},
		"a short text":              {"just a text\n", []string{"tar"}},
		"nothing":                   {"", []string{"cut short", "byte 0"}},
		"invalid cloudlet manifest": {entries(regular(".cloudlet/manifest", "{")), []string{"cloudlet manifest"}},
		"gzip of a text":            {gzipped(t, "just a text\n"), []string{"tar"}},
		"half a gzip header":        {"\x1f\x8b", []string{"gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := mustWrite(t, filepath.Join(t.TempDir(), "rootfs"), c.content)
			fails(t, exitFailed, c.texts, "push", path, s.ref("golden/bad:1"))
			cloudletsFrom(t, c.content, "push", "-", s.ref("golden/small:1")).mustFail(t, exitFailed, c.texts...)
		})
	}
	if after := ok(t, "ls", s.ref("golden/small")); after != before {
		t.Errorf("the tags were\n%s\nand are now\n%s", before, after)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "pull", s.ref("golden/small:1"), "-o", out)
	same(t, out, good)
}

func gzipped(t testing.TB, content string) string {
	t.Helper()
	path := mustWrite(t, filepath.Join(t.TempDir(), "file"), content)
	return tool(t, "gzip", "-c", path)
}

// TestAbsoluteNamesAreBelowTheRoot pushes names and links as no tar has to have
// them: they mean what they mean within the image.
func TestAbsoluteNamesAreBelowTheRoot(t *testing.T) {
	s := newServer(t)
	rootfs := append(bootableRootfs(t),
		regular("/absolute/file", "x"), link(tar.TypeLink, "./hard", "/absolute/file"),
		link(tar.TypeSymlink, "./loop-a", "/loop-b"), link(tar.TypeSymlink, "./loop-b", "loop-a"))
	ok(t, "push", writeTar(t, rootfs), s.ref("a:1"))
	disk := renderRaw(t, s.ref("a:1"))
	checkDisk(t, disk)
	if got := tool(t, "debugfs", "-R", "cat /hard", rootOf(t, disk)); got != "x" {
		t.Errorf("/hard is %q", got)
	}
}

func TestCommandLineIsChecked(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	ok(t, "push", rootfs, s.ref("golden/small:1"))
	nobody := "127.0.0.1:1/golden/small:1"
	unknown := digest.FromString("x").String()
	for name, c := range map[string]struct {
		code  int
		texts []string
		args  []string
	}{
		"unknown command":         {exitUsage, []string{"unknown command"}, []string{"fly"}},
		"unknown flag":            {exitUsage, []string{"--wings"}, []string{"push", "--wings", rootfs, s.ref("a:1")}},
		"too few arguments":       {exitUsage, []string{"FILE", "REFERENCE", "--help"}, []string{"push", rootfs}},
		"too many arguments":      {exitUsage, []string{"expected 1"}, []string{"inspect", "a", "b"}},
		"upper case":              {exitUsage, []string{"Golden/small"}, []string{"push", rootfs, s.ref("Golden/small:1")}},
		"bad characters":          {exitUsage, []string{"HOST[:PORT]/REPOSITORY"}, []string{"push", rootfs, s.ref("gol den:1")}},
		"dot dot":                 {exitUsage, []string{"HOST[:PORT]/REPOSITORY"}, []string{"push", rootfs, s.ref("../etc:1")}},
		"bad tag":                 {exitUsage, []string{"reference"}, []string{"push", rootfs, s.ref("a:-1")}},
		"bad digest":              {exitUsage, []string{"reference"}, []string{"pull", "-o", "x", s.ref("a@sha256:12")}},
		"no repository":           {exitUsage, []string{"HOST[:PORT]/REPOSITORY"}, []string{"push", rootfs, "small"}},
		"nowhere to pull to":      {exitUsage, []string{"--layout"}, []string{"pull", s.ref("golden/small:1")}},
		"two places to pull to":   {exitUsage, []string{"--layout"}, []string{"pull", s.ref("golden/small:1"), "-o", "a", "--layout", "b"}},
		"no such rootfs":          {exitNotFound, []string{"/nonexistent.tar"}, []string{"push", "/nonexistent.tar", s.ref("a:1")}},
		"no such tag":             {exitNotFound, []string{"golden/small:2"}, []string{"inspect", s.ref("golden/small:2")}},
		"no such digest":          {exitNotFound, []string{unknown}, []string{"inspect", s.ref("golden/small@" + unknown)}},
		"no such repository":      {exitNotFound, []string{"golden/none"}, []string{"ls", s.ref("golden/none")}},
		"pull of nothing":         {exitNotFound, []string{"golden/none"}, []string{"pull", s.ref("golden/none:1"), "-o", filepath.Join(t.TempDir(), "x")}},
		"boot of nothing":         {exitNotFound, []string{"golden/none"}, []string{"boot", s.ref("golden/none:1")}},
		"nobody to push to":       {exitFailed, []string{"127.0.0.1:1", "refused"}, []string{"push", rootfs, nobody}},
		"nobody to pull from":     {exitFailed, []string{"127.0.0.1:1", "refused"}, []string{"pull", nobody, "-o", "x"}},
		"nobody to list":          {exitFailed, []string{"127.0.0.1:1", "refused"}, []string{"ls", "127.0.0.1:1"}},
		"nobody to render":        {exitFailed, []string{"127.0.0.1:1", "refused"}, []string{"render", nobody}},
		"a digest to push to":     {exitUsage, []string{"digest"}, []string{"push", rootfs, s.ref("golden/small@" + unknown)}},
		"an address in use":       {exitFailed, []string{"listen", s.host}, []string{"serve", "--listen", s.host, "--data", t.TempDir()}},
		"a file for the data":     {exitFailed, []string{rootfs}, []string{"serve", "--listen", "127.0.0.1:0", "--data", rootfs}},
		"unknown accelerator":     {exitUsage, []string{"warp", "tcg"}, []string{"boot", s.ref("golden/small:1"), "--accel", "warp"}},
		"unknown firmware":        {exitUsage, []string{"coreboot", "uefi"}, []string{"boot", s.ref("golden/small:1"), "--firmware", "coreboot"}},
		"nowhere to write to":     {exitNotFound, []string{"/nonexistent"}, []string{"pull", s.ref("golden/small:1"), "-o", "/nonexistent/x"}},
		"a reference as registry": {exitUsage, []string{"HOST"}, []string{"ls", "a b"}},
	} {
		t.Run(name, func(t *testing.T) { fails(t, c.code, c.texts, c.args...) })
	}
	if got := ok(t, "ls", s.host); got != "golden/small" {
		t.Errorf("there are now the repositories %q", got)
	}
}

func TestTamperedUploadIsRefused(t *testing.T) {
	s := newServer(t)
	resp, _ := s.do(t, http.MethodPost, "/v2/golden/small/blobs/uploads/", "", "", nil)
	d := digest.FromString("content")
	resp, body := s.do(t, http.MethodPut, withQuery(resp.Header.Get("Location"), "digest="+d.String()),
		"Content-Type", "application/octet-stream", strings.NewReader("contenT"))
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "DIGEST_INVALID") || !strings.Contains(body, d.String()) {
		t.Errorf("got status %d and %s", resp.StatusCode, body)
	}
	if resp, _ := s.get(t, "/v2/golden/small/blobs/"+d.String(), "", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the blob has status %d", resp.StatusCode)
	}
}

func withQuery(location, query string) string {
	if strings.Contains(location, "?") {
		return location + "&" + query
	}
	return location + "?" + query
}

// TestTamperedBlobIsNotPulled changes a byte in the registry's data: what is
// pulled is verified.
func TestTamperedBlobIsNotPulled(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("a:1"))
	largest, size := "", int64(0)
	err := filepath.Walk(s.data, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() > size {
			largest, size = path, info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(largest, os.O_RDWR, 0)
	if err != nil {
		if err = os.Chmod(largest, 0o600); err == nil {
			f, err = os.OpenFile(largest, os.O_RDWR, 0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("tampered"), size/2); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	// The registry may have found out by itself, when it prepared the image.
	r := cloudlets(t, "pull", s.ref("a:1"), "-o", out)
	want := exitFailed
	if strings.Contains(r.stderr, "not found") {
		want = exitNotFound
	}
	r.mustFail(t, want)
	if _, err := os.Stat(out); err == nil {
		t.Error("a tampered tar was written")
	}
}

// fullDisk runs a command with a small filesystem of its own at a directory.
const fullDisk = `dir=$1; size=$2; shift 2; mount -t tmpfs -o size=$size tmpfs "$dir" && exec "$@"`

// TestFullDiskIsToldOf pushes more than the registry has room for.
func TestFullDiskIsToldOf(t *testing.T) {
	find(t, "unshare")
	if out, err := try(t, "unshare", "-rm", "true"); err != nil {
		t.Skipf("this machine allows no mounts: %v %s", err, out)
	}
	data := t.TempDir()
	s := startServer(t, data, "unshare", "-rm", "sh", "-c", fullDisk, "sh", data, "8m")
	small := writeTar(t, smallRootfs()[:12])
	ok(t, "push", small, s.ref("golden/small:1"))
	large := append(smallRootfs(), regular("./large", text(9, 40<<20)))
	fails(t, exitFailed, []string{"no space left"}, "push", writeTar(t, large), s.ref("golden/large:1"))
	fails(t, exitFailed, []string{"no space left"}, "push", writeTar(t, large), s.ref("golden/small:2"))
	if got := ok(t, "ls", s.ref("golden/small")); !strings.HasPrefix(got, "1\t") && !strings.HasPrefix(got, "1 ") {
		t.Errorf("the tags are now %q", got)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "pull", s.ref("golden/small:1"), "-o", out)
	same(t, out, small)
	// What was refused has given its room back.
	ok(t, "push", writeTar(t, append(smallRootfs()[:12], regular("./more", text(10, 1<<20)))), s.ref("golden/small:3"))
}
