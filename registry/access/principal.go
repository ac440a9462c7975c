package access

import "github.com/cloudlets/cloudlets/registry"

// identity is a name that somebody proved to have; empty is nobody's.
type identity struct{ name string }

func (id identity) known() bool { return id.name != "" }

// principal is whoever sends a request.
type principal struct {
	identity
	policy *policy
	// granted is what a token's claim gives, instead of what rules do; nil where
	// there is none.
	granted *granted
}

var _ registry.Principal = (*principal)(nil)

// Name is the name that was proved.
func (p *principal) Name() string {
	if !p.known() {
		return anonymous
	}
	return p.name
}

// May says whether the principal may do something.
func (p *principal) May(need registry.Need) bool {
	if p.granted == nil {
		return p.policy.may(p.identity, need)
	}
	if p.granted.may(need) {
		return true
	}
	// A token for the catalog lists what the rules show.
	return p.granted.catalog && need.Action == registry.ActionList && p.policy.may(p.identity, need)
}

// welcome says whether there is anything that the principal may do.
func (p *principal) welcome() bool {
	return p.known() || p.granted != nil || p.policy.welcomes(p.identity)
}
