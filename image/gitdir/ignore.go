package gitdir

import (
	"bytes"
	"strings"
)

// attributesText is info/attributes, which has the last word (gitattributes(5)):
// nothing in the rootfs may change content on its way, or decide on merges.
// working-tree-encoding cannot be unset, only be unspecified.
const attributesText = `# Written by cloudlets git.
* -text !eol -ident !filter !working-tree-encoding !merge !diff !whitespace !export-ignore !export-subst
/` + MetadataPath + ` merge=` + mergeDriver + `
`

// ignored returns the text of info/exclude: volatile paths, and those of files
// that git does not keep, so that it lets others take their places.
func ignored(s *scan) []byte {
	var b bytes.Buffer
	b.WriteString("# Written by cloudlets git: the volatile paths of the cloudlet manifest, devices and FIFOs.\n")
	for _, path := range s.volatile {
		writePattern(&b, path)
	}
	for _, path := range s.special() {
		writePattern(&b, path)
	}
	return b.Bytes()
}

// patternEscapes writes a path as a pattern of gitignore(5). An end of a line
// cannot be written; any character stands for it.
var patternEscapes = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, ` `, `\ `, "\n", `?`, "\r", `?`)

func writePattern(b *bytes.Buffer, path string) {
	b.WriteByte('/')
	b.WriteString(patternEscapes.Replace(path))
	if strings.HasSuffix(path, "/") {
		b.WriteByte('*') // the directory may hold something some day
	}
	b.WriteByte('\n')
}

// maxPathspecs bounds what is given to git as arguments, in bytes. Linux takes
// 2 MiB with the environment (ARG_MAX).
const maxPathspecs = 1 << 20

// pathspecs returns arguments that keep volatile paths out of git add. ok is false
// where they would be too many.
func pathspecs(volatile []string) (specs []string, ok bool) {
	size := 0
	for _, path := range volatile {
		spec := ":(top,exclude,literal)" + path
		if size += len(spec) + 16; size > maxPathspecs {
			return nil, false
		}
		specs = append(specs, spec)
	}
	return specs, true
}
