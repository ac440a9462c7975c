package cloudlet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kinds of entry points.
const (
	EntryKernel = "kernel" // from a bootloader
	EntryInit   = "init"   // from a kernel
	EntryChroot = "chroot" // from a shell
)

// Entrypoint is one way to start an image.
type Entrypoint struct {
	Command  []string     `json:"command,omitempty"` // the program and its arguments
	Enter    []string     `json:"enter,omitempty"`   // run before it
	Exit     []string     `json:"exit,omitempty"`    // run after it
	Requires Requirements `json:"requires,omitzero"`

	// What the kernel in the image is, for [EntryKernel].
	OS      string `json:"os,omitempty"`
	Version string `json:"version,omitempty"` // as uname -r
	Flavor  string `json:"flavor,omitempty"`

	// Unknown are the fields that this version does not know.
	Unknown map[string]json.RawMessage `json:"-"`
}

// Requirements are what a machine must be for an entry point.
type Requirements struct {
	Arch   string `json:"arch,omitempty"`   // as uname -m or OCI have it
	Kernel string `json:"kernel,omitempty"` // ">= 5.10"

	Unknown map[string]json.RawMessage `json:"-"`
}

// Check returns why a machine will not do, or nil. What the caller does not
// know of the machine is given as "" and is not checked.
func (r Requirements) Check(arch, kernel string) error {
	if r.Arch != "" && arch != "" && OCIArch(r.Arch) != OCIArch(arch) {
		return fmt.Errorf("the entry point requires the architecture %s, the machine is %s", r.Arch, arch)
	}
	least, ok := strings.CutPrefix(r.Kernel, ">= ")
	if ok && kernel != "" && compareVersions(kernel, least) < 0 {
		return fmt.Errorf("the entry point requires a kernel %s, the machine's is %s", r.Kernel, kernel)
	}
	return nil
}

// compareVersions compares the numbers that two versions begin with:
// 6.1.0-32-amd64 is 6.1.0.
func compareVersions(a, b string) int {
	x, y := versionNumbers(a), versionNumbers(b)
	for i := range max(len(x), len(y)) {
		var m, n int
		if i < len(x) {
			m = x[i]
		}
		if i < len(y) {
			n = y[i]
		}
		if m != n {
			return m - n
		}
	}
	return 0
}

func versionNumbers(version string) []int {
	if end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		version = version[:end]
	}
	var numbers []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.ParseInt(part, 10, 31)
		if err != nil {
			break
		}
		numbers = append(numbers, int(n))
	}
	return numbers
}

// OCIArch returns OCI's word (Go's GOARCH) for an architecture. One that is not
// known is returned as it is.
func OCIArch(arch string) string {
	switch strings.ToLower(arch) {
	case "x86_64", "x86-64", "amd64":
		return "amd64"
	case "aarch64", "arm64":
		return "arm64"
	case "i386", "i486", "i586", "i686", "386":
		return "386"
	}
	return arch
}

// entrypointFields are the fields of an entry point, in the order they are
// written in.
var (
	entrypointFields  = []string{"command", "enter", "exit", "requires", "os", "version", "flavor"}
	requirementFields = []string{"arch", "kernel"}
)

// MarshalJSON writes the known fields, and then the others.
func (e Entrypoint) MarshalJSON() ([]byte, error) {
	type plain Entrypoint
	data, err := marshal(plain(e))
	if err != nil {
		return nil, err
	}
	return mergeFields(data, e.Unknown, entrypointFields)
}

// UnmarshalJSON keeps the fields it does not know.
func (e *Entrypoint) UnmarshalJSON(data []byte) error {
	type plain Entrypoint
	var err error
	e.Unknown, err = unmarshalKnown(data, entrypointFields, (*plain)(e))
	return err
}

// MarshalJSON writes the known fields, and then the others.
func (r Requirements) MarshalJSON() ([]byte, error) {
	type plain Requirements
	data, err := marshal(plain(r))
	if err != nil {
		return nil, err
	}
	return mergeFields(data, r.Unknown, requirementFields)
}

// UnmarshalJSON keeps the fields it does not know.
func (r *Requirements) UnmarshalJSON(data []byte) error {
	type plain Requirements
	var err error
	r.Unknown, err = unmarshalKnown(data, requirementFields, (*plain)(r))
	return err
}

// IsZero reports whether nothing is required.
func (r Requirements) IsZero() bool { return r.Arch == "" && r.Kernel == "" && len(r.Unknown) == 0 }

// unmarshalKnown reads the fields of an object that have exactly these names
// and returns the others.
func unmarshalKnown(data []byte, names []string, into any) (unknown map[string]json.RawMessage, err error) {
	if err := json.Unmarshal(data, &unknown); err != nil {
		return nil, err
	}
	known := make(map[string]json.RawMessage)
	for _, name := range names {
		if value, ok := unknown[name]; ok {
			known[name] = value
			delete(unknown, name)
		}
	}
	if data, err = marshal(known); err != nil {
		return nil, err
	}
	return unknown, json.Unmarshal(data, into)
}
