package disk

// biosModules are built into GRUB's core image: all that its menu needs, as the
// disk has no other place to load modules from, and some to repair a boot by
// hand on the console.
var biosModules = []string{
	"biosdisk", "part_gpt", "fat", "ext2", "search", "search_fs_uuid",
	"normal", "configfile", "test", "linux", "gzio",
	"serial", "terminal", "echo",
	"ls", "cat", "halt", "reboot", "minicmd",
}
