// Package grub makes what a BIOS needs to start GRUB 2 from a disk, and reads
// the little that must be known of a GRUB for UEFI.
//
// What enters: a [Kit], the files of GRUB's i386-pc platform as a distribution
// packages them (Debian: grub-pc-bin, /usr/lib/grub/i386-pc). What leaves: a
// core image, as `grub-mkimage -O i386-pc` makes it, and a boot sector, as
// grub-bios-setup patches it. Neither tool is run, nothing outside the kit is
// read, and the same kit and options always give the same bytes.
//
// A core image is, in this order:
//
//   - diskboot.img, one sector: loads the rest, by the block list at its end;
//   - lzma_decompress.img: switches to protected mode and unpacks the rest to
//     1 MiB, by the sizes in its header;
//   - one raw LZMA stream (lc=3, lp=0, pb=2, no header, no end marker) of
//     kernel.img's loaded bytes followed by the module area: ELF modules, the
//     embedded configuration and the prefix, each behind a small header.
//
// Layout: GNU GRUB manual, "GRUB image files", and GRUB's public headers
// include/grub/kernel.h, include/grub/offsets.h and
// include/grub/i386/pc/boot.h. All numbers are little-endian.
package grub
