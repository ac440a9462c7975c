package tarball

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// What `cloudlets git` (package gitdir) keeps in the directory of a rootfs, from
// its root.
const (
	GitState    = ".git/cloudlets"     // a directory, there if git is run by cloudlets
	GitMetadata = ".cloudlet/metadata" // what git does not keep of the files
)

// isGitDir reports whether git is run on a directory by cloudlets.
func isGitDir(root *os.File) bool {
	var st unix.Stat_t
	err := unix.Fstatat(int(root.Fd()), GitState, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// isGits reports whether the file name in dir, whose path is given, is no part of
// the rootfs but of its revision control.
func isGits(dir *os.File, path, name string) bool {
	switch {
	case path == "" && name == ".git", path == ".cloudlet" && name == "metadata":
		return true
	case path != "" || name != ".cloudlet":
		return false
	}
	reserved, err := openAt(dir, name, name, unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer reserved.Close()
	names, err := reserved.Readdirnames(2)
	return err == nil && slices.Equal(names, []string{"metadata"})
}
