package pattern

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// flags are those of Python's module re that change what characters mean.
type flags struct{ ascii, fold, multiline, dotAll, verbose bool }

// parser reads an expression as Python 3.11 does, piece by piece.
type parser struct {
	text    []rune
	at      int
	dialect Dialect
	names   map[string]int
	groups  []*node // by number; nil while the group is open
	refs    []int   // groups that conditionals name, which may come later
	behind  int     // the first group within the look-behind that is read, or 0
	depth   int
}

// maxNesting bounds groups in groups.
const maxNesting = 100

// maxGroups bounds the groups of an expression.
const maxGroups = 200

func parse(expr string, d Dialect) (root *node, groups int, err error) {
	p := &parser{text: []rune(expr), dialect: d, names: map[string]int{}, groups: []*node{nil}}
	root, err = p.alternatives(&flags{}, true)
	if err == nil && p.at < len(p.text) {
		err = errors.New("unbalanced parenthesis")
	}
	for _, ref := range p.refs {
		if err == nil && ref >= len(p.groups) {
			err = fmt.Errorf("there is no group %d", ref)
		}
	}
	if err != nil {
		return nil, 0, fmt.Errorf("%w (at character %d)", err, p.at+1)
	}
	return root.flatten(), len(p.groups), nil
}

// peek returns the next character, or -1 at the end.
func (p *parser) peek() rune {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return -1
}

func (p *parser) get() rune {
	r := p.peek()
	if r >= 0 {
		p.at++
	}
	return r
}

func (p *parser) accept(s string) bool {
	for i, r := range []rune(s) {
		if p.at+i >= len(p.text) || p.text[p.at+i] != r {
			return false
		}
	}
	p.at += len([]rune(s))
	return true
}

// until reads what comes before a character, and the character.
func (p *parser) until(end rune) (string, error) {
	start := p.at
	for r := p.get(); r >= 0; r = p.get() {
		if r == end {
			return string(p.text[start : p.at-1]), nil
		}
	}
	return "", fmt.Errorf("expected %q", end)
}

// alternatives reads branches up to a closing parenthesis or the end. outermost
// is true outside of all groups, where flags for the whole expression may stand.
func (p *parser) alternatives(f *flags, outermost bool) (*node, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, fmt.Errorf("more than %d groups in each other", maxNesting)
	}
	defer func() { p.depth-- }()
	var branches []*node
	for {
		branch, err := p.branch(f, outermost && len(branches) == 0)
		if err != nil {
			return nil, err
		}
		branches = append(branches, branch)
		if !p.accept("|") {
			break
		}
	}
	if len(branches) == 1 {
		return branches[0], nil
	}
	return &node{op: opAlt, subs: branches}, nil
}

// branch reads what is between bars.
func (p *parser) branch(f *flags, first bool) (*node, error) {
	items := &node{op: opCat}
	for {
		r := p.peek()
		if r < 0 || r == '|' || r == ')' {
			return items, nil
		}
		if f.verbose && p.skipVerbose() {
			continue
		}
		if isQuantifier(r) {
			done, err := p.quantifier(items)
			if err != nil {
				return nil, err
			}
			if done {
				continue
			}
		}
		item, err := p.item(f, first && len(items.subs) == 0)
		if err != nil {
			return nil, err
		}
		if item != nil {
			items.subs = append(items.subs, item)
		}
	}
}

// skipVerbose skips white space or a comment of a verbose expression.
func (p *parser) skipVerbose() bool {
	switch r := p.peek(); {
	case strings.ContainsRune(" \t\n\r\v\f", r):
		p.at++
		return true
	case r == '#':
		for r := p.get(); r >= 0 && r != '\n'; r = p.get() {
			continue
		}
		return true
	}
	return false
}

func isQuantifier(r rune) bool { return r == '*' || r == '+' || r == '?' || r == '{' }

// quantifier makes a repeat of the last item. It reports false where a brace is
// only a brace.
func (p *parser) quantifier(items *node) (bool, error) {
	least, most, err := p.count()
	if err != nil || least < 0 {
		return false, err
	}
	if len(items.subs) == 0 || items.subs[len(items.subs)-1].isAssertion() {
		return false, errors.New("nothing to repeat")
	}
	last := &items.subs[len(items.subs)-1]
	if (*last).op == opRepeat {
		return false, errors.New("multiple repeat")
	}
	n := &node{op: opRepeat, subs: []*node{*last}, min: least, max: most}
	switch {
	case p.accept("?"):
		n.mode = lazy
	case p.dialect == Python && p.accept("+"):
		n.mode = possessive
	}
	*last = n
	return true, nil
}

// count reads how often a repeat repeats; least is -1 where there is none.
func (p *parser) count() (least, most int, err error) {
	start := p.at
	switch p.get() {
	case '*':
		return 0, unlimited, nil
	case '+':
		return 1, unlimited, nil
	case '?':
		return 0, 1, nil
	}
	if p.peek() == '}' {
		p.at = start
		return -1, 0, nil
	}
	low, hasLow := p.number()
	high, hasHigh := low, hasLow
	if p.accept(",") {
		high, hasHigh = p.number()
	}
	if !p.accept("}") {
		p.at = start
		return -1, 0, nil
	}
	if !hasHigh {
		high = unlimited
	}
	switch {
	case low >= maxRepeat || hasHigh && high >= maxRepeat:
		return 0, 0, errors.New("the number of repeats is too large")
	case high < low:
		return 0, 0, errors.New("the least number of repeats is greater than the most")
	}
	return low, high, nil
}

// maxRepeat is Python's MAXREPEAT, which no number may reach.
const maxRepeat = 1<<32 - 1

func (p *parser) number() (n int, found bool) {
	for r := p.peek(); '0' <= r && r <= '9'; r = p.peek() {
		n, found = min(n*10+int(r-'0'), maxRepeat), true
		p.at++
	}
	return n, found
}

// item reads one character, class, assertion or group. It is nil for what
// matches nothing by itself: a comment, flags.
func (p *parser) item(f *flags, first bool) (*node, error) {
	switch r := p.get(); r {
	case '.':
		return &node{op: opAny, dotAll: f.dotAll}, nil
	case '^':
		if f.multiline {
			return &node{op: opLineStart}, nil
		}
		return &node{op: opTextStart}, nil
	case '$':
		return &node{op: p.endOp(f)}, nil
	case '(':
		return p.group(f, first)
	case '[':
		return p.set(f)
	case '\\':
		return p.escape(f)
	default:
		return p.char(r, f), nil
	}
}

func (p *parser) endOp(f *flags) op {
	switch {
	case f.multiline:
		return opLineEnd
	case p.dialect == ECMAScript:
		return opTextEnd
	}
	return opLastLine
}

func (p *parser) char(r rune, f *flags) *node {
	return &node{op: opChar, r: r, fold: f.fold, ascii: p.isASCII(f)}
}

// isASCII reports whether classes are those of ASCII: with (?a), and always in
// ECMAScript, whose \s is apart.
func (p *parser) isASCII(f *flags) bool { return f.ascii || p.dialect == ECMAScript }

// group reads what comes after an opening parenthesis.
func (p *parser) group(f *flags, first bool) (*node, error) {
	if !p.accept("?") {
		return p.capture("", f)
	}
	switch {
	case p.accept("P<"), p.dialect == ECMAScript && !p.isLookBehind() && p.accept("<"):
		name, err := p.until('>')
		if err == nil {
			err = checkName(name)
		}
		if err != nil {
			return nil, err
		}
		return p.capture(name, f)
	case p.accept("P="):
		return p.namedReference(f)
	case p.accept(":"):
		return p.inside(&node{op: opCat}, f)
	case p.accept("#"):
		_, err := p.until(')')
		return nil, err
	case p.accept(">"):
		return p.inside(&node{op: opAtomic}, f)
	case p.accept("="):
		return p.inside(&node{op: opLook}, f)
	case p.accept("!"):
		return p.inside(&node{op: opLook, negate: true}, f)
	case p.accept("<="):
		return p.lookBehind(false, f)
	case p.accept("<!"):
		return p.lookBehind(true, f)
	case p.accept("("):
		return p.conditional(f)
	}
	return p.flagGroup(f, first)
}

func (p *parser) isLookBehind() bool {
	return p.at+1 < len(p.text) && p.text[p.at] == '<' && (p.text[p.at+1] == '=' || p.text[p.at+1] == '!')
}

// inside reads alternatives and the closing parenthesis into a node.
func (p *parser) inside(n *node, f *flags) (*node, error) {
	inner := *f
	sub, err := p.alternatives(&inner, false)
	if err != nil {
		return nil, err
	}
	if !p.accept(")") {
		return nil, errors.New("missing ), unterminated subpattern")
	}
	n.subs = []*node{sub}
	return n, nil
}

func (p *parser) capture(name string, f *flags) (*node, error) {
	number := len(p.groups)
	if number > maxGroups {
		return nil, fmt.Errorf("more than %d groups", maxGroups)
	}
	if name != "" {
		if _, taken := p.names[name]; taken {
			return nil, fmt.Errorf("the group %q is defined twice", name)
		}
		p.names[name] = number
	}
	p.groups = append(p.groups, nil)
	n, err := p.inside(&node{op: opGroup, group: number}, f)
	if err != nil {
		return nil, err
	}
	p.groups[number] = n
	return n, nil
}

func (p *parser) lookBehind(negate bool, f *flags) (*node, error) {
	outer := p.behind
	if outer == 0 {
		p.behind = len(p.groups)
	}
	n, err := p.inside(&node{op: opLook, behind: true, negate: negate}, f)
	p.behind = outer
	if err != nil {
		return nil, err
	}
	least, most := n.subs[0].width(p.groups)
	if least != most || least >= maxWidth {
		return nil, errors.New("look-behind requires a pattern of one width")
	}
	n.min = least
	return n, nil
}

func (p *parser) namedReference(f *flags) (*node, error) {
	name, err := p.until(')')
	if err != nil {
		return nil, err
	}
	number, ok := p.names[name]
	if !ok {
		return nil, fmt.Errorf("there is no group %q", name)
	}
	return p.reference(number, f)
}

// reference makes a back-reference to a group that is closed.
func (p *parser) reference(number int, f *flags) (*node, error) {
	switch {
	case number <= 0 || number >= len(p.groups):
		return nil, fmt.Errorf("there is no group %d", number)
	case p.groups[number] == nil:
		return nil, fmt.Errorf("reference to the open group %d", number)
	case p.behind > 0 && number >= p.behind:
		return nil, fmt.Errorf("reference to group %d of the same look-behind", number)
	}
	return &node{op: opBackref, group: number, fold: f.fold, ascii: p.isASCII(f)}, nil
}

// conditional reads what comes after "(?(": a group, and what to match where it
// took part and where not.
func (p *parser) conditional(f *flags) (*node, error) {
	name, err := p.until(')')
	if err != nil {
		return nil, err
	}
	number, known := p.names[name]
	if !known {
		if number, err = groupNumber(name); err != nil {
			return nil, err
		}
		p.refs = append(p.refs, number)
	}
	if p.behind > 0 {
		if _, err := p.reference(number, f); err != nil {
			return nil, err
		}
	}
	n, err := p.inside(&node{op: opCond, group: number}, f)
	if err != nil {
		return nil, err
	}
	branches := n.subs[0]
	switch {
	case branches.op != opAlt:
		n.subs = []*node{branches, {op: opCat}}
	case len(branches.subs) > 2:
		return nil, errors.New("a conditional has more than two branches")
	default:
		n.subs = branches.subs
	}
	return n, nil
}

// groupNumber reads the number of a group, as short as that may be written.
func groupNumber(name string) (int, error) {
	number := 0
	for _, r := range name {
		if r < '0' || r > '9' || number > maxGroups {
			return 0, fmt.Errorf("there is no group %q", name)
		}
		number = number*10 + int(r-'0')
	}
	if number == 0 {
		return 0, fmt.Errorf("there is no group %q", name)
	}
	return number, nil
}

// checkName checks the name of a group: an identifier.
func checkName(name string) error {
	for i, r := range name {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return fmt.Errorf("bad group name %q: expected letters, digits and _", name)
		}
	}
	if name == "" {
		return errors.New("missing group name")
	}
	return nil
}
