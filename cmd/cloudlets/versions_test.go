package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/client"
)

// checkedOut pushes the small rootfs, and checks it out.
func checkedOut(t *testing.T, s *server) (dir, first string) {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	// An ACL that says something else than the mode cannot be checked out as it is.
	consistent := slices.DeleteFunc(smallRootfs(), func(e entry) bool { return e.Name == "./etc/acl" })
	first = ok(t, "push", writeTar(t, consistent), s.ref("golden/small:1"))
	dir = filepath.Join(t.TempDir(), "rootfs")
	ok(t, "checkout", s.ref("golden/small:1"), dir)
	return dir, first
}

// logOf returns the history of an image.
func logOf(t *testing.T, ref string) []client.Version {
	t.Helper()
	var versions []client.Version
	if err := json.Unmarshal([]byte(ok(t, "log", ref, "--json")), &versions); err != nil {
		t.Fatal(err)
	}
	return versions
}

func TestACheckoutIsWhatGNUTarExtracts(t *testing.T) {
	s := newServer(t)
	dir, _ := checkedOut(t, s)
	rootfs := filepath.Join(t.TempDir(), "rootfs.tar")
	ok(t, "tar", s.ref("golden/small:1"), "--volatile", "-o", rootfs)
	tool(t, "tar", "-d", "--numeric-owner", "-C", dir, "-f", rootfs)
	if diff := ok(t, "diff", s.ref("golden/small:1"), dir, "--times"); diff != "" {
		t.Errorf("the checkout differs:\n%s", diff)
	}
}

func TestCommitsMakeAHistory(t *testing.T) {
	s := newServer(t)
	dir, first := checkedOut(t, s)
	ref := s.ref("golden/small:1")
	r := cloudlets(t, "commit", dir, ref, "-m", "nothing")
	if r.code != 0 || !strings.Contains(r.stderr, "nothing to commit") || strings.TrimSpace(r.stdout) != first {
		t.Errorf("an unchanged directory: exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	mustWrite(t, filepath.Join(dir, "etc/hostname"), "other\n")
	second := ok(t, "commit", dir, ref, "-m", "Call it other", "--committer", "ada")
	versions := logOf(t, ref)
	if len(versions) != 2 || versions[0].Digest.String() != second || versions[0].Message != "Call it other" ||
		versions[0].Committer != "ada" || versions[0].Parents[0].String() != first || versions[1].Digest.String() != first {
		t.Errorf("the history is %+v", versions)
	}
	patch := ok(t, "diff", s.ref("golden/small@"+first), ref, "--patch")
	if !strings.Contains(patch, "-golden\n+other") || strings.Count(patch, "\n---") > 0 {
		t.Errorf("the patch is\n%s", patch)
	}
	ok(t, "checkout", s.ref("golden/small@"+first), dir)
	if got := mustRead(t, filepath.Join(dir, "etc/hostname")); got != "golden\n" {
		t.Errorf("the first version has the host name %q", got)
	}
}

func TestWhatOthersCommittedIsNotLost(t *testing.T) {
	s := newServer(t)
	dir, _ := checkedOut(t, s)
	ref := s.ref("golden/small:1")
	other := filepath.Join(t.TempDir(), "other")
	ok(t, "checkout", ref, other)
	mustWrite(t, filepath.Join(other, "etc/hostname"), "theirs\n")
	theirs := ok(t, "commit", other, ref, "-m", "theirs")
	mustWrite(t, filepath.Join(dir, "etc/motd"), "ours\n")
	fails(t, exitFailed, []string{"leads to another version", "merge"}, "commit", dir, ref, "-m", "ours")

	ok(t, "commit", dir, s.ref("golden/small:mine"), "-m", "ours")
	merged := ok(t, "merge", ref, s.ref("golden/small:mine"))
	into := filepath.Join(t.TempDir(), "merged")
	ok(t, "checkout", ref, into)
	if mustRead(t, filepath.Join(into, "etc/hostname")) != "theirs\n" || mustRead(t, filepath.Join(into, "etc/motd")) != "ours\n" {
		t.Error("the merge has not the changes of both")
	}
	if v := logOf(t, ref); v[0].Digest.String() != merged || len(v) != 4 || v[0].Parents[0].String() != theirs || len(v[0].Parents) != 2 {
		t.Errorf("the history is %+v", v)
	}
	if r := cloudlets(t, "merge", ref, s.ref("golden/small:mine")); r.code != 0 || !strings.Contains(r.stderr, "up to date") {
		t.Errorf("the second merge: exit code %d %s", r.code, r.stderr)
	}

	// The merge does not know of it once it is reverted.
	ok(t, "revert", ref, theirs)
	ok(t, "checkout", ref, into)
	if mustRead(t, filepath.Join(into, "etc/hostname")) != "golden\n" || mustRead(t, filepath.Join(into, "etc/motd")) != "ours\n" {
		t.Error("the revert has not taken back what theirs changed, and only that")
	}
}

func TestConflictsAreReportedAndNothingIsPushed(t *testing.T) {
	s := newServer(t)
	dir, first := checkedOut(t, s)
	for tag, name := range map[string]string{"a": "one\n", "b": "two\n"} {
		ok(t, "checkout", s.ref("golden/small@"+first), dir)
		ok(t, "tag", s.ref("golden/small@"+first), tag)
		mustWrite(t, filepath.Join(dir, "etc/hostname"), name)
		ok(t, "commit", dir, s.ref("golden/small:"+tag), "-m", tag)
	}
	before := logOf(t, s.ref("golden/small:a"))[0].Digest
	fails(t, exitFailed, []string{"1 conflicts", "/etc/hostname: changed by both: content"}, "merge", s.ref("golden/small:a"), s.ref("golden/small:b"))
	if after := logOf(t, s.ref("golden/small:a"))[0].Digest; after != before {
		t.Errorf("the tag went from %s to %s", before, after)
	}
	ok(t, "merge", s.ref("golden/small:a"), s.ref("golden/small:b"), "--favour", "theirs")
	ok(t, "checkout", s.ref("golden/small:a"), dir)
	if got := mustRead(t, filepath.Join(dir, "etc/hostname")); got != "two\n" {
		t.Errorf("theirs was favoured, the host name is %q", got)
	}
}

func TestAForkHasTheHistoryAndMovesLittle(t *testing.T) {
	from, to := newServer(t), newServer(t)
	dir, first := checkedOut(t, from)
	ok(t, "fork", from.ref("golden/small:1"), to.ref("mine/small:1"))
	size := func() (n int64) {
		err := filepath.WalkDir(filepath.Join(to.data, "objects"), func(_ string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			n += info.Size()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := size()
	mustWrite(t, filepath.Join(dir, "etc/hostname"), "other\n")
	second := ok(t, "commit", dir, from.ref("golden/small:1"), "-m", "other")
	if got := ok(t, "fork", from.ref("golden/small:1"), to.ref("mine/small:1")); got != second {
		t.Errorf("the fork is %s, want %s", got, second)
	}
	if moved := size() - before; moved > before/2 {
		t.Errorf("%d bytes were stored for a change of one line in %d", moved, before)
	}
	if v := logOf(t, to.ref("mine/small:1")); len(v) != 2 || v[1].Digest.String() != first {
		t.Errorf("the fork's history is %+v", v)
	}
	tool(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+to.ref("mine/small:1"))
}

func TestUncommittedChangesAreNotGivenUp(t *testing.T) {
	s := newServer(t)
	dir, _ := checkedOut(t, s)
	path := mustWrite(t, filepath.Join(dir, "etc/new"), "precious")
	fails(t, exitFailed, []string{"not committed", "--force"}, "checkout", s.ref("golden/small:1"), dir)
	if got := mustRead(t, path); got != "precious" {
		t.Errorf("the file is now %q", got)
	}
	ok(t, "checkout", "--force", s.ref("golden/small:1"), dir)
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is still there")
	}
	full := t.TempDir()
	mustWrite(t, filepath.Join(full, "file"), "precious")
	fails(t, exitFailed, []string{"neither empty nor a checkout"}, "checkout", s.ref("golden/small:1"), full)
}
