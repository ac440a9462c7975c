package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// rawTar makes a tar of one header, changed by change and with a right checksum
// after that, and of content.
func rawTar(change func(block), content string) []byte {
	b := newBlock(&Entry{Mode: 0o644}, "name", int64(len(content)))
	if change != nil {
		change(b)
	}
	b.seal()
	data := append([]byte(b), content...)
	data = append(data, zeros[:padding(int64(len(content)))]...)
	return append(data, zeros[:2*BlockSize]...)
}

func put(b block, f field, s string) {
	clear(b.bytes(f))
	copy(b.bytes(f), s)
}

func flag(c byte) func(block) { return func(b block) { b.bytes(fieldType)[0] = c } }

// withRecords puts pax records before a file with content.
func withRecords(content string, records ...string) []byte {
	var p []byte
	for _, r := range records {
		key, value, _ := strings.Cut(r, "=")
		p = appendRecord(p, key, value)
	}
	x := rawTar(flag(flagPAX), string(p))
	return append(x[:len(x)-2*BlockSize], rawTar(nil, content)...)
}

func TestBadTarsAreRefused(t *testing.T) {
	valid := rawTar(nil, "content")
	second := append(append([]byte(nil), valid[:2*BlockSize]...), valid...)
	second[2*BlockSize+3] ^= 1
	lone := append(append([]byte(nil), valid[:3*BlockSize]...), valid...)
	base256 := func(f field, digits string) func(block) { return func(b block) { put(b, f, digits) } }
	var oldSparse = func(fragments, realSize string) func(block) {
		return func(b block) {
			put(b, fieldMagic, magicGNU)
			flag(flagGNUSparse)(b)
			copy(b.bytes(fieldSparse), fragments)
			put(b, fieldRealSize, realSize)
		}
	}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"checksum of a later header":       {second, "checksum"},
		"a lone block of zeros":            {lone, "single block of zeros"},
		"dot dot":                          {rawTar(func(b block) { put(b, fieldName, "a/../../b") }, ""), `".."`},
		"dot dot inside":                   {rawTar(func(b block) { put(b, fieldName, "a/../b") }, ""), `".."`},
		"absolute dot dot":                 {rawTar(func(b block) { put(b, fieldName, "/..") }, ""), `".."`},
		"empty name":                       {rawTar(func(b block) { put(b, fieldName, "") }, ""), "empty name"},
		"NUL in a name":                    {withRecords("", "path=a\x00b"), "NUL"},
		"long part":                        {withRecords("", "path=d/"+strings.Repeat("n", 256)), "256 bytes"},
		"long path":                        {withRecords("", "path="+strings.Repeat("n/", 2048)), "4096 bytes"},
		"hard link out":                    {rawTar(func(b block) { flag('1')(b); put(b, fieldLinkName, "../x") }, ""), `".."`},
		"hard link to the root":            {rawTar(func(b block) { flag('1')(b); put(b, fieldLinkName, "/") }, ""), "root"},
		"symlink without target":           {rawTar(flag('2'), ""), "without a target"},
		"symlink with content":             {rawTar(flag('2'), "content"), "7 bytes of content"},
		"directory with content":           {rawTar(flag('5'), "content"), "7 bytes of content"},
		"unknown type":                     {rawTar(flag('Z'), ""), "unknown type"},
		"multi-volume":                     {rawTar(flag('M'), ""), "multi-volume"},
		"digits":                           {rawTar(func(b block) { put(b, fieldUID, "12x") }, ""), "octal"},
		"negative size":                    {rawTar(base256(fieldSize, strings.Repeat("\xff", 12)), ""), "size -1"},
		"huge size":                        {rawTar(base256(fieldSize, "\x80\x00\x00\x00\x7f"+strings.Repeat("\xff", 7)), ""), "size 9223372036854775807"},
		"size beyond 64 bits":              {rawTar(base256(fieldSize, "\x80\x01"), ""), "64 bits"},
		"negative user":                    {rawTar(base256(fieldUID, strings.Repeat("\xff", 8)), ""), "user id is -1"},
		"user beyond 32 bits":              {withRecords("", "uid=4294967295"), "user id"},
		"device numbers":                   {rawTar(func(b block) { flag('3')(b); put(b, fieldMajor, "7777777") }, ""), "major"},
		"two extended headers":             {append(withRecords("", "uid=1")[:2*BlockSize], withRecords("", "uid=2")...), "two extended"},
		"extended header without a header": {withRecords("", "uid=1")[:2*BlockSize], "cut short"},
		"huge extended header":             {rawTar(func(b block) { flag('x')(b); put(b, fieldSize, "77777777777") }, ""), "limit"},
		"record too long":                  {rawTar(flag('x'), "99 a=b\n"), "record of length"},
		"record too short":                 {rawTar(flag('x'), "2 a=b\n"), "record of length"},
		"record without newline":           {rawTar(flag('x'), "6 a=bc"), "KEY=VALUE"},
		"record without key":               {rawTar(flag('x'), "5 =b\n"), "KEY=VALUE"},
		"record of digits only":            {rawTar(flag('x'), "999999999999999999999999"), "record of length"},
		"global path":                      {rawTar(flag('g'), "10 path=x\n"), `"path" to every file`},
		"bad time":                         {withRecords("", "mtime=1e9"), "not a time"},
		"bad base64":                       {withRecords("", "LIBARCHIVE.xattr.user.a=!"), "base64"},
		"attribute without namespace":      {withRecords("", "SCHILY.xattr.a=b"), "NAMESPACE"},
		"long attribute":                   {withRecords("", "SCHILY.xattr.user.a="+strings.Repeat("v", 65537)), "65537 bytes"},
		"ACL with names":                   {withRecords("", "SCHILY.acl.access=user::rw-,user:bin:r--,group::r--,mask::r--,other::r--"), "numeric"},
		"ACL without mask":                 {withRecords("", "SCHILY.acl.access=user::rw-,user:7:r--,group::r--,other::r--"), "mask"},
		"ACL without others":               {withRecords("", "SCHILY.acl.access=user::rw-,group::r--"), "others"},
		"binary ACL":                       {withRecords("", "SCHILY.xattr.system.posix_acl_access=\x02\x00\x00\x00abc"), "ACL of 7 bytes"},
		"sparse without map":               {withRecords("", "GNU.sparse.size=5"), "map"},
		"sparse without size":              {withRecords("", "GNU.sparse.map=0,0"), "without its size"},
		"sparse overlap":                   {withRecords(strings.Repeat("x", 1024), "GNU.sparse.size=9999", "GNU.sparse.map=0,512,511,512"), "overlaps"},
		"sparse descending":                {withRecords(strings.Repeat("x", 1024), "GNU.sparse.size=9999", "GNU.sparse.map=4096,512,0,512"), "overlaps or comes before"},
		"sparse overflow":                  {withRecords("x", "GNU.sparse.size=9999", "GNU.sparse.map=9223372036854775807,1"), "1 bytes at 9223372036854775807"},
		"sparse beyond the file":           {withRecords("xx", "GNU.sparse.size=9", "GNU.sparse.map=8,2"), "in a file of 9 bytes"},
		"sparse data missing":              {withRecords("x", "GNU.sparse.size=9", "GNU.sparse.map=0,2"), "fragments of 2 bytes, but 1 bytes"},
		"sparse half a block":              {withRecords("xxxx", "GNU.sparse.size=9", "GNU.sparse.map=0,2,4,2"), "whole blocks"},
		"sparse odd":                       {withRecords("x", "GNU.sparse.size=9", "GNU.sparse.map=0"), "odd number"},
		"sparse version":                   {withRecords("x", "GNU.sparse.size=9", "GNU.sparse.major=2", "GNU.sparse.minor=0"), "version 2.0"},
		"sparse lines":                     {withRecords("x\n", "GNU.sparse.realsize=9", "GNU.sparse.major=1", "GNU.sparse.minor=0"), "longer than the content"},
		"sparse count":                     {withRecords("9999999\n"+strings.Repeat("0", 512), "GNU.sparse.realsize=9", "GNU.sparse.major=1", "GNU.sparse.minor=0"), "9999999 fragments"},
		"sparse digits":                    {withRecords(strings.Repeat("1", 1024), "GNU.sparse.realsize=9", "GNU.sparse.major=1", "GNU.sparse.minor=0"), "not a number"},
		"old sparse beyond":                {rawTar(oldSparse("00000000000\x0000000000777\x00", "1"), strings.Repeat("x", 511)), "in a file of 1 bytes"},
		"sparse of star":                   {rawTar(flag('S'), ""), "star"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := collect(NewReaderAt(bytes.NewReader(c.data), int64(len(c.data))))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("want an error with %q, got: %v", c.want, err)
			}
			var where *Error
			if !errors.As(err, &where) {
				t.Errorf("the error does not say where: %v", err)
			}
			if cut := Cut(bytes.NewReader(c.data), noFrames{}, nil); fmt.Sprint(cut) != fmt.Sprint(err) {
				t.Errorf("Cut says otherwise: %v", cut)
			}
		})
	}
}

func TestOddNamesAreTakenIntoTheImage(t *testing.T) {
	for name, want := range map[string]string{
		"/etc/passwd": "etc/passwd", "./a": "a", "././/a//b/.": "a/b", "...": "...", "a/..b": "a/..b", "/": "", "./": "",
	} {
		if got, err := cleanPath(name); err != nil || got != want {
			t.Errorf("cleanPath(%q) = %q, %v; want %q", name, got, err, want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(rawTar(nil, "content"))
	f.Add(withRecords("x", "path=p", "mtime=-1.5", "SCHILY.xattr.user.a=b", "LIBARCHIVE.xattr.user.b=YQ"))
	f.Add(withRecords("1\n0\n1\n"+strings.Repeat("\x00", 506)+"x", "GNU.sparse.realsize=9", "GNU.sparse.major=1", "GNU.sparse.minor=0"))
	f.Add(withRecords("", "SCHILY.acl.access=user::rw-,user:7:r--,group::r--,mask::r--,other::r--"))
	f.Add(goTar(f, &tar.Header{Name: strings.Repeat("l/", 99), Format: tar.FormatGNU}, &tar.Header{Name: "b", Linkname: "a", Typeflag: '1'}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Checksums are set right, so that what is behind them is reached.
		data = bytes.Clone(data)
		for off := 0; off+BlockSize <= len(data) && off < 8*BlockSize; off += BlockSize {
			if b := block(data[off : off+BlockSize]); data[off+257] == 'u' {
				b.seal()
			}
		}
		entries, err := collect(NewReaderAt(bytes.NewReader(data), int64(len(data))))
		for _, e := range entries {
			checkEntry(t, e, int64(len(data)))
		}
		streamed, streamErr := collect(newReader(bytes.NewReader(data)))
		if len(streamed) != len(entries) || fmt.Sprint(err) != fmt.Sprint(streamErr) {
			t.Fatalf("%d entries and %v at offsets, %d and %v as a stream", len(entries), err, len(streamed), streamErr)
		}
	})
}

// checkEntry checks what every entry promises.
func checkEntry(t *testing.T, e *Entry, size int64) {
	if clean, err := cleanPath("./" + e.Path); err != nil || clean != e.Path {
		t.Fatalf("path %q", e.Path)
	}
	var end int64
	for i, f := range e.Content {
		if f.Length <= 0 || f.Start < end || f.Start+f.Length > e.Size || f.Offset < 0 || f.Offset > size {
			t.Fatalf("fragment %d of %+v", i, e)
		}
		end = f.Start + f.Length
	}
}
