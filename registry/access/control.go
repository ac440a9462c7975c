package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/cloudlets/cloudlets/registry"
)

// Control decides who may do what: it is a registry.Access.
type Control struct {
	policy   *policy
	users    *users // nil: there are none
	verifier verifier
	issuer   *issuer // nil: no tokens are issued
	realm    string
	service  string
	bearer   bool // whether clients are sent for tokens
	requests *limiter
	failures *limiter
	proxies  []netip.Prefix
	clock    func() time.Time
	log      *slog.Logger
}

var _ registry.Access = (*Control)(nil)

// New returns what a configuration says, with its defaults. A nil log is
// slog.Default.
func New(c Config, log *slog.Logger) (*Control, error) { return newControl(c, log, time.Now) }

func newControl(c Config, log *slog.Logger, clock func() time.Time) (*Control, error) {
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.Default()
	}
	control := &Control{realm: c.Realm, service: c.Service, clock: clock, log: log,
		requests: newLimiter(c.Rates.Requests, clock), failures: newLimiter(c.Rates.Failures, clock)}
	var err error
	if control.policy, err = newPolicy(c.Rules, c.Groups); err != nil {
		return nil, err
	}
	if control.policy.warnings, err = newWarnings(c.Warnings); err != nil {
		return nil, err
	}
	if control.proxies, err = parseNetworks(c.Proxies); err != nil {
		return nil, err
	}
	if c.Users != "" {
		if control.users, err = openUsers(c.Users, clock, log); err != nil {
			return nil, fmt.Errorf("access: %w", err)
		}
	}
	if err := control.openAuthorities(c); err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return control, nil
}

func (c *Control) openAuthorities(config Config) error {
	c.verifier = verifier{authorities: make(map[string]*authority), clock: c.clock}
	if config.Issuer != nil {
		own, err := openIssuer(*config.Issuer, config.Service, c.clock, c.log)
		if err != nil {
			return err
		}
		c.issuer, c.bearer = own, true
		c.verifier.authorities[own.Name] = &authority{issuer: own.Name, audience: config.Service, keys: own, authorizes: true}
	}
	for _, t := range config.Trusted {
		keys, err := openKeys(t.JWKS, t.Refresh, c.clock, c.log)
		if err != nil {
			return fmt.Errorf("keys of %s: %w", t.Name, err)
		}
		c.verifier.authorities[t.Issuer] = &authority{
			issuer: t.Issuer, audience: t.Audience, keys: keys, prefix: t.Name + ":", authorizes: t.Authorizes}
		c.bearer = c.bearer || t.Authorizes && config.Realm != ""
	}
	return nil
}

// Authorize says who sends a request, if they may do all that it needs.
func (c *Control) Authorize(r *http.Request, needs ...registry.Need) (registry.Principal, error) {
	p, err := c.authenticate(r, needs)
	if err != nil {
		return nil, err
	}
	if len(needs) == 0 {
		return p, c.welcome(r, p)
	}
	for _, need := range needs {
		if !p.May(need) {
			return nil, c.refuse(r, p, needs)
		}
	}
	return p, nil
}

// welcome sends clients that show nothing for credentials: most ask once at the
// base of the API which kind to show, and never again.
func (c *Control) welcome(r *http.Request, p *principal) error {
	if p.known() || p.granted != nil {
		return nil
	}
	if c.challenges() || !p.welcome() {
		return c.refuse(r, p, nil)
	}
	return nil
}

// authenticate finds out who sends a request, and counts it.
func (c *Control) authenticate(r *http.Request, needs []registry.Need) (*principal, error) {
	address := clientAddress(r, c.proxies)
	p, err := c.identify(r, address)
	var answer *registry.Error
	switch {
	case errors.As(err, &answer):
		return nil, err
	case errors.Is(err, context.Canceled):
		return nil, err
	}
	client := "address " + address
	if err == nil && p.known() {
		client = "name " + p.name
	}
	if wait, ok := c.requests.take(client); !ok {
		return nil, tooMany(wait)
	}
	if err != nil {
		c.log.Info("credentials were refused", "client", address, "reason", err)
		return nil, c.unauthorized(r, needs, errors.Is(err, errToken))
	}
	return p, nil
}

// tokenUser is the name with which a token is a password, for clients that
// cannot send one otherwise.
const tokenUser = "token"

// errPassword says nothing of which of the two is wrong.
var errPassword = errors.New("wrong user or password")

// identify finds out who sends a request. An error that is no answer says that
// the credentials are wrong.
func (c *Control) identify(r *http.Request, address string) (*principal, error) {
	credentials, err := parseAuthorization(r.Header)
	switch {
	case err != nil:
		return nil, err
	case credentials.token != "":
		id, granted, err := c.verifier.verify(r.Context(), credentials.token)
		return &principal{id, c.policy, granted}, err
	case credentials.user == tokenUser:
		id, granted, err := c.verifier.verify(r.Context(), credentials.password)
		return &principal{id, c.policy, granted}, err
	case credentials.none():
		return &principal{identity{certificateName(r.TLS)}, c.policy, nil}, nil
	}
	if err := c.checkPassword(r.Context(), credentials, address); err != nil {
		return nil, err
	}
	return &principal{identity{credentials.user}, c.policy, nil}, nil
}

// checkPassword verifies a user's password, unless the address has given too
// many wrong ones.
func (c *Control) checkPassword(ctx context.Context, cr credentials, address string) error {
	if c.users == nil {
		return errPassword
	}
	if c.users.remembered(cr.user, cr.password) {
		return nil
	}
	if wait, ok := c.failures.take(address); !ok {
		return tooMany(wait)
	}
	right, err := c.users.verify(ctx, cr.user, cr.password)
	if right || err != nil {
		c.failures.give(address)
	}
	if err == nil && !right {
		err = errPassword
	}
	return err
}
