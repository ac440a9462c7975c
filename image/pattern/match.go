package pattern

// matcher is one attempt at a text. It backtracks: each part of the expression
// is given what must match after it, as next.
type matcher struct {
	text     []rune
	captures []capture
	budget   *Budget
	depth    int
	failed   bool // out of budget: every answer is false from then on
}

// capture is where a group matched; end is -1 where it did not.
type capture struct{ start, end int }

// maxDepth bounds the stack of one match. A frame has some 300 bytes.
const maxDepth = 100_000

type next func(i int) bool

// match reports whether n matches at i and what comes after it matches there.
func (m *matcher) match(n *node, i int, k next) bool {
	if m.depth++; m.depth > maxDepth || !m.budget.take(1) {
		m.failed = true
	}
	defer func() { m.depth-- }()
	if m.failed {
		return false
	}
	switch n.op {
	case opChar, opAny, opSet:
		return i < len(m.text) && n.matches(m.text[i]) && k(i+1)
	case opCat:
		return m.sequence(n.subs, i, k)
	case opAlt:
		for _, sub := range n.subs {
			if m.match(sub, i, k) {
				return true
			}
		}
		return false
	case opRepeat:
		return m.repeat(n, i, k)
	case opGroup:
		return m.match(n.subs[0], i, func(j int) bool { return m.capturing(n.group, capture{i, j}, j, k) })
	case opAtomic:
		end, ok := m.once(n.subs[0], i)
		return ok && k(end)
	case opLook:
		return m.look(n, i) && k(i)
	case opBackref:
		return m.backref(n, i, k)
	case opCond:
		return m.match(n.subs[m.branch(n.group)], i, k)
	}
	return m.holds(n, i) && k(i)
}

func (m *matcher) sequence(subs []*node, i int, k next) bool {
	// Characters need no stack.
	for len(subs) > 0 && subs[0].isSingle() {
		if i >= len(m.text) || !subs[0].matches(m.text[i]) {
			return false
		}
		subs, i = subs[1:], i+1
	}
	if len(subs) == 0 {
		return k(i)
	}
	return m.match(subs[0], i, func(j int) bool { return m.sequence(subs[1:], j, k) })
}

// capturing sets a group while what comes next is tried.
func (m *matcher) capturing(group int, c capture, i int, k next) bool {
	old := m.captures[group]
	m.captures[group] = c
	if k(i) {
		return true
	}
	m.captures[group] = old
	return false
}

// once matches a part by itself and returns where it ends.
func (m *matcher) once(n *node, i int) (end int, ok bool) {
	ok = m.match(n, i, func(j int) bool {
		end = j
		return true
	})
	return end, ok && !m.failed
}

func (m *matcher) look(n *node, i int) bool {
	start := i
	if n.behind {
		if start = i - n.min; start < 0 {
			return n.negate
		}
	}
	old := append([]capture(nil), m.captures...)
	_, ok := m.once(n.subs[0], start)
	if !ok || n.negate {
		copy(m.captures, old)
	}
	return ok != n.negate && !m.failed
}

func (m *matcher) backref(n *node, i int, k next) bool {
	c := m.captures[n.group]
	if c.end < 0 || i+c.end-c.start > len(m.text) {
		return false
	}
	m.budget.take(c.end - c.start)
	for _, want := range m.text[c.start:c.end] {
		if got := m.text[i]; got != want && (!n.fold || !sameLetter(got, want, n.ascii)) {
			return false
		}
		i++
	}
	return k(i)
}

// branch returns which part of a conditional holds.
func (m *matcher) branch(group int) int {
	if m.captures[group].end >= 0 {
		return 0
	}
	return 1
}

func (m *matcher) holds(n *node, i int) bool {
	last := len(m.text)
	switch n.op {
	case opTextStart:
		return i == 0
	case opTextEnd:
		return i == last
	case opLastLine:
		return i == last || i == last-1 && m.text[i] == '\n'
	case opLineStart:
		return i == 0 || m.text[i-1] == '\n'
	case opLineEnd:
		return i == last || m.text[i] == '\n'
	}
	if last == 0 {
		return false // Python has no boundary and no other place in an empty text
	}
	before := i > 0 && isWord(m.text[i-1], n.ascii)
	after := i < last && isWord(m.text[i], n.ascii)
	return (before != after) != n.negate
}

func (m *matcher) repeat(n *node, i int, k next) bool {
	if n.subs[0].isSingle() {
		return m.repeatSingle(n, i, k)
	}
	if n.mode == possessive {
		greedily := *n
		greedily.mode = greedy
		end, ok := m.once(&greedily, i)
		return ok && k(end)
	}
	return m.iterate(n, 0, i, -1, k)
}

// repeatSingle repeats what takes one character, without using the stack.
func (m *matcher) repeatSingle(n *node, i int, k next) bool {
	limit := min(n.max, len(m.text)-i)
	if n.mode == lazy {
		return m.repeatLazily(n, i, limit, k)
	}
	count := 0
	for count < limit && n.subs[0].matches(m.text[i+count]) {
		count++
	}
	m.budget.take(count / 8)
	if n.mode == possessive {
		return count >= n.min && k(i+count)
	}
	for ; count >= n.min; count-- {
		if k(i + count) {
			return true
		}
		if m.failed || !m.budget.take(1) {
			m.failed = true
			return false
		}
	}
	return false
}

func (m *matcher) repeatLazily(n *node, i, limit int, k next) bool {
	for count := 0; ; count++ {
		if count >= n.min && k(i+count) {
			return true
		}
		if m.failed || count >= limit || !n.subs[0].matches(m.text[i+count]) {
			return false
		}
		if !m.budget.take(1) {
			m.failed = true
			return false
		}
	}
}

// iterate matches a repeat of which count iterations are done, the last of
// which began at last. An iteration that takes nothing is the last one.
func (m *matcher) iterate(n *node, count, i, last int, k next) bool {
	again := func() bool {
		return m.match(n.subs[0], i, func(j int) bool { return m.iterate(n, count+1, j, i, k) })
	}
	if count < n.min {
		return again()
	}
	more := count < n.max && i != last
	if n.mode == lazy {
		return k(i) || more && !m.failed && again()
	}
	return more && again() || !m.failed && k(i)
}
