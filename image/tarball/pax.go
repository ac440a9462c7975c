package tarball

import (
	"bytes"
	"encoding/base64"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// overrides is what extended headers say about the entry that follows them.
// Absent texts are empty.
type overrides struct {
	path, link   string
	size         optional
	uid, gid     optional
	major, minor optional
	modTime      time.Time
	hasModTime   bool
	attributes   attributes
	sparse       paxSparse

	pax, longName, longLink bool // which kinds of header were there
}

type optional struct {
	value int64
	set   bool
}

// The prefixes of the keys that carry extended attributes, and what follows
// from each. star and GNU tar write names and values as they are; libarchive
// writes names URL-encoded and values in base64.
const (
	keyXattr           = "SCHILY.xattr."
	keyXattrLibarchive = "LIBARCHIVE.xattr."
	keySparse          = "GNU.sparse."
)

// parsePAX reads the records of an 'x' header into o: "LENGTH KEY=VALUE\n",
// where LENGTH counts the whole record (POSIX.1-2001, pax Extended Header).
func (o *overrides) parsePAX(p []byte) error {
	return eachRecord(p, o.set)
}

// parseGlobalPAX reads the records of a 'g' header, which hold for all files
// that follow. Only ownership and time make sense there; a name, a size or an
// attribute given to every file is refused.
func (o *overrides) parseGlobalPAX(p []byte) error {
	return eachRecord(p, func(key, value string) error {
		switch {
		case key == "uid" || key == "gid" || key == "mtime":
			return o.set(key, value)
		case key == "path" || key == "linkpath" || key == "size",
			strings.HasPrefix(key, keyXattr), strings.HasPrefix(key, keyXattrLibarchive),
			strings.HasPrefix(key, "SCHILY.acl."), strings.HasPrefix(key, keySparse):
			return invalid("a global extended header gives %q to every file", key)
		}
		return nil
	})
}

func eachRecord(p []byte, set func(key, value string) error) error {
	for len(p) > 0 {
		digits, _, ok := bytes.Cut(p[:min(len(p), 20)], []byte{' '})
		n, err := strconv.ParseUint(string(digits), 10, 32)
		if !ok || err != nil || n > uint64(len(p)) || n < uint64(len(digits))+2 {
			return invalid("extended header: a record of length %q with %d bytes left", digits, len(p))
		}
		record := p[len(digits)+1 : n]
		p = p[n:]
		record, ok = bytes.CutSuffix(record, []byte{'\n'})
		key, value, assigned := bytes.Cut(record, []byte{'='})
		if !ok || !assigned || len(key) == 0 {
			return invalid("extended header: record %.40q is not KEY=VALUE with a newline", record)
		}
		if err := set(string(key), string(value)); err != nil {
			return err
		}
	}
	return nil
}

// set takes one record. An empty value takes back what was said before. Keys
// that say nothing about what is on the disk are ignored, as the standard asks.
func (o *overrides) set(key, value string) error {
	switch key {
	case "path":
		o.path = value
	case "linkpath":
		o.link = value
	case "size":
		return o.size.parse(key, value)
	case "uid":
		return o.uid.parse(key, value)
	case "gid":
		return o.gid.parse(key, value)
	case "SCHILY.devmajor":
		return o.major.parse(key, value)
	case "SCHILY.devminor":
		return o.minor.parse(key, value)
	case "mtime":
		return o.setModTime(value)
	case "SCHILY.acl.access":
		o.attributes.add(xattrACLAccess, value, fromACLText)
	case "SCHILY.acl.default":
		o.attributes.add(xattrACLDefault, value, fromACLText)
	case "RHT.security.selinux":
		o.attributes.add("security.selinux", value, asIs)
	default:
		return o.setPrefixed(key, value)
	}
	return nil
}

func (o *overrides) setPrefixed(key, value string) error {
	if name, ok := strings.CutPrefix(key, keyXattr); ok {
		o.attributes.add(name, value, asIs)
		return nil
	}
	if name, ok := strings.CutPrefix(key, keySparse); ok {
		return o.sparse.set(name, value)
	}
	encoded, ok := strings.CutPrefix(key, keyXattrLibarchive)
	if !ok {
		return nil
	}
	name, err := url.PathUnescape(encoded)
	if err != nil {
		return invalid("extended header: the attribute name %q: %v", encoded, err)
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return invalid("extended header: %s: %v", key, err)
	}
	o.attributes.add(name, string(decoded), fromBase64)
	return nil
}

func (o *optional) parse(key, value string) error {
	if value == "" {
		*o = optional{}
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return invalid("extended header: %s %.40q is not a number from 0 to %d", key, value, int64(math.MaxInt64))
	}
	*o = optional{n, true}
	return nil
}

func (o *overrides) setModTime(value string) error {
	if value == "" {
		o.hasModTime = false
		return nil
	}
	t, err := parseTime(value)
	o.modTime, o.hasModTime = t, err == nil
	return err
}

// parseTime reads a pax time: decimal seconds since the epoch, perhaps negative,
// with any number of decimals, of which nine count.
func parseTime(s string) (time.Time, error) {
	bad := func() (time.Time, error) {
		return time.Time{}, invalid("extended header: %.40q is not a time in seconds", s)
	}
	digits, negative := strings.CutPrefix(s, "-")
	whole, decimals, _ := strings.Cut(digits, ".")
	sec, err := strconv.ParseUint(whole, 10, 62)
	if err != nil {
		return bad()
	}
	if strings.Trim(decimals, "0123456789") != "" {
		return bad()
	}
	nsec, err := strconv.ParseUint((decimals + "000000000")[:9], 10, 32)
	if err != nil {
		return bad()
	}
	if negative {
		return time.Unix(-int64(sec), -int64(nsec)), nil
	}
	return time.Unix(int64(sec), int64(nsec)), nil
}
