package tarball

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The attributes in which Linux keeps POSIX ACLs.
const (
	xattrACLAccess  = "system.posix_acl_access"
	xattrACLDefault = "system.posix_acl_default"
)

// Tags of ACL entries (linux/posix_acl.h), in the order the kernel asks for.
const (
	aclUserObj  uint16 = 0x01 // the owner
	aclUser     uint16 = 0x02
	aclGroupObj uint16 = 0x04 // the owning group
	aclGroup    uint16 = 0x08
	aclMask     uint16 = 0x10
	aclOther    uint16 = 0x20
)

// The xattr form of an ACL, version 2 (linux/posix_acl_xattr.h): a 4-byte
// version, then 8 bytes an entry — tag, permissions, id — all little-endian.
const (
	aclVersion    = 2
	aclHeaderSize = 4
	aclEntrySize  = 8
	aclNoID       = 0xffffffff // the id of entries that name nobody
	aclPermMask   = 7
)

// acl is a POSIX access control list, sorted as the kernel asks.
type acl []aclEntry

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

func (e aclEntry) isNamed() bool { return e.tag == aclUser || e.tag == aclGroup }

// parseACLXattr reads the xattr form.
func parseACLXattr(value string) (acl, error) {
	p := []byte(value)
	if len(p) < aclHeaderSize || (len(p)-aclHeaderSize)%aclEntrySize != 0 {
		return nil, fmt.Errorf("an ACL of %d bytes", len(p))
	}
	if v := binary.LittleEndian.Uint32(p); v != aclVersion {
		return nil, fmt.Errorf("an ACL of version %d, want %d", v, aclVersion)
	}
	var list acl
	for p = p[aclHeaderSize:]; len(p) > 0; p = p[aclEntrySize:] {
		e := aclEntry{
			tag:  binary.LittleEndian.Uint16(p),
			perm: binary.LittleEndian.Uint16(p[2:]),
			id:   binary.LittleEndian.Uint32(p[4:]),
		}
		if !e.isNamed() {
			e.id = aclNoID
		}
		list = append(list, e)
	}
	return list.check()
}

func (l acl) xattr() []byte {
	p := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range l {
		p = binary.LittleEndian.AppendUint16(p, e.tag)
		p = binary.LittleEndian.AppendUint16(p, e.perm)
		p = binary.LittleEndian.AppendUint32(p, e.id)
	}
	return p
}

// parseACLText reads the text form (acl(5), short and long): entries separated
// by commas or newlines, "TAG:NAME:PERMISSIONS", where star and libarchive add
// the numeric id as a fourth field. A name without an id cannot be known here.
func parseACLText(text string) (acl, error) {
	var list acl
	for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' }) {
		item, _, _ = strings.Cut(item, "#") // "#effective:r--"
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		e, err := parseACLEntry(item)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list.check()
}

func parseACLEntry(item string) (aclEntry, error) {
	bad := fmt.Errorf("the ACL entry %.80q is not TAG:NAME:PERMISSIONS", item)
	fields := strings.Split(item, ":")
	if len(fields) < 2 {
		return aclEntry{}, bad
	}
	tag, name := fields[0], fields[1]
	perms := fields[2:]
	if len(perms) == 0 && (tag == "mask" || tag == "m" || tag == "other" || tag == "o") {
		name, perms = "", fields[1:] // "other:r--"
	}
	if len(perms) == 0 {
		return aclEntry{}, bad
	}
	e := aclEntry{id: aclNoID}
	switch tag {
	case "user", "u":
		e.tag = aclUserObj
	case "group", "g":
		e.tag = aclGroupObj
	case "mask", "m":
		e.tag = aclMask
	case "other", "o":
		e.tag = aclOther
	default:
		return aclEntry{}, bad
	}
	var ok bool
	if e.perm, ok = parseACLPerm(perms[0]); !ok {
		return aclEntry{}, bad
	}
	if name == "" {
		return e, nil
	}
	if e.tag != aclUserObj && e.tag != aclGroupObj {
		return aclEntry{}, bad
	}
	e.tag <<= 1 // the tag of a named user or group
	id, err := parseACLID(name, perms[1:])
	e.id = id
	return e, err
}

func parseACLID(name string, rest []string) (uint32, error) {
	text := name
	if len(rest) > 0 && rest[0] != "" {
		text = rest[0]
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == aclNoID {
		return 0, fmt.Errorf("the ACL names %.80q without a numeric id, which depends on the machine: make the tar with --xattrs --acls or --numeric-owner", name)
	}
	return uint32(id), nil
}

func parseACLPerm(s string) (perm uint16, ok bool) {
	for _, c := range s {
		switch c {
		case 'r':
			perm |= 4
		case 'w':
			perm |= 2
		case 'x':
			perm |= 1
		case '-':
		default:
			return 0, false
		}
	}
	return perm, s != ""
}

// text returns the text form, with numeric ids, as GNU tar has it.
func (l acl) text() string {
	items := make([]string, len(l))
	for i, e := range l {
		tag := "other"
		switch e.tag {
		case aclUserObj, aclUser:
			tag = "user"
		case aclGroupObj, aclGroup:
			tag = "group"
		case aclMask:
			tag = "mask"
		}
		name := ""
		if e.isNamed() {
			name = strconv.FormatUint(uint64(e.id), 10)
		}
		perm := []byte("---")
		for bit, c := range "rwx" {
			if e.perm&(4>>bit) != 0 {
				perm[bit] = byte(c)
			}
		}
		items[i] = tag + ":" + name + ":" + string(perm)
	}
	return strings.Join(items, "\n")
}

// isMinimal reports whether the list says what mode bits can say.
func (l acl) isMinimal() bool { return len(l) == 3 }

// check sorts the list and applies the rules of acl(5): exactly one entry for
// the owner, the group and others; each user and group once; a mask, once,
// where there are named entries. An empty list is allowed.
func (l acl) check() (acl, error) {
	if len(l) == 0 {
		return l, nil
	}
	slices.SortFunc(l, func(a, b aclEntry) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id))
	})
	var seen uint16
	for i, e := range l {
		if i > 0 && l[i-1].tag == e.tag && l[i-1].id == e.id {
			return nil, fmt.Errorf("two ACL entries for tag %d, id %d", e.tag, e.id)
		}
		switch e.tag {
		case aclUserObj, aclUser, aclGroupObj, aclGroup, aclMask, aclOther:
		default:
			return nil, fmt.Errorf("an ACL entry with unknown tag %#x", e.tag)
		}
		if e.perm&^aclPermMask != 0 || e.isNamed() && e.id == aclNoID {
			return nil, fmt.Errorf("an ACL entry with permissions %#x for id %d", e.perm, e.id)
		}
		seen |= e.tag
	}
	const needed = aclUserObj | aclGroupObj | aclOther
	if seen&needed != needed {
		return nil, errors.New("an ACL without an entry for owner, group or others")
	}
	if seen&(aclUser|aclGroup) != 0 && seen&aclMask == 0 {
		return nil, errors.New("an ACL with named entries but no mask")
	}
	return l, nil
}
