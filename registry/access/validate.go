package access

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// Validate says all that is wrong with a configuration, after SetDefaults. It
// reads no file.
func (c *Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Realm != "" && !isHTTP(c.Realm, true) {
		wrong("realm %q: expected an http or https URL", c.Realm)
	}
	if strings.ContainsAny(c.Service, "\"\\") || !printable(c.Service) {
		wrong("service %q: expected text without quotes", c.Service)
	}
	if _, err := newPolicy(c.Rules, c.Groups); err != nil {
		errs = append(errs, err)
	}
	if _, err := newWarnings(c.Warnings); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseNetworks(c.Proxies); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.validateIssuers(), c.TLS.validate(), c.Rates.validate(), validateQuotas(c.Quotas))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("access: %w", err)
	}
	return nil
}

func (c *Config) validateIssuers() error {
	var errs []error
	issuers := make(map[string]bool)
	if i := c.Issuer; i != nil {
		issuers[i.Name] = true
		if i.Key == "" {
			errs = append(errs, errors.New("issuer.key: expected a file with a private key"))
		}
		if i.Lifetime < minLifetime || i.Lifetime > maxLifetime {
			errs = append(errs, fmt.Errorf("issuer.lifetime %s: expected %s to %s", i.Lifetime, minLifetime, maxLifetime))
		}
		if c.Users == "" && c.TLS.ClientCA == "" {
			errs = append(errs, errors.New("issuer: expected users or tls.clientCa too, to issue tokens to"))
		}
	}
	names := make(map[string]bool)
	for n, t := range c.Trusted {
		if err := t.validate(); err != nil {
			errs = append(errs, fmt.Errorf("trusted[%d]: %w", n, err))
		}
		if names[t.Name] || issuers[t.Issuer] {
			errs = append(errs, fmt.Errorf("trusted[%d]: the name %q or issuer %q is another one's too", n, t.Name, t.Issuer))
		}
		names[t.Name], issuers[t.Issuer] = true, true
	}
	return errors.Join(errs...)
}

func (t *TrustedIssuer) validate() error {
	switch {
	case t.Name == "" || len(t.Name) > maxIssuerName || strings.ContainsAny(t.Name, ":*@ ") || !printable(t.Name) || t.Name+":" == certificatePrefix:
		return fmt.Errorf("name %q: expected 1 to %d characters, without colon, *, @ and space, and not cert", t.Name, maxIssuerName)
	case t.Issuer == "":
		return errors.New("issuer: expected what its tokens have as claim iss")
	case t.JWKS == "":
		return errors.New("jwks: expected a file or an https URL with its public keys")
	case strings.Contains(t.JWKS, "://") && !isHTTP(t.JWKS, false):
		return fmt.Errorf("jwks %q: expected a file or an https URL", redact(t.JWKS))
	case t.Refresh < 0:
		return fmt.Errorf("refresh %s: expected a positive time", t.Refresh)
	}
	return nil
}

func (t *TLS) validate() error {
	switch {
	case (t.Cert == "") != (t.Key == ""):
		return errors.New("tls: expected cert and key together")
	case t.ClientCA != "" && t.Cert == "":
		return errors.New("tls.clientCa: expected tls.cert and tls.key too: without TLS there are no client certificates")
	case t.RequireClient && t.ClientCA == "":
		return errors.New("tls.requireClient: expected tls.clientCa too")
	}
	return nil
}

func (r *Rates) validate() error {
	for name, rate := range map[string]Rate{"requests": r.Requests, "failures": r.Failures} {
		if !(rate.PerSecond >= 0 && rate.PerSecond <= 1e9) || rate.Burst < 1 {
			return fmt.Errorf("rates.%s: expected perSecond from 0 on and a burst of 1 or more, got %v and %d", name, rate.PerSecond, rate.Burst)
		}
	}
	return nil
}

func validateQuotas(quotas []Quota) error {
	for n, q := range quotas {
		if q.Bytes < 0 || strings.HasPrefix(q.Prefix, "/") || strings.HasSuffix(q.Prefix, "/") || strings.ContainsAny(q.Prefix, "*") {
			return fmt.Errorf("quotas[%d]: expected bytes from 0 on and a prefix of whole parts such as golden or teams/a, got %d and %q", n, q.Bytes, q.Prefix)
		}
	}
	return nil
}

func parseNetworks(texts []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for n, text := range texts {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("proxies[%d] %q: expected a network such as 10.0.0.0/8", n, text)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// isHTTP says whether text is a URL of https, or of http where plain allows it
// or the host is this machine.
func isHTTP(text string, plain bool) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || strings.ContainsAny(text, "\"\\") {
		return false
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	local := host == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && (plain || local)
}

// redact returns a URL without what may be secret in it.
func redact(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// printable says whether text is printable ASCII.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
