package access

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDocumentedConfigurationIsRead reads the examples of docs/access.md.
func TestDocumentedConfigurationIsRead(t *testing.T) {
	page, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, block := range regexp.MustCompile(`(?m)^    (rules|issuer|trusted|rates):\n(    .*\n)*`).FindAllString(string(page), -1) {
		for line := range strings.Lines(block) {
			text.WriteString(strings.TrimPrefix(line, "    "))
		}
	}
	c, err := Parse([]byte(text.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	c.Users = "users"
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if len(c.Rules) != 5 || len(c.Groups["builders"]) != 2 || c.Issuer.Lifetime != 5*time.Minute || c.Realm == "" || len(c.Trusted) != 2 ||
		!c.Trusted[1].Authorizes || c.Rates.Requests != (Rate{50, 200}) || len(c.Proxies) != 1 || c.Quotas[0].Bytes != 500e9 {
		t.Errorf("got %+v", c)
	}
}

func TestUnknownKeysAreRefused(t *testing.T) {
	for _, text := range []string{"rule: []", "rules: [{repository: a}]", "rules: 1", "rates: {requests: {perHour: 1}}", "", "# nothing"} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
