package ext4

import (
	"fmt"
	"strings"
	"testing"
)

// The hashes are those of debugfs' dx_hash; TestDirHashAgreesWithDebugfs asks
// it again.
func TestDirHashKnownValues(t *testing.T) {
	seed := [16]byte{0x1e, 0x09, 0x83, 0xc2, 0x5d, 0x7f, 0x4a, 0x11, 0x9a, 0x01, 0x77, 0x2b, 0x60, 0xd4, 0x0f, 0x35}
	for _, c := range []struct {
		name         string
		seed         [16]byte
		major, minor uint32
	}{
		{"a", seed, 0xc42fb0a0, 0x9b19ce1c},
		{"lost+found", seed, 0xa63c38ea, 0x451be958},
		{"vmlinuz", seed, 0x8f105eba, 0xa5b5b5ea},
		{"a", [16]byte{}, 0xd5fa7d7a, 0xacb48187},
		{"lost+found", [16]byte{}, 0x591de422, 0x6ffc56e0},
		{"vmlinuz", [16]byte{}, 0x1c85057a, 0x29320f0a},
		{strings.Repeat("y", 33), [16]byte{}, 0xcf79e5d6, 0x2a5f92c9},
	} {
		if major, minor := newDirHasher(c.seed).hash(c.name); major != c.major || minor != c.minor {
			t.Errorf("hash of %q with seed %x: %#x, %#x, want %#x, %#x", c.name, c.seed, major, minor, c.major, c.minor)
		}
	}
}

func hashNames() []string {
	names := []string{"a", "ab", "abc", "abcd", "lost+found", "\xff\x80\x7f", "naïve-déjà-vu", strings.Repeat("x", 31),
		strings.Repeat("x", 32), strings.Repeat("y", 33), strings.Repeat("\xe9", 64), strings.Repeat("z", 255)}
	for i := range 100 {
		names = append(names, fmt.Sprintf("%d-%s", i, strings.Repeat("n", i)))
	}
	return names
}

func TestDirHashAgreesWithDebugfs(t *testing.T) {
	o := testOptions()
	img := planImage(t, everyKind(), o)
	// debugfs counts characters as signed where the filesystem says so.
	var commands []string
	for _, name := range hashNames() {
		commands = append(commands, fmt.Sprintf("dx_hash -h half_md4 -s %s \"%s\"", uuidText(o.UUID), name))
	}
	outputs := debugfs(t, img, commands)
	h := newDirHasher(o.UUID)
	for i, name := range hashNames() {
		major, minor := h.hash(name)
		want := fmt.Sprintf("Hash of %s is 0x%x (minor 0x%x)", name, major, minor)
		if got := strings.TrimSpace(outputs[i]); got != want {
			t.Errorf("debugfs dx_hash says %q, want %q", got, want)
		}
	}
}

func uuidText(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
