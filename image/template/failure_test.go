package template

import (
	"errors"
	"strings"
	"testing"
)

func TestFailuresNameFileLineAndSource(t *testing.T) {
	for _, c := range []struct {
		name, template string
		reason         error
		line           int
		source         string
		message        string
	}{
		{"undefined variable", "a\nb <%= hostname %>\nc", ErrThrown, 2, "b <%= hostname %>", "ReferenceError: hostname is not defined"},
		{"after text with line ends", "\r\n\n\u2028\n<%= x %>", ErrThrown, 4, "<%= x %>", "ReferenceError"},
		{"after a loop", "<% for (const i of [1, 2]) { -%>\ntext\n<% } -%>\n\n  <%= x.y %>  \n", ErrThrown, 5, "<%= x.y %>", "x is not defined"},
		{"in code over lines", "<%\nlet a = 1;\nlet b = a.c.d;\n%>", ErrThrown, 3, "let b = a.c.d;", "TypeError"},
		{"after code with other line ends", "<% let a = `\u2028\r` %>\n\n<%= x %>", ErrThrown, 3, "<%= x %>", "x is not defined"},
		{"in a function called below", "<% function f() {\n  throw new Error('bad')\n} %>\n\n<% f() %>", ErrThrown, 2, "throw new Error('bad')", "Error: bad"},
		{"in a callback", "\n<% [1].forEach(() => {\nthrow 'three' }) %>", ErrThrown, 3, "throw 'three' }) %>", "three"},
		{"thrown number", "<% throw 42 %>", ErrThrown, 1, "<% throw 42 %>", "42"},
		{"thrown null", "<% throw null %>", ErrThrown, 1, "<% throw null %>", "null"},
		{"thrown undefined", "<% throw undefined %>", ErrThrown, 1, "<% throw undefined %>", "undefined"},
		{"thrown object without text", "<% throw Object.create(null) %>", ErrThrown, 1, "", "it threw a value that has no text"},
		{"thrown object that throws", "<% throw {toString() { throw 1 }} %>", ErrThrown, 1, "", "it threw a value that has no text"},
		{"syntax", "a\n\n<%= 1 +* 2 %>\n", ErrSyntax, 3, "<%= 1 +* 2 %>", "Unexpected token *"},
		{"syntax found by the compiler", "a\n<% let x; let x %>", ErrSyntax, 2, "<% let x; let x %>", "already been declared"},
		{"await", "a\n<%= await x %>", ErrSyntax, 2, "<%= await x %>", ""},
		{"unclosed", "a\nb <% c\nd\n", ErrSyntax, 2, "b <% c", "this tag is not closed: expected %>, found the end of the template"},
		{"tag in a tag", "a\n<% b\n<%= c %> %>", ErrSyntax, 2, "<% b", "found another <% in line 3"},
		{"literal in a tag", "\n<% a %%> b %>", ErrSyntax, 2, "<% a %%> b %>", "%%> stands in a tag"},
		{"open brace", "a\n<% if (1) { %>\nb\n\n", ErrSyntax, 3, "b", "do not match"},
		{"not UTF-8", "a\n\xff<% 'é\xff' %>", ErrSyntax, 2, "?<% 'é?' %>", "not UTF-8"},
		{"include", "\n<%- include('/etc/passwd') %>", ErrThrown, 2, "<%- include('/etc/passwd') %>", "include is not available"},
		{"control characters", "<% throw 'a\\n\\x1b[2Jb\\u202e' %>", ErrThrown, 1, "", "a  [2Jb "},
		{"long", "<% throw 'x'.repeat(1e6) //" + strings.Repeat("y", 1000) + "%>", ErrThrown, 1, "", strings.Repeat("x", maxMessage-len("…")) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := new(Runner).Render(t.Context(), []Template{{"etc/file", []byte(c.template)}}, Scope{})
			var failure *Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if failure.Path != "etc/file" || failure.Line != c.line || !errors.Is(err, c.reason) {
				t.Errorf("got %v, want line %d and %v", err, c.line, c.reason)
			}
			if c.source != "" && failure.Source != c.source {
				t.Errorf("the source is %q, want %q", failure.Source, c.source)
			}
			if !strings.Contains(failure.Message, c.message) {
				t.Errorf("the message is %q, want %q", failure.Message, c.message)
			}
			if len(failure.Message) > maxMessage || len(failure.Source) > maxSource {
				t.Errorf("%d and %d bytes are too many", len(failure.Message), len(failure.Source))
			}
		})
	}
}

func TestErrorReadsWell(t *testing.T) {
	_, err := new(Runner).Render(t.Context(), []Template{{"etc/hostname", []byte("\n<%= hostname %>\n")}}, Scope{})
	const want = "template etc/hostname, line 2: the template failed: ReferenceError: hostname is not defined (in: <%= hostname %>)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestErrorsShowNoSecrets(t *testing.T) {
	scope := Scope{Args: []byte(`{"password":"correct horse","pin":"123","token":"a\n\"b"}`), Secrets: []string{"correct horse", "123", "a\n\"b", ""}}
	for _, template := range []string{
		"<% throw args.password %>",
		"<% throw new Error('wrong: ' + args.password + args.pin) %>",
		"<% throw args.password.slice(2, 9) %>",
		"<% throw 'x'.repeat(250) + args.password %>",
		"<% throw 'x'.repeat(4090) + args.password %>",
		"<% throw args.pin %>",
		"<% throw args.token %>",
		"<% ({})[args.password].x %>",
		"<% JSON.parse(args.password) %>",
		"<% eval(args.password) %>",
		"<% new Function(args.password) %>",
		"<% nothing.x %>",
	} {
		_, err := new(Runner).Render(t.Context(), []Template{{"f", []byte(template)}}, scope)
		var failure *Error
		if !errors.As(err, &failure) {
			t.Fatalf("%s: got %v, want an *Error", template, err)
		}
		for _, part := range []string{"corr", "rect", " hor", "orse", "123", "a \"b"} {
			if strings.Contains(failure.Message, part) {
				t.Errorf("%s: the message %q shows %q", template, failure.Message, part)
			}
		}
	}
}
