package template

import (
	"bytes"
	"strings"
	"testing"
)

// Bytes outside of tags are not characters to anybody.
var foreignBytes = "\xff\xfe\x00 \r\n\r\n\u2028\xc3(\xed\xa0\x80 %> -%> _%> %% \\n \"'` ${x} \ufeff"

func TestTextPassesByteForByte(t *testing.T) {
	for _, c := range []struct{ name, template, want string }{
		{"without a tag", foreignBytes, foreignBytes},
		{"around a tag", foreignBytes + "<%= 1 %>" + foreignBytes, foreignBytes + "1" + foreignBytes},
		{"in a loop", "<% for (let i = 0; i < 2; i++) { %>" + foreignBytes + "<% } %>", foreignBytes + foreignBytes},
		{"all bytes", allBytes(), allBytes()},
		{"shell expansions", "${x%>*} ${x#<} ${x%.*}", "${x%>*} ${x#<} ${x%.*}"},
		{"comment of foreign bytes", "a<%# \xff\x00 %>b", "ab"},
		{"early return", "a<% return %>b", "a"},
		{"empty tags", "a<%#%>b<%=%>c<%-%>d<%_%>e", "abcde"},
		{"lone surrogate", "<%= '\\ud800' %>", "\ufffd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, err := new(Runner).Render(t.Context(), []Template{{"f", []byte(c.template)}}, Scope{})
			if err != nil {
				t.Fatal(err)
			}
			if string(output[0]) != c.want {
				t.Errorf("got  %q\nwant %q", output[0], c.want)
			}
		})
	}
}

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

func TestScanIsLinear(t *testing.T) {
	for _, part := range []string{"<% %>", "%", "<", "%%>", "<%%", "<%#-%>", "x%> ", "<%_ _%> \t"} {
		if _, err := scan([]byte(strings.Repeat(part, 1<<20))); err != nil {
			t.Errorf("%q: %v", part, err)
		}
	}
}

// FuzzParse: no template makes the parser panic; one without a delimiter is one
// text; segments stand in the template, in their order.
func FuzzParse(f *testing.F) {
	for _, c := range readGolden(f).Cases {
		f.Add([]byte(c.Template))
	}
	for _, c := range hostile {
		if len(c.template) < 1000 {
			f.Add([]byte(c.template))
		}
	}
	f.Add([]byte(foreignBytes))
	f.Fuzz(func(t *testing.T, template []byte) {
		segments, err := scan(template)
		if err != nil {
			line, source := lineAt(template, 0)
			if line != 1 || len(source) > maxSource {
				t.Errorf("the first line is %d: %q", line, source)
			}
			return
		}
		checkSegments(t, template, segments)
		if s, err := newScript(template); err == nil {
			_, _ = compile(scriptName, s.source)
		}
	})
}

func checkSegments(t *testing.T, template []byte, segments []segment) {
	t.Helper()
	var printed []byte
	end := 0
	for _, s := range segments {
		if s.offset < end || s.offset > len(template) {
			t.Fatalf("segment at %d after %d of %d", s.offset, end, len(template))
		}
		end = s.offset
		literal := s.kind == text && (bytes.Equal(s.bytes, open) || bytes.Equal(s.bytes, closing))
		if !literal && !bytes.HasPrefix(template[s.offset:], s.bytes) {
			t.Errorf("%q is not at %d", s.bytes, s.offset)
		}
		printed = append(printed, s.bytes...)
	}
	if !bytes.Contains(template, open) && !bytes.Contains(template, literalClose) && !bytes.Equal(printed, template) {
		t.Errorf("text %q becomes %q", template, printed)
	}
}

func FuzzRender(f *testing.F) {
	for _, c := range readGolden(f).Cases {
		f.Add([]byte(c.Template))
	}
	limits := Limits{Time: 500_000_000, Memory: 64 << 20, Output: 64 << 10}
	runner := &Runner{Limits: limits}
	f.Fuzz(func(t *testing.T, template []byte) {
		templates := []Template{{"f", template}}
		one, err := runner.Render(t.Context(), templates, Scope{})
		if err != nil {
			if !isFailure(err) {
				t.Fatalf("not the template's fault: %v", err)
			}
			return
		}
		two, err := runner.Render(t.Context(), templates, Scope{})
		if isFailure(err) {
			return // Time and memory are close to their limits.
		}
		if err != nil || !bytes.Equal(one[0], two[0]) {
			t.Errorf("first %q, then %q, %v", one, two, err)
		}
	})
}
