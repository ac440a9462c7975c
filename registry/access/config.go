package access

import (
	"time"
)

// Defaults of [Config].
const (
	DefaultService               = "cloudlets"
	DefaultLifetime              = 5 * time.Minute
	DefaultRefresh               = 10 * time.Minute
	DefaultFailuresRate          = 1.0
	DefaultFailuresBurst         = 20
	defaultRequestSeconds        = 2 // of requests that a burst is, where it is not said
	minLifetime                  = time.Minute
	maxLifetime                  = 24 * time.Hour
	maxIssuerName                = 64 // bytes
	tokenPath                    = "/token"
	keysPath                     = "/token/keys"
	anonymous                    = "anonymous"
	authenticated                = "authenticated"
	groupMark                    = "@"
	certificatePrefix            = "cert:"
	everything                   = "**"
	everyAction           string = "*"
)

// Config says who may do what. The zero value lets everybody do everything.
type Config struct {
	// Users is an htpasswd file with bcrypt hashes (htpasswd -B).
	Users string `yaml:"users" json:"users,omitempty"`
	// Groups are names for several principals.
	Groups map[string][]string `yaml:"groups" json:"groups,omitempty"`
	// Rules give rights; what no rule gives is refused. Without any, whoever
	// proves who they are may do everything.
	Rules []Rule `yaml:"rules" json:"rules,omitempty"`

	// Realm is the URL of the token endpoint as clients see it; by default
	// /token on the host that they ask.
	Realm string `yaml:"realm" json:"realm,omitempty"`
	// Service is what tokens must be for: their audience.
	Service string `yaml:"service" json:"service,omitempty"`
	// Issuer issues tokens; nil does not.
	Issuer *Issuer `yaml:"issuer" json:"issuer,omitempty"`
	// Trusted are those whose tokens are accepted too.
	Trusted []TrustedIssuer `yaml:"trusted" json:"trusted,omitempty"`

	TLS TLS `yaml:"tls" json:"tls"`

	Rates Rates `yaml:"rates" json:"rates"`
	// Proxies are the networks (CIDR) of proxies that say in X-Forwarded-For
	// whom they ask for.
	Proxies []string `yaml:"proxies" json:"proxies,omitempty"`
	// Quotas bound what is stored.
	Quotas []Quota `yaml:"quotas" json:"quotas,omitempty"`
	// Warnings are told to clients.
	Warnings []Warning `yaml:"warnings" json:"warnings,omitempty"`
}

// Rule gives principals rights to repositories.
type Rule struct {
	// Repositories are patterns: * is any part of a name without a slash, and **
	// between slashes is any number of parts.
	Repositories []string `yaml:"repositories" json:"repositories"`
	// Principals are user names, cert:NAME, ISSUER:SUBJECT, @group, where * is
	// any text, or anonymous (everybody) or authenticated.
	Principals []string `yaml:"principals" json:"principals"`
	// Actions are pull, push, delete, render, admin, or * for all of them.
	Actions []string `yaml:"actions" json:"actions"`
}

// Issuer issues tokens.
type Issuer struct {
	// Name is the claim iss.
	Name string `yaml:"name" json:"name,omitempty"`
	// Key is a file with a private key in PEM: ECDSA, Ed25519 or RSA.
	Key string `yaml:"key" json:"key"`
	// Lifetime is how long a token is good for: 1 minute to 24 hours.
	Lifetime time.Duration `yaml:"lifetime" json:"lifetime,omitempty"`
}

// TrustedIssuer is somebody else who issues tokens.
type TrustedIssuer struct {
	// Name is what the names of its principals begin with, before a colon.
	Name string `yaml:"name" json:"name"`
	// Issuer is the claim iss.
	Issuer string `yaml:"issuer" json:"issuer"`
	// Audience is what the claim aud must have; Config.Service by default.
	Audience string `yaml:"audience" json:"audience,omitempty"`
	// JWKS is a file, or an https URL, with its public keys.
	JWKS string `yaml:"jwks" json:"jwks"`
	// Refresh is how often a URL is read again.
	Refresh time.Duration `yaml:"refresh" json:"refresh,omitempty"`
	// Authorizes believes the claim access of its tokens. Otherwise the rules
	// decide what its principals may do.
	Authorizes bool `yaml:"authorizes" json:"authorizes,omitempty"`
}

// TLS is what the registry proves itself with. Without Cert it serves plain HTTP.
type TLS struct {
	Cert string `yaml:"cert" json:"cert,omitempty"` // PEM file, the leaf first
	Key  string `yaml:"key" json:"key,omitempty"`   // PEM file
	// ClientCA is a PEM file of those who vouch for clients.
	ClientCA string `yaml:"clientCa" json:"clientCa,omitempty"`
	// RequireClient refuses connections without a client certificate.
	RequireClient bool `yaml:"requireClient" json:"requireClient,omitempty"`
}

// Rates bound how often a client asks.
type Rates struct {
	// Requests is for each principal, or address of somebody anonymous; zero is
	// no bound.
	Requests Rate `yaml:"requests" json:"requests"`
	// Failures is how often an address may give a wrong password.
	Failures Rate `yaml:"failures" json:"failures"`
}

// Rate is so many a second on average, and so many at once.
type Rate struct {
	PerSecond float64 `yaml:"perSecond" json:"perSecond,omitempty"`
	Burst     int     `yaml:"burst" json:"burst,omitempty"`
}

// Quota bounds what the repositories below a prefix occupy together.
type Quota struct {
	// Prefix is whole parts of a name: golden is golden and golden/debian, and
	// not goldener. Empty is every repository.
	Prefix string `yaml:"prefix" json:"prefix"`
	Bytes  int64  `yaml:"bytes" json:"bytes"`
}

// Warning is a text for those who ask for some manifests, such as that they will
// be removed.
type Warning struct {
	// Repositories are patterns, as in rules.
	Repositories []string `yaml:"repositories" json:"repositories"`
	// Tags are patterns in which * is any text. Without any, whoever asks for
	// anything of the repositories is told, by tag or digest.
	Tags []string `yaml:"tags" json:"tags,omitempty"`
	// Text is one line of ASCII.
	Text string `yaml:"text" json:"text"`
}

// authenticates says whether there is a way to prove who one is.
func (c *Config) authenticates() bool {
	return c.Users != "" || len(c.Trusted) > 0 || c.TLS.ClientCA != ""
}

// Enabled says whether requests have to be looked at. It is to be asked before
// SetDefaults.
func (c *Config) Enabled() bool {
	return c.authenticates() || len(c.Rules) > 0 || c.Rates.Requests.PerSecond > 0 || len(c.Warnings) > 0
}

// SetDefaults fills in what is not said.
func (c *Config) SetDefaults() {
	setDefault(&c.Service, DefaultService)
	setDefault(&c.Rates.Failures.PerSecond, DefaultFailuresRate)
	setDefault(&c.Rates.Failures.Burst, DefaultFailuresBurst)
	setDefault(&c.Rates.Requests.Burst, max(1, int(defaultRequestSeconds*c.Rates.Requests.PerSecond)))
	if c.Issuer != nil {
		setDefault(&c.Issuer.Name, c.Service)
		setDefault(&c.Issuer.Lifetime, DefaultLifetime)
	}
	for i := range c.Trusted {
		setDefault(&c.Trusted[i].Audience, c.Service)
		setDefault(&c.Trusted[i].Refresh, DefaultRefresh)
	}
	if len(c.Rules) > 0 {
		return
	}
	everybody := anonymous
	if c.authenticates() {
		everybody = authenticated
	}
	c.Rules = []Rule{{Repositories: []string{everything}, Principals: []string{everybody}, Actions: []string{everyAction}}}
}

func setDefault[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}
