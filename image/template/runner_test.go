package template

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

const clockAndChance = "<%= new Date() %> <%= Date.now() %> <%= new Date().getTimezoneOffset() %> <%= new Date(2024, 6, 1).toISOString() %> " +
	"<%= Math.random() %> <% Math.random = 1; args.n++; Array.prototype.x = 1 %><%= Object.keys(args) %>"

func TestSameInputGivesSameBytes(t *testing.T) {
	scope := Scope{Args: []byte(`{"z":1,"n":1,"a":2}`)}
	templates := []Template{{"a", []byte(clockAndChance)}, {"b", []byte(clockAndChance)}}
	outputs, err := new(Runner).Render(t.Context(), templates, scope)
	if err != nil {
		t.Fatal(err)
	}
	const want = "Thu Jan 01 1970 00:00:00 GMT+0000 (UTC) 0 0 2024-07-01T00:00:00.000Z 0.7693732693650721 z,n,a"
	for _, output := range outputs {
		if string(output) != want {
			t.Errorf("got  %s\nwant %s", output, want)
		}
	}
}

func TestTooMuchIsRefusedBeforeAProcessStarts(t *testing.T) {
	one := Template{"f", []byte("12345678")}
	for name, limits := range map[string]Limits{
		"text":      {Text: 7},
		"all texts": {TotalText: 15},
		"templates": {Templates: 1},
		"scope":     {Scope: 10},
	} {
		_, err := (&Runner{Limits: limits}).Render(t.Context(), []Template{one, one}, Scope{})
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", name, err)
		}
	}
	if _, err := new(Runner).Render(t.Context(), []Template{one}, Scope{DNS: []byte("{")}); err == nil || isFailure(err) {
		t.Errorf("got %v, want an error about the JSON", err)
	}
}

func TestOutputIsBoundedInTotal(t *testing.T) {
	template := Template{"f", bytes.Repeat([]byte("x"), 60)}
	runner := &Runner{Limits: Limits{TotalOutput: 100, Time: time.Minute}}
	_, err := runner.Render(t.Context(), []Template{template, template}, Scope{})
	if !errors.Is(err, ErrOutput) {
		t.Errorf("got %v, want ErrOutput", err)
	}
}

func BenchmarkRender(b *testing.B) {
	templates := []Template{
		{"etc/hostname", []byte("<%= args.hostname %>\n")},
		{"etc/hosts", []byte("127.0.0.1 localhost <%= args.hostname %>\n")},
		{"etc/resolv.conf", []byte("<% for (const s of dns.nameservers) { -%>\nnameserver <%= s %>\n<% } -%>\n")},
	}
	scope := Scope{Args: []byte(`{"hostname":"web-1"}`), DNS: []byte(`{"nameservers":["192.0.2.1","192.0.2.2"]}`)}
	runner := new(Runner)
	for b.Loop() {
		if _, err := runner.Render(b.Context(), templates, scope); err != nil {
			b.Fatal(err)
		}
	}
}
