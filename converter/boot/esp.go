package boot

// Where things stand on the ESP.
const (
	// GRUBDir is where disks have the menu of GRUB.
	GRUBDir = "/grub"

	fallbackDir  = "/EFI/BOOT"
	entriesDir   = "/loader/entries"
	kernelsDir   = "/EFI/Linux" // a directory for each version below it
	loaderKernel = "linux"
	loaderInitrd = "initrd"

	loaderConfigPath = "/loader/loader.conf"
)

// AddUEFI adds the bootloader for UEFI to the files of an ESP, for systemd-boot
// the menu, and unified kernel images. Bootloader, kernels and initrds are references to the
// same content as in the trees they come from. What a GRUB reads in
// [Bootloaders.Prefix] is for the caller to add.
func (f *Files) AddUEFI(b Bootloaders, menu Menu) {
	if b.uefi == nil {
		return
	}
	for _, file := range b.uefi.files {
		if n := regular(b.uefiTree, file.from); n != nil {
			f.Reference(fallbackDir+"/"+file.to, n)
		}
	}
	for _, u := range b.Unified {
		f.Reference(kernelsDir+"/"+u.Name+efiSuffix, u.File)
	}
	switch {
	case b.uefi.unified == anyKernel:
		f.Text(loaderConfigPath, loaderConfig(b.Unified[0].Name+efiSuffix))
	case b.uefi.unified != "":
		f.Reference(fallbackDir+"/"+b.uefi.unified, b.Unified[0].File)
	case b.HoldsKernels():
		f.addSystemdBoot(menu)
	}
}

// addSystemdBoot adds what systemd-boot needs. It reads no filesystem but the
// ESP, so kernels and initrds stand there once more.
func (f *Files) addSystemdBoot(menu Menu) {
	f.Text(loaderConfigPath, loaderConfig(menu.defaultVersion()+".conf"))
	for _, e := range menu.versions() {
		dir := kernelsDir + "/" + e.Kernel.Version
		f.Reference(dir+"/"+loaderKernel, e.Kernel.Image)
		if e.Kernel.Initrd != nil {
			f.Reference(dir+"/"+loaderInitrd, e.Kernel.Initrd)
		}
		f.Text(entriesDir+"/"+e.Kernel.Version+".conf", e.loaderEntry(dir))
	}
}
