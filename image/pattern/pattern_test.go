package pattern

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// oracle is what Python says of each expression and text: re.match or re.search.
const oracle = `
import json, re, sys, warnings
warnings.simplefilter("ignore")
task = json.load(sys.stdin)
texts = [bytes.fromhex(t).decode("utf-8", "surrogateescape") for t in task["texts"]]
answers = []
for e in task["exprs"]:
    try:
        p = re.compile(e)
    except (re.error, OverflowError, RecursionError):
        answers.append(None)
        continue
    answers.append([(p.match(t) is not None, p.search(t) is not None) for t in texts])
json.dump(answers, sys.stdout)
`

// askPython returns for each expression whether it matches at the start of and
// anywhere in each text, or nil where Python does not take it.
func askPython(t *testing.T, exprs, texts []string) [][][2]bool {
	t.Helper()
	encoded := make([]string, len(texts))
	for i, text := range texts {
		encoded[i] = hex.EncodeToString([]byte(text))
	}
	task, err := json.Marshal(map[string]any{"exprs": exprs, "texts": encoded})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", oracle)
	cmd.Stdin = bytes.NewReader(task)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 (Debian package python3): %v %s", err, stderr.String())
	}
	var answers [][][2]bool
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// compareWithPython checks every expression on every text, with and without
// package regexp.
func compareWithPython(t *testing.T, exprs, texts []string) {
	t.Helper()
	for i, answer := range askPython(t, exprs, texts) {
		p, err := Compile(exprs[i], Python)
		if (err == nil) != (answer != nil) {
			t.Errorf("%q: got the error %v, Python takes it: %v", exprs[i], err, answer != nil)
			continue
		}
		for j := range answer {
			checkAnswer(t, p, texts[j], answer[j])
			backtracking := *p
			backtracking.linear, backtracking.first = nil, nil
			checkAnswer(t, &backtracking, texts[j], answer[j])
		}
	}
}

func checkAnswer(t *testing.T, p *Pattern, text string, want [2]bool) {
	t.Helper()
	match, err := p.MatchPrefix(text, NewBudget(1<<22))
	search, err2 := p.Search(text, NewBudget(1<<22))
	if err := errors.Join(err, err2); errors.Is(err, ErrTooMuchWork) {
		return
	} else if err != nil || match != want[0] || search != want[1] {
		t.Errorf("%q on %q (linear: %v): got match %v, search %v, %v; Python: %v", p, text, p.linear != nil, match, search, err, want)
	}
}

var paths = []string{
	"", "/", "/tmp", "/tmp/", "/tmp/a", "/tmp/a/b", "/tmpfiles", "/var/log/apt/term.log", "/var/log/syslog", "/var/log/apt",
	"/var/log/aptitude", "/var/log", "/var/logs/x", "/etc/mtab", "/etc/mtab\n", "/etc/mtab~", "/etc/mtab\n\n", "/a\nb", "/usr/lib/python2.6/re.pyc",
	"/usr/lib/python2.6/re.py", "/usr/lib/python2.6/x/y.pyc", "/var/lib/apt/lists/partial/x", "/var/lib/apt/lists/x", "/var/lib/apt/lists/partial",
	"/aaaaaaaaaaaaaaaaaaaa", "/aab", "/abab", "/ABAB", "/é", "/É", "/e\u0301", "/\xff\xfe", "/\xed\xa0\x80", "/日本", "/\u212a", "/k", "/ſ", "/s", "/İ", "/ı", "/i",
	"/a b", "/a\tb", "/a\x1cb", "/a\u00a0b", "/\u0663", "/5", "/_", "/-", "/.", "//", "/\ufffd", "/ß", "/ẞ", "/ﬅ", "/ﬆ", "aa", "b", "ab", "aabb", "\n",
	"/1.2.3", "/foofoo", "/foo-foo", "<foo>", "<foo", "foo", "/dev/log", "/dev/logs", "/²", "/Ⅷ", "/x\x00y",
}

var table = []string{
	// The sample manifest's.
	`/etc/rc6.d/S00vzreboot$`, `/var/log/(?!apt).+`, `/var/log/apt/.+`, `/var/run/.+`, `/tmp/.+`, `/etc/mtab$`, `/dev/log$`,
	`/usr/lib/python2.6/.+\.pyc`, `/var/lib/apt/lists/(?!partial).+`, `/var/lib/apt/lists/partial/.+`, `/var/cache/apt/archives/.+\.deb`,
	// Anchors.
	`/tmp`, `^/tmp`, `\A/tmp\Z`, `/etc/mtab\Z`, `/etc/mtab$\n`, `(?m)/a$`, `(?m)^b`, `a|/$`, `(?:/tmp$|/a)b?`, `$`, `^`, `\Z`, `^*`, `$+`, `\b?`,
	// Groups and references.
	`/(?P<x>foo)(?P=x)`, `/(a|b)\1`, `/((a)(b))\3`, `(<)?foo(?(1)>)`, `(?P<q><)?foo(?(q)>|$)`, `(?(1)a|b)(c)`, `(?(2)a|b)(c)`, `(?(1)a|b|c)(d)`,
	`(a)(?(1)b|c)`, `(\1a)`, `\1(a)`, `/(a)|(b)\2`, `(?P<1>a)`, `(?P<a>x)(?P<a>y)`, `(?P=nope)`, `(?P>x)`, `(?<x>a)`, `(a)\11`, `\01`, `\0`, `/\141`, `\400`, `\8`,
	// Classes.
	`/\d`, `/\D`, `/\w`, `/\W`, `/a\sb`, `/a\Sb`, `/[\d]`, `/[^\d]`, `/[\W]`, `/[^\W_]`, `/[^a-z]`, `/[a-]`, `/[-a]`, `/[]a]`, `/[^]a]`, `/[]`, `/[a-\d]`, `/[\d-a]`,
	`/[z-a]`, `/[\x61-\x63]`, `/[\b]`, `/\x61`, `/\x6`, `/\u00e9`, `/\U000000e9`, `/\U99999999`, `/\N{DIGIT ONE}x{`, `/\q`, `/\_`, `/[[:alpha:]]`, `/[a&&b]`, `/[\ue000-\uffff]`,
	`/[\udc00-\udfff]`, `/\ufffd`, `/.\Z`, `/..\Z`, `/...\Z`, `(?a)/\w`, `(?a:/\d)`, `(?u)/\w`, `(?au)x`, `(?L)x`, `/a[\s]b`, `(?a)/a\sb`,
	// Flags.
	`(?i)/abAB`, `(?i)/É`, `(?i)/k`, `(?i)/K`, `(?i)/s`, `(?i)/i`, `(?i)/I`, `(?i)/İ`, `(?i)/ı`, `(?i)/ß`, `(?i)/ﬅ`, `(?i)/[k]`, `(?i)/[^k]`, `(?i)/[a-z]`, `(?i)/[^a-z]`, `(?ai)/k`, `(?ai)/[k]`,
	`(?i:/A)b`, `(?-i:/A)b`, `(?i)(?-i:/A)b`, `/a(?i)b`, `(?s)/a.b`, `/a.b`, `(?x) / t m p # x`, `(?x)/t mp/ [ a]`, `(?x)/a {2}b`, `(?i)(?s)/A.B`, `(?i)*`, `(?#c)/tmp`, `(?#c`, `(?i)/(a)b\1`, `(?i-i:a)`, `(?-:a)`, `(?:)`, `(?`, `(?i`, `(?z)`,
	// Repeats.
	`/a{2}b`, `/a{,2}b`, `/a{2,}`, `/a{2,1}`, `/a{}`, `/a{,}b`, `/a{x}`, `/a{1`, `a**`, `a*?`, `a*+`, `/a*+a`, `/a++b`, `/a?+a`, `/a{1,2}+a`, `(?>/a*)a`, `(?>/a*)b`, `*a`, `|*`, `(*)`, `(a*)*`, `(a*)+b`, `(a|ab)(c|bcd)*`,
	`(?:a*)*b`, `(?:a|)*?b`, `/(a+)+$`, `/(?:a|a)*$`, `(?:(a)|b)*`, `/(a|b)*?b`, `a{4294967295}`, `a{99999999999}`, `(?:^a)*b`, `(a?)*?b`, `(?:)*`, `(?:){3}`, `(?!a)*b`, `(?=a)*ab`,
	// Look-around.
	`(?=/tmp)/.`, `(?!/tmp)`, `/t(?<=/t)mp`, `/t(?<!/t)mp`, `(?<=a)b`, `(?<=a|bc)b`, `(?<=a*)b`, `(?<=(a))\1`, `(?<=(a)\1)b`, `(?<!a{2})b`, `/(?=(a+))a*b\1`, `(?<=^)a`, `(?<=\b)a`, `(?<!x)`,
	// Words, and what is not an expression.
	`\b/`, `/\btmp\b`, `/\Btmp`, `\B`, `\b`, `(?a)/\b`, `(`, `)`, `(a`, `a)`, `[`, `[a`, `\`, `a|`, `|a`, `||`, `()`, `(|)`, `{`, `}`, `]`, `a{`, `x{1,`, `x{1,2`,
}

func TestExpressionsMeanWhatTheyMeanInPython(t *testing.T) {
	var exprs []string
	for _, expr := range table {
		if !strings.Contains(expr, `\N{`) { // refused on purpose
			exprs = append(exprs, expr)
		}
	}
	compareWithPython(t, exprs, paths)
}

// TestRandomExpressionsMeanWhatTheyMeanInPython puts expressions together from
// pieces.
func TestRandomExpressionsMeanWhatTheyMeanInPython(t *testing.T) {
	pieces := []string{
		"a", "b", "/", ".", "foo", `\w`, `\d`, `\s`, "[ab]", "[^a/]", "^", "$", `\Z`, `\b`, `\B`, "*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??", "*+", "++",
		"(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", ")", ")", ")", "|", `\1`, "(?(1)", "é", "K",
	}
	count := 4000
	if testing.Short() {
		count = 500
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	exprs := make([]string, 0, count)
	for range count {
		var b strings.Builder
		open := 0
		for range 1 + rnd.IntN(9) {
			piece := pieces[rnd.IntN(len(pieces))]
			if piece == ")" && open == 0 {
				continue
			}
			open += strings.Count(piece, "(") - strings.Count(piece, ")")
			b.WriteString(piece)
		}
		exprs = append(exprs, b.String()+strings.Repeat(")", max(0, open)))
	}
	compareWithPython(t, exprs, paths)
}

func TestClassesAndCasesAreThoseOfPython(t *testing.T) {
	var texts []string
	for r := rune(1); r < 0x3000; r++ {
		texts = append(texts, string(r))
	}
	for i, answer := range askPython(t, []string{`\w`, `\d`, `\s`, `(?i)[a-z]`, `(?i)[α-ω]`, `(?i)ß`}, texts) {
		p, err := Compile([]string{`\w`, `\d`, `\s`, `(?i)[a-z]`, `(?i)[α-ω]`, `(?i)ß`}[i], Python)
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0
		for j, text := range texts {
			if got, err := p.MatchPrefix(text, NewBudget(1000)); err != nil || got != answer[j][0] {
				if wrong++; wrong < 10 {
					t.Logf("%s on %U: got %v, %v", p, []rune(text), got, err)
				}
			}
		}
		// Letters that came to Unicode after Python 3.11.
		if wrong > 60 {
			t.Errorf("%s differs on %d characters", p, wrong)
		}
	}
}

func TestSampleExpressionsAreLinear(t *testing.T) {
	for _, expr := range table[:11] {
		p, err := Compile(expr, Python)
		if err != nil {
			t.Fatal(err)
		}
		if lookAround := strings.Contains(expr, "(?!"); (p.linear == nil) != lookAround {
			t.Errorf("%s: linear is %v", expr, p.linear != nil)
		}
	}
}

func TestHostileExpressionsEnd(t *testing.T) {
	long := "/" + strings.Repeat("a", 4000)
	for _, expr := range []string{
		`/(?!x)(a+)+$b`, `/(?=a)(a|a)*$b`, `/(?=a)(a*)*b`, `(?=/)(?:.*){50}b`, `((?:){60000}){60000}b`, `((?:a?){60000}){60000}b(?!x)`,
		`/(.*)\1{50}b`, `(?:(?:(?:a|/)*)*)*(?<!b)c`, `(?=(/a+)+b)`, strings.Repeat("(?:", 90) + "a*" + strings.Repeat(")*", 90) + `(?!b)c`,
		`(?:/|(?:a|b|aa)*)*(?>c)`, `/(?:.{1000}){3}b`, `/(?:a?){900}(?:a?){900}b`, `(?:.*?){90}b(?!c)`,
	} {
		start := time.Now()
		p, err := Compile(expr, Python)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		budget := NewBudget(2_000_000)
		for range 1000 {
			if _, err = p.MatchPrefix(long, budget); err != nil {
				break
			}
		}
		if err != nil && !errors.Is(err, ErrTooMuchWork) {
			t.Errorf("%s: %v", expr, err)
		}
		// An hour would be wrong, so would minutes: no speed is measured.
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s took %v", expr, took)
		}
	}
}

func TestExpressionsOfSchemas(t *testing.T) {
	for _, c := range []struct {
		expr, text string
		want       bool
	}{
		{`^(?=.*\d)(?=.*[a-z]).{8,}$`, "passw0rd", true},
		{`^(?=.*\d)(?=.*[a-z]).{8,}$`, "password", false},
		{`^a$`, "a\n", false},
		{`^\d$`, "\u0663", false},
		{`^\w+$`, "é", false},
		{`(?<year>\d{4})`, "in 2026", true},
		{`^\s$`, "\ufeff", true},
		{`^\S$`, "\u00a0", false},
		{`^[^\s]+$`, "a b", false},
		{`\u{1F600}`, "x😀", true},
		{`^[]$`, "", false},
		{`b`, "abc", true},
	} {
		p, err := Compile(c.expr, ECMAScript)
		if err != nil {
			t.Errorf("%s: %v", c.expr, err)
			continue
		}
		if got, err := p.Search(c.text, NewBudget(10000)); err != nil || got != c.want {
			t.Errorf("%s on %q: got %v, %v", c.expr, c.text, got, err)
		}
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	for expr, want := range map[string]string{
		"(a":                             "missing )",
		"a)":                             "unbalanced",
		"*":                              "nothing to repeat",
		"(?<=a*)b":                       "one width",
		`\N{DASH}`:                       `bad escape \N`,
		strings.Repeat("a", MaxLength+1): "at most",
		"\xff":                           "UTF-8",
		strings.Repeat("(", 200):         "groups in each other",
		strings.Repeat("(a)", 300):       "groups",
	} {
		if _, err := Compile(expr, Python); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: want an error with %q, got %v", expr, want, err)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, expr := range table {
		f.Add(expr, "/var/log/apt")
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		for _, d := range []Dialect{Python, ECMAScript} {
			p, err := Compile(expr, d)
			if err != nil {
				continue
			}
			match, err := p.MatchPrefix(text, NewBudget(50_000))
			other := *p
			other.linear = nil
			same, err2 := other.MatchPrefix(text, NewBudget(50_000))
			if err == nil && err2 == nil && match != same && utf8.ValidString(text) {
				t.Fatalf("%q on %q: package regexp says %v, backtracking %v", expr, text, match, same)
			}
			_, _ = p.Search(text, NewBudget(50_000))
		}
	})
}
