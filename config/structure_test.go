package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fullEndpoint has every key.
const fullEndpoint = `{"name": "ci", "url": "https://ci.example/hook", "disabled": true, "headers": {"Authorization": "Bearer horse"},
	"timeout": "3s", "threshold": 2, "backoff": "4s", "pulls": true, "ignore": {"mediaTypes": ["a/b"], "actions": ["pull", "mount"]}}`

func TestListComesFromFileEnvironmentAndFlag(t *testing.T) {
	text := "[" + fullEndpoint + ", {name: other, url: 'http://b'}]"
	headers := write(t, "Authorization: Bearer horse\n")
	want := []EventEndpoint{
		{
			Name: "ci", URL: "https://ci.example/hook", Disabled: true, Headers: Secrets{"Authorization": NewSecret("Bearer horse")},
			Timeout: 3 * time.Second, Threshold: 2, Backoff: 4 * time.Second, Pulls: true,
			Ignore: EventFilter{MediaTypes: []string{"a/b"}, Actions: []string{"pull", "mount"}},
		},
		{Name: "other", URL: "http://b", Timeout: 10 * time.Second, Threshold: 5, Backoff: time.Second},
	}
	for name, s := range map[string]Sources{
		"file":         {File: write(t, "events: {endpoints: "+text+"}\n")},
		"headers file": {File: write(t, "events: {endpoints: "+strings.Replace(text, `"headers": {"Authorization": "Bearer horse"}`, "headersFile: "+headers, 1)+"}\n")},
		"environment":  {Getenv: lookup(map[string]string{"CLOUDLETS_EVENTS_ENDPOINTS": text})},
		"flag":         {File: write(t, "events: {endpoints: []}\n"), Flag: lookup(map[string]string{"events-endpoints": text})},
	} {
		got, err := Load(s)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !reflect.DeepEqual(got.Events.Endpoints, want) {
			t.Errorf("%s: got %+v, want %+v", name, got.Events.Endpoints, want)
		}
		if shown := fmt.Sprintf("%+v %v %#v", got, got.Events, got.Events); strings.Contains(shown, "horse") {
			t.Errorf("%s: the header shows itself: %s", name, shown)
		}
	}
	got, err := Load(Sources{
		File: write(t, "events: {endpoints: "+text+"}\n"), Flag: lookup(map[string]string{"events-endpoints": ""})})
	if err != nil || len(got.Events.Endpoints) != 0 {
		t.Errorf("an empty flag leaves %+v, %v", got.Events.Endpoints, err)
	}
}

func TestFaultsInListsAreToldWithTheirPlace(t *testing.T) {
	endpoint := func(rest string) string { return "{name: ci, url: 'http://a', " + rest + "}" }
	for _, c := range []struct{ name, list, want string }{
		{"no list", "{name: ci}", ":3: events.endpoints: expected a list, found keys with values"},
		{"no object", "[ci]", ":3: events.endpoints[0]: expected keys with values, found a single value"},
		{"unknown key", "[" + endpoint("") + ", " + endpoint("uri: x") + "]", ":3: events.endpoints[1].uri: there is no such key"},
		{"no name", "[{url: 'http://a'}]", ":3: events.endpoints[0].name: expected a value, found none"},
		{"bad value", "[" + endpoint("timeout: soon") + "]", ":3: events.endpoints[0].timeout: expected a duration"},
		{"bad action", "[" + endpoint("ignore: {actions: [pulling]}") + "]", ":3: events.endpoints[0].ignore.actions[0]: expected one of push, pull"},
		{"no list of texts", "[" + endpoint("ignore: {mediaTypes: x}") + "]", ":3: events.endpoints[0].ignore.mediaTypes: expected a list"},
		{"list of headers", "[" + endpoint("headers: {A: [b]}") + "]", ":3: events.endpoints[0].headers.A: expected a single value, found a list"},
		{"same name", "[" + endpoint("") + ", " + endpoint("") + "]", "events.endpoints[1].name: expected a name of its own"},
		{"name with a space", "[{name: a b, url: 'http://a'}]", "events.endpoints[0].name: expected up to 64 letters"},
		{"no URL", "[{name: ci, url: horse}]", "events.endpoints[0].url: expected a URL such as"},
		{"password in the URL", "[{name: ci, url: 'http://a:horse@b'}]", "events.endpoints[0].url: expected no user name or password"},
		{"no header", "[" + endpoint("headers: {'A b': horse}") + "]", "events.endpoints[0].headers: expected the name of a header"},
		{"two lines", "[" + endpoint(`headers: {A: "horse\nB: c"}`) + "]", "events.endpoints[0].headers.A: expected a line of text"},
		{"header twice", "[" + endpoint(`headers: {A: horse, A: horse}`) + "]", "events.endpoints[0].headers"},
		{"headers twice", "[" + endpoint(`headers: {A: horse}, headersFile: horse`) + "]", "expected headers or headersFile, found both"},
		{"never", "[" + endpoint("threshold: 0") + "]", "events.endpoints[0].threshold: expected a number above zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(Sources{File: write(t, "events:\n\n  endpoints: "+c.list+"\n")})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "horse\\n") || strings.Contains(err.Error(), ":horse@") {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	_, err := Load(Sources{Getenv: lookup(map[string]string{"CLOUDLETS_EVENTS_ENDPOINTS": "[{name: ci, ulr: x}]"})})
	if err == nil || !strings.Contains(err.Error(), "CLOUDLETS_EVENTS_ENDPOINTS: line 1: [0].ulr: there is no such key") {
		t.Errorf("%v", err)
	}
}
