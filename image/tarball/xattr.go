package tarball

import (
	"slices"
	"strings"
)

// attributes collects the extended attributes of one entry. A tar may have one
// attribute in several forms; the most literal form counts.
type attributes struct {
	byName map[string]attribute
}

type attribute struct {
	value string
	form  form
}

// form is how a tar has an attribute. Greater is more literal.
type form uint8

const (
	fromACLText form = iota // an ACL, as text
	fromBase64              // libarchive's encoding, decoded
	asIs
)

func (a *attributes) add(name, value string, f form) {
	if a.byName == nil {
		a.byName = make(map[string]attribute)
	}
	if had, ok := a.byName[name]; !ok || f >= had.form {
		a.byName[name] = attribute{value, f}
	}
}

// sorted returns the attributes as Entry.Xattrs has them. An access ACL that
// says no more than the mode bits is left out, as the kernel does.
func (a *attributes) sorted() ([]Xattr, error) {
	if len(a.byName) == 0 {
		return nil, nil
	}
	xattrs := make([]Xattr, 0, len(a.byName))
	for name, attr := range a.byName {
		value, err := attr.decode(name)
		if err != nil {
			return nil, err
		}
		if value != nil {
			xattrs = append(xattrs, Xattr{name, value})
		}
	}
	slices.SortFunc(xattrs, func(a, b Xattr) int { return strings.Compare(a.Name, b.Name) })
	return xattrs, nil
}

// decode returns the attribute's value, or nil where there is nothing to keep.
func (a attribute) decode(name string) ([]byte, error) {
	namespace, rest, _ := strings.Cut(name, ".")
	switch {
	case len(name) > MaxName || rest == "" || strings.IndexByte(name, 0) >= 0:
		return nil, invalid("extended attribute %.300q: its name must be NAMESPACE.NAME of at most %d bytes", name, MaxName)
	case len(a.value) > maxXattr:
		return nil, invalid("extended attribute %q: %d bytes, the limit is %d", name, len(a.value), maxXattr)
	case name == xattrACLAccess || name == xattrACLDefault:
		return a.decodeACL(name)
	case namespace != "user" && namespace != "trusted" && namespace != "security" && namespace != "system":
		// Other systems' attributes, as macOS's com.apple.*: Linux cannot hold them.
		return nil, nil
	}
	return []byte(a.value), nil
}

func (a attribute) decodeACL(name string) ([]byte, error) {
	parse := parseACLXattr
	if a.form == fromACLText {
		parse = parseACLText
	}
	list, err := parse(a.value)
	if err != nil {
		return nil, invalid("%s: %v", name, err)
	}
	if len(list) == 0 || name == xattrACLAccess && list.isMinimal() {
		return nil, nil
	}
	return list.xattr(), nil
}
