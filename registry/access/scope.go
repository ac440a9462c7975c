package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/registry"
)

// Types of resources in scopes and claims, and the catalog's
// (Docker, Token Scope Documentation).
const (
	typeRepository = "repository"
	typeRegistry   = "registry"
	nameCatalog    = "catalog"
)

const (
	maxScopes = 64   // of a request for a token
	maxScope  = 1024 // bytes
)

// resourceAccess is an entry of the claim access, and a scope: actions on a
// resource (Docker, Token Authentication Implementation).
type resourceAccess struct {
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Actions []string `json:"actions"`
}

func (a resourceAccess) String() string {
	return a.Type + ":" + a.Name + ":" + strings.Join(a.Actions, ",")
}

// parseScopes reads the scopes of a request: each of several, or separated by
// spaces.
func parseScopes(values []string) ([]resourceAccess, error) {
	var found []resourceAccess
	for _, value := range values {
		for text := range strings.FieldsSeq(value) {
			if len(found) == maxScopes {
				return nil, fmt.Errorf("more than %d scopes", maxScopes)
			}
			scope, err := parseScope(text)
			if err != nil {
				return nil, err
			}
			found = append(found, scope)
		}
	}
	return found, nil
}

// parseScope reads type[(class)]:name:action,action. A name may have colons.
func parseScope(text string) (resourceAccess, error) {
	if len(text) > maxScope {
		return resourceAccess{}, fmt.Errorf("a scope of %d bytes: at most %d are allowed", len(text), maxScope)
	}
	first, last := strings.IndexByte(text, ':'), strings.LastIndexByte(text, ':')
	kind, _, _ := strings.Cut(text[:max(first, 0)], "(")
	if kind == "" || last <= first+1 {
		return resourceAccess{}, fmt.Errorf("scope %q: expected TYPE:NAME:ACTIONS, such as repository:golden/debian:pull,push", text)
	}
	scope := resourceAccess{Type: kind, Name: text[first+1 : last]}
	for action := range strings.SplitSeq(text[last+1:], ",") {
		if action != "" && !slices.Contains(scope.Actions, action) {
			scope.Actions = append(scope.Actions, action)
		}
	}
	return scope, nil
}

// scopesOf returns the scopes that a request needs. Whoever pushes looks first
// at what is there, so that is asked for too.
func scopesOf(needs []registry.Need) []resourceAccess {
	var scopes []resourceAccess
	for _, need := range needs {
		scope := resourceAccess{typeRepository, need.Repository, []string{string(need.Action)}}
		if need.Repository == "" {
			scope = resourceAccess{typeRegistry, nameCatalog, []string{everyAction}}
		}
		if need.Action == registry.ActionPush {
			scope.Actions = []string{string(registry.ActionPull), string(need.Action)}
		}
		if n := len(scopes); n > 0 && scopes[n-1].Name == scope.Name {
			scopes[n-1].Actions = union(scopes[n-1].Actions, scope.Actions)
			continue
		}
		scopes = append(scopes, scope)
	}
	return scopes
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// granted is what the claim access of a token gives.
type granted struct {
	repositories map[string][]string // actions
	catalog      bool
}

func newGranted(claim []resourceAccess) *granted {
	g := &granted{repositories: make(map[string][]string)}
	for _, a := range claim {
		switch {
		case a.Type == typeRepository:
			g.repositories[a.Name] = union(g.repositories[a.Name], a.Actions)
		case a.Type == typeRegistry && a.Name == nameCatalog && slices.Contains(a.Actions, everyAction):
			g.catalog = true
		}
	}
	return g
}

func (g *granted) may(need registry.Need) bool {
	if need.Action == registry.ActionList {
		if need.Repository == "" {
			return g.catalog
		}
		need.Action = registry.ActionPull
	}
	given, ok := g.repositories[need.Repository]
	return ok && need.Repository != "" && (slices.Contains(given, string(need.Action)) || slices.Contains(given, everyAction))
}

// grantable returns what of the scopes a principal may have.
func grantable(p *principal, scopes []resourceAccess) []resourceAccess {
	claim := []resourceAccess{} // encodes as a list, also empty
	for _, scope := range scopes {
		var given []string
		switch {
		case scope.Type == typeRegistry && scope.Name == nameCatalog:
			if p.May(registry.Need{Action: registry.ActionList}) {
				given = []string{everyAction}
			}
		case scope.Type == typeRepository:
			for _, a := range actions {
				asked := slices.Contains(scope.Actions, string(a)) || slices.Contains(scope.Actions, everyAction)
				if asked && p.May(registry.Need{Action: a, Repository: scope.Name}) {
					given = append(given, string(a))
				}
			}
		}
		if len(given) > 0 {
			claim = append(claim, resourceAccess{scope.Type, scope.Name, given})
		}
	}
	return claim
}
