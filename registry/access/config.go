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
	Users string `yaml:"users" help:"htpasswd file with bcrypt hashes (htpasswd -B)" json:"users,omitempty"`
	// Groups are names for several principals.
	Groups map[string][]string `yaml:"groups" help:"names for several principals" json:"groups,omitempty"`
	// Rules give rights; what no rule gives is refused. Without any, whoever
	// proves who they are may do everything.
	Rules []Rule `yaml:"rules" help:"rights; what no rule gives is refused" json:"rules,omitempty"`

	// Realm is the URL of the token endpoint as clients see it; by default
	// /token on the host that they ask.
	Realm string `yaml:"realm" help:"URL of the token endpoint as clients see it; by default /token on the host that they ask" json:"realm,omitempty"`
	// Service is what tokens must be for: their audience.
	Service string `yaml:"service" help:"what tokens must be for: their audience" json:"service,omitempty"`
	// Issuer issues tokens; nil does not.
	Issuer *Issuer `yaml:"issuer" help:"issues tokens" json:"issuer,omitempty"`
	// Trusted are those whose tokens are accepted too.
	Trusted []TrustedIssuer `yaml:"trusted" help:"others whose tokens are accepted" json:"trusted,omitempty"`

	TLS TLS `yaml:"tls" help:"what the registry proves itself with" json:"tls"`

	Rates Rates `yaml:"rates" help:"how often a client may ask" json:"rates"`
	// Proxies are the networks (CIDR) of proxies that say in X-Forwarded-For
	// whom they ask for.
	Proxies []string `yaml:"proxies" help:"networks (CIDR) of proxies that say in X-Forwarded-For whom they ask for" json:"proxies,omitempty"`
	// Quotas bound what is stored.
	Quotas []Quota `yaml:"quotas" help:"how much may be stored" json:"quotas,omitempty"`
	// Warnings are told to clients.
	Warnings []Warning `yaml:"warnings" help:"texts that clients are shown" json:"warnings,omitempty"`
}

// Rule gives principals rights to repositories.
type Rule struct {
	// Repositories are patterns: * is any part of a name without a slash, and **
	// between slashes is any number of parts.
	Repositories []string `yaml:"repositories" help:"patterns: * is any part of a name without a slash, ** between slashes any number of parts" json:"repositories"`
	// Principals are user names, cert:NAME, ISSUER:SUBJECT, @group, where * is
	// any text, or anonymous (everybody) or authenticated.
	Principals []string `yaml:"principals" help:"user names, cert:NAME, ISSUER:SUBJECT, @group, where * is any text, or anonymous (everybody) or authenticated" json:"principals"`
	// Actions are pull, push, delete, render, admin, or * for all of them.
	Actions []string `yaml:"actions" help:"pull, push, delete, render, admin, or * for all of them" json:"actions"`
}

// Issuer issues tokens.
type Issuer struct {
	// Name is the claim iss.
	Name string `yaml:"name" help:"what it is called in the claim iss, or in the names of its principals" json:"name,omitempty"`
	// Key is a file with a private key in PEM: ECDSA, Ed25519 or RSA.
	Key string `yaml:"key" help:"PEM file with a private key" json:"key"`
	// Lifetime is how long a token is good for: 1 minute to 24 hours.
	Lifetime time.Duration `yaml:"lifetime" help:"how long a token is good for: 1m to 24h" json:"lifetime,omitempty"`
}

// TrustedIssuer is somebody else who issues tokens.
type TrustedIssuer struct {
	// Name is what the names of its principals begin with, before a colon.
	Name string `yaml:"name" help:"what it is called in the claim iss, or in the names of its principals" json:"name"`
	// Issuer is the claim iss.
	Issuer string `yaml:"issuer" help:"the claim iss" json:"issuer"`
	// Audience is what the claim aud must have; Config.Service by default.
	Audience string `yaml:"audience" help:"what the claim aud must have; the service by default" json:"audience,omitempty"`
	// JWKS is a file, or an https URL, with its public keys.
	JWKS string `yaml:"jwks" help:"file, or https URL, with public keys" json:"jwks"`
	// Refresh is how often a URL is read again.
	Refresh time.Duration `yaml:"refresh" help:"how often a URL is read again" json:"refresh,omitempty"`
	// Authorizes believes the claim access of its tokens. Otherwise the rules
	// decide what its principals may do.
	Authorizes bool `yaml:"authorizes" help:"believe the claim access of its tokens; otherwise the rules decide" json:"authorizes,omitempty"`
}

// TLS is what the registry proves itself with. Without Cert it serves plain HTTP.
type TLS struct {
	Cert string `yaml:"cert" help:"PEM file with the certificate chain, the leaf first; without it plain HTTP is served" json:"cert,omitempty"` // PEM file, the leaf first
	Key  string `yaml:"key" help:"PEM file with a private key" json:"key,omitempty"`                                                            // PEM file
	// ClientCA is a PEM file of those who vouch for clients.
	ClientCA string `yaml:"clientCa" help:"PEM file of those who vouch for clients" json:"clientCa,omitempty"`
	// RequireClient refuses connections without a client certificate.
	RequireClient bool `yaml:"requireClient" help:"refuse connections without a client certificate" json:"requireClient,omitempty"`
}

// Rates bound how often a client asks.
type Rates struct {
	// Requests is for each principal, or address of somebody anonymous; zero is
	// no bound.
	Requests Rate `yaml:"requests" help:"for each principal, or address of somebody anonymous" json:"requests"`
	// Failures is how often an address may give a wrong password.
	Failures Rate `yaml:"failures" help:"how often an address may give a wrong password" json:"failures"`
}

// Rate is so many a second on average, and so many at once.
type Rate struct {
	PerSecond float64 `yaml:"perSecond" help:"on average" json:"perSecond,omitempty"`
	Burst     int     `yaml:"burst" help:"at once" json:"burst,omitempty"`
}

// Quota bounds what the repositories below a prefix occupy together.
type Quota struct {
	// Prefix is whole parts of a name: golden is golden and golden/debian, and
	// not goldener. Empty is every repository.
	Prefix string `yaml:"prefix" help:"whole parts of a name; empty is every repository" json:"prefix"`
	Bytes  int64  `yaml:"bytes" help:"of all repositories below the prefix together" json:"bytes"`
}

// Warning is a text for those who ask for some manifests, such as that they will
// be removed.
type Warning struct {
	// Repositories are patterns, as in rules.
	Repositories []string `yaml:"repositories" help:"patterns: * is any part of a name without a slash, ** between slashes any number of parts" json:"repositories"`
	// Tags are patterns in which * is any text. Without any, whoever asks for
	// anything of the repositories is told, by tag or digest.
	Tags []string `yaml:"tags" help:"patterns of tags that the text is for" json:"tags,omitempty"`
	// Text is one line of ASCII.
	Text string `yaml:"text" help:"what clients are shown" json:"text"`
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
