package gitdir

import (
	"maps"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// conflict is a keyword that two sides changed in different ways. Ours was kept.
type conflict struct {
	path, keyword string
	ours, theirs  string // empty where a side removed it
}

// merge returns what two sides made of base. Paths are merged one by one, and
// keywords of a path one by one. Of two times the later is taken. Where both
// sides changed another keyword, ours is kept and the conflict returned.
func merge(base, ours, theirs metadata) (metadata, []conflict) {
	merged := make(metadata, len(ours))
	holds := make(map[string]bool) // directories in which something is left
	var conflicts []conflict
	all := maps.Clone(ours)
	maps.Copy(all, theirs)
	for _, path := range slices.Backward(all.paths()) {
		line, keep, found := mergePath(path, base, ours, theirs)
		// What one side removed stays while the other has something in it.
		if !keep && !holds[path] {
			continue
		}
		merged[path] = line
		conflicts = append(conflicts, found...)
		holds[parent(path)] = true
	}
	slices.Reverse(conflicts)
	return merged, conflicts
}

// parent returns the directory that a path is in.
func parent(path string) string {
	dir, _ := image.SplitPath(path)
	return dir
}

// mergePath returns what a path has become. keep is false if it is to be removed,
// unless something is left in it.
func mergePath(path string, base, ours, theirs metadata) (line string, keep bool, conflicts []conflict) {
	b, inBase := base[path]
	o, inOurs := ours[path]
	t, inTheirs := theirs[path]
	switch {
	case inOurs && inTheirs:
		line, conflicts = mergeLine(path, b, o, t)
		return line, true, conflicts
	case !inBase:
		return o + t, true, nil // one of them is empty
	}
	// Removed by one side: what matters is whether the other changed more than the time.
	line = o + t
	if sameButTime(b, line) {
		return line, false, nil
	}
	return line, true, []conflict{{path, "type", word(o, "type"), word(t, "type")}}
}

// mergeLine merges the keywords of one path.
func mergeLine(path, base, ours, theirs string) (string, []conflict) {
	switch {
	case ours == theirs || theirs == base:
		return ours, nil
	case ours == base:
		return theirs, nil
	}
	b, o, t := words(base), words(ours), words(theirs)
	var conflicts []conflict
	for key := range both(o, t) {
		switch {
		case o[key] == t[key] || t[key] == b[key]:
		case o[key] == b[key] && t[key] == "":
			delete(o, key)
		case o[key] == b[key]:
			o[key] = t[key]
		case key == "time":
			o[key] = later(o[key], t[key])
		default:
			conflicts = append(conflicts, conflict{path, key, o[key], t[key]})
		}
	}
	slices.SortFunc(conflicts, func(a, b conflict) int { return -strings.Compare(a.keyword, b.keyword) })
	return joinWords(o), conflicts
}

// both returns the keywords of two lines.
func both(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// words returns the values of a line by keyword, each with the "=" before it, so
// that an empty value is not none.
func words(line string) map[string]string {
	m := make(map[string]string)
	for word := range strings.FieldsSeq(line) {
		key, _, _ := strings.Cut(word, "=")
		m[key] = word[len(key):]
	}
	return m
}

// word returns the value of one keyword of a line, as words does.
func word(line, key string) string { return words(line)[key] }

// keywordOrder is the order of keywords in a line. Others come last, by name.
var keywordOrder = []string{"type", "mode", "uid", "gid", "time", "device", "hardlink", "holes"}

// joinWords is the inverse of words.
func joinWords(m map[string]string) string {
	var parts []string
	for _, key := range keywordOrder {
		if value, ok := m[key]; ok {
			parts = append(parts, key+value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !slices.Contains(keywordOrder, key) {
			parts = append(parts, key+m[key])
		}
	}
	return strings.Join(parts, " ")
}

// sameButTime reports whether two lines differ in their time at most.
func sameButTime(a, b string) bool {
	x, y := words(a), words(b)
	delete(x, "time")
	delete(y, "time")
	return maps.Equal(x, y)
}

// later returns the later of two times. What is no time is the earlier.
func later(a, b string) string {
	x, errX := parseTime(strings.TrimPrefix(a, "="))
	y, errY := parseTime(strings.TrimPrefix(b, "="))
	switch {
	case errX != nil:
		return b
	case errY != nil || x.Sec > y.Sec || x.Sec == y.Sec && x.Nsec >= y.Nsec:
		return a
	}
	return b
}
