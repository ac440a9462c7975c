package disk

import (
	"encoding/json"
	"fmt"
	"regexp"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Config is the configuration of one disk. What is not set stays as the image
// has it.
//
// Hostname is all that is applied yet. The rest has its place here, in the
// seed format's form, for templates to come; [Report.NotApplied] tells what of
// it was given in vain.
type Config struct {
	// Hostname is written to /etc/hostname: labels of letters, digits and
	// inner hyphens, joined by dots (RFC 1123, section 2.1).
	Hostname string `json:"hostname,omitempty"`

	DNS  json.RawMessage `json:"dns,omitempty"`  // {"nameservers": [...]}
	IP   json.RawMessage `json:"ip,omitempty"`   // {"interfaces": [...]}
	Args json.RawMessage `json:"args,omitempty"` // the image's own arguments
}

// notApplied names the parts of the configuration that are given but not applied.
func (c Config) notApplied() []string {
	var names []string
	for _, part := range []struct {
		name  string
		value json.RawMessage
	}{{"dns", c.DNS}, {"ip", c.IP}, {"args", c.Args}} {
		if len(part.value) > 0 {
			names = append(names, part.name)
		}
	}
	return names
}

// hostnamePattern is RFC 1123's, 2.1, with RFC 1035's limit of 63 a label.
var hostnamePattern = regexp.MustCompile(
	`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)

// maxHostname is Linux's limit (uts(7), HOST_NAME_MAX), in bytes.
const maxHostname = 64

// apply returns the tree with the configuration in it: the tree itself where
// there is nothing to change, else a copy.
func (c Config) apply(tree *image.Tree) (*image.Tree, error) {
	if c.Hostname == "" {
		return tree, nil
	}
	if len(c.Hostname) > maxHostname || !hostnamePattern.MatchString(c.Hostname) {
		return nil, fmt.Errorf("hostname %q: expected at most %d letters, digits, inner hyphens and dots",
			c.Hostname, maxHostname)
	}
	tree = tree.Clone()
	etc, err := tree.Resolve("/etc")
	if err != nil || !etc.IsDir() {
		return nil, fmt.Errorf("set the hostname to %s: the image has no directory /etc", c.Hostname)
	}
	content := []byte(c.Hostname + "\n")
	file := &image.Inode{
		Mode:    image.TypeRegular | 0o644,
		ModTime: etc.ModTime,
		Content: []extent.Extent{{Kind: extent.Inline, Length: int64(len(content)), Data: content}},
	}
	if old := etc.Lookup("hostname"); old != nil && old.IsRegular() {
		file.Mode, file.UID, file.GID, file.Xattrs, file.Order = old.Mode, old.UID, old.GID, old.Xattrs, old.Order
	}
	etc.Link("hostname", file)
	return tree, nil
}
