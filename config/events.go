package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Events is who is told what changes in the registry.
type Events struct {
	MaxAge    time.Duration   `key:"maxAge" default:"168h" reload:"true" help:"how long events are kept for an endpoint that cannot be reached; older ones are dropped"`
	MaxRows   int64           `key:"maxRows" default:"1000000" reload:"true" help:"how many events are kept at most; of more the oldest are dropped"`
	Endpoints []EventEndpoint `key:"endpoints" reload:"true" help:"who is told what changes, as a list: see docs/events.md"`
}

// EventEndpoint is somebody who is told, over HTTP.
type EventEndpoint struct {
	Name      string        `key:"name" required:"true" help:"what the endpoint is called; what it was told of already is known by this name"`
	URL       string        `key:"url" required:"true" help:"URL that events are sent to by POST"`
	Disabled  bool          `key:"disabled" default:"false" help:"send nothing for now, and keep what there is to send"`
	Headers   Secrets       `key:"headers" help:"headers of every request, such as Authorization"`
	Timeout   time.Duration `key:"timeout" default:"10s" help:"how long a request may stand still"`
	Threshold int           `key:"threshold" default:"5" help:"after how many failures in a row the endpoint counts as down: that is logged, and the wait begins to double"`
	Backoff   time.Duration `key:"backoff" default:"1s" help:"how long to wait after a failure; up to 5m where it doubles"`
	Pulls     bool          `key:"pulls" default:"false" help:"tell of pulls too, as well as it goes: they are not kept"`
	Ignore    EventFilter   `key:"ignore"`
}

// EventFilter is what an endpoint is not told of.
type EventFilter struct {
	MediaTypes []string `key:"mediaTypes" help:"media types that the endpoint is not told of"`
	Actions    []string `key:"actions" enum:"push,pull,delete,mount" help:"actions that the endpoint is not told of"`
}

// check refuses what no single value is to blame for, or no type can tell.
func (e Events) check() error {
	errs := []error{checkPositive("events.maxAge", e.MaxAge)}
	if e.MaxRows < 1 {
		errs = append(errs, fmt.Errorf("events.maxRows: expected a number above zero, found %d", e.MaxRows))
	}
	names := map[string]bool{}
	for i, endpoint := range e.Endpoints {
		key := fmt.Sprintf("events.endpoints[%d]", i)
		if names[endpoint.Name] {
			errs = append(errs, fmt.Errorf("%s.name: expected a name of its own, found %q again", key, endpoint.Name))
		}
		names[endpoint.Name] = true
		errs = append(errs, endpoint.check(key))
	}
	return errors.Join(errs...)
}

// endpointName is what an endpoint may be called: it is a label of metrics.
var endpointName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (e EventEndpoint) check(key string) error {
	errs := []error{
		checkEndpointURL(key+".url", e.URL),
		checkPositive(key+".timeout", e.Timeout),
		checkPositive(key+".backoff", e.Backoff),
	}
	if !endpointName.MatchString(e.Name) {
		errs = append(errs, fmt.Errorf("%s.name: expected up to 64 letters, digits, points, underscores and dashes, found %q", key, e.Name))
	}
	if e.Threshold < 1 {
		errs = append(errs, fmt.Errorf("%s.threshold: expected a number above zero, found %d", key, e.Threshold))
	}
	for name, value := range e.Headers {
		errs = append(errs, checkHeader(key+".headers", name, value))
	}
	return errors.Join(errs...)
}

// checkEndpointURL says nothing of what it found: a URL may hold a secret.
func checkEndpointURL(key, text string) error {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%s: expected a URL such as https://example.com/events, found something else", key)
	}
	if u.User != nil {
		return fmt.Errorf("%s: expected no user name or password in the URL: set the header Authorization", key)
	}
	return nil
}

// headerName is a token (RFC 9110, section 5.6.2).
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func checkHeader(key, name string, value Secret) error {
	if !headerName.MatchString(name) {
		return fmt.Errorf("%s: expected the name of a header, found %q", key, name)
	}
	if strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return fmt.Errorf("%s.%s: expected a line of text, found control characters", key, name)
	}
	return nil
}
