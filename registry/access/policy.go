package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/registry"
)

// actions are those that rules give, in the order that tokens name them.
var actions = []registry.Action{
	registry.ActionPull, registry.ActionPush, registry.ActionDelete, registry.ActionRender, registry.ActionAdmin,
}

// policy is what the rules of a configuration say.
type policy struct {
	grants   []grant
	warnings []warning
}

// grant is one rule.
type grant struct {
	anonymous     bool
	authenticated bool
	names         []glob
	repositories  []pattern
	actions       []registry.Action
}

// newPolicy checks rules.
func newPolicy(rules []Rule, groups map[string][]string) (*policy, error) {
	p := &policy{}
	for n, rule := range rules {
		g, err := newGrant(rule, groups)
		if err != nil {
			return nil, fmt.Errorf("rules[%d]: %w", n, err)
		}
		p.grants = append(p.grants, g)
	}
	return p, nil
}

func newGrant(rule Rule, groups map[string][]string) (grant, error) {
	var g grant
	if len(rule.Repositories) == 0 || len(rule.Principals) == 0 || len(rule.Actions) == 0 {
		return g, fmt.Errorf("expected repositories, principals and actions")
	}
	for _, text := range rule.Repositories {
		p, err := parsePattern(text)
		if err != nil {
			return g, err
		}
		g.repositories = append(g.repositories, p)
	}
	for _, text := range rule.Actions {
		switch a := registry.Action(text); {
		case text == everyAction:
			g.actions = append(g.actions, actions...)
		case slices.Contains(actions, a):
			g.actions = append(g.actions, a)
		default:
			return g, fmt.Errorf("action %q: expected one of %s, or *", text, actions)
		}
	}
	for _, text := range rule.Principals {
		if err := g.addPrincipal(text, groups); err != nil {
			return g, err
		}
	}
	return g, nil
}

func (g *grant) addPrincipal(text string, groups map[string][]string) error {
	name, isGroup := strings.CutPrefix(text, groupMark)
	switch {
	case text == "":
		return fmt.Errorf("an empty principal: expected a name, @group, anonymous or authenticated")
	case text == anonymous:
		g.anonymous = true
	case text == authenticated:
		g.authenticated = true
	case !isGroup:
		g.names = append(g.names, glob(text))
	default:
		members, ok := groups[name]
		if !ok {
			return fmt.Errorf("there is no group %q", name)
		}
		for _, member := range members {
			if member == "" || member == anonymous || member == authenticated || strings.HasPrefix(member, groupMark) {
				return fmt.Errorf("group %q has the member %q: expected names", name, member)
			}
			g.names = append(g.names, glob(member))
		}
	}
	return nil
}

// of says whether a grant is for a principal. Everybody may do what is given to
// somebody anonymous.
func (g *grant) of(id identity) bool {
	if g.anonymous || id.known() && g.authenticated {
		return true
	}
	return id.known() && slices.ContainsFunc(g.names, func(n glob) bool { return n.match(id.name) })
}

// may says whether the rules let a principal do something.
func (p *policy) may(id identity, need registry.Need) bool {
	if need.Action == registry.ActionList {
		if need.Repository == "" {
			return id.known() || p.welcomes(id)
		}
		need.Action = registry.ActionPull
	}
	for i := range p.grants {
		g := &p.grants[i]
		if slices.Contains(g.actions, need.Action) && g.of(id) &&
			slices.ContainsFunc(g.repositories, func(p pattern) bool { return p.match(need.Repository) }) {
			return true
		}
	}
	return false
}

// welcomes says whether there is anything that a principal may do.
func (p *policy) welcomes(id identity) bool {
	return slices.ContainsFunc(p.grants, func(g grant) bool { return g.of(id) })
}
