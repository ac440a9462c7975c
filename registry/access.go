package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/cloudlets/cloudlets/api"
)

// Action is what a request does to a repository.
type Action string

// The actions that rights are given for.
const (
	ActionPull   Action = "pull"   // read what it holds
	ActionPush   Action = "push"   // add to it, and move its tags
	ActionDelete Action = "delete" // remove from it
	ActionRender Action = "render" // have its images rendered
	ActionAdmin  Action = "admin"  // run it: holds, collection
)

// ActionList is to learn that a repository exists. No rule gives it: an [Access]
// derives it from the right to pull.
const ActionList Action = "list"

// Need is one thing that a request does.
type Need struct {
	Action Action
	// Repository is what it is done to. Empty is the whole registry: every
	// repository, or for ActionList, any.
	Repository string
}

// Access decides who may do what.
type Access interface {
	// Authorize says who sends a request, if they may do all that it needs; with
	// no needs, if they are welcome at all. The error is an [Error], and the same
	// whether or not a repository exists. A nil principal may do everything.
	Authorize(r *http.Request, needs ...Need) (Principal, error)
}

// Principal is whoever sends a request.
type Principal interface {
	Name() string // in the tags' history and the log
	May(Need) bool
}

// Quota bounds what is pushed.
type Quota interface {
	// Admit counts the bytes of a body that are pushed to a repository, until it
	// is closed. length is that of the body, or negative where it is not known. The error, of Admit or
	// of reading, is an [Error] once they are too many.
	Admit(ctx context.Context, repository string, body io.ReadCloser, length int64) (io.ReadCloser, error)
}

type principalKey struct{}

// withPrincipal returns a context whose changes are recorded as the principal's,
// and in which it is asked for what it may do.
func withPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(WithActor(ctx, p.Name()), principalKey{}, p)
}

// Allowed says whether whoever sent the request of a context may do one more
// thing, which shows only while the request is served. Where no access is
// configured, and where there is no request, everything is allowed.
func Allowed(ctx context.Context, need Need) bool {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return !ok || p.May(need)
}

// restricted says whether [Allowed] may say no.
func restricted(ctx context.Context) bool { return ctx.Value(principalKey{}) != nil }

// authorize returns the request of somebody who may do what it asks for.
func (s *Server) authorize(r *http.Request, rt route) (*http.Request, error) {
	if s.access == nil {
		return r, nil
	}
	p, err := s.access.Authorize(r, needs(r.Method, rt)...)
	if err != nil || p == nil {
		return r, err
	}
	return r.WithContext(withPrincipal(r.Context(), p)), nil
}

// admit counts the body of a request that pushes content. It changes r.
func (s *Server) admit(r *http.Request, rt route) (done func(), err error) {
	pushes := r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
	if s.quota == nil || rt.name == "" || !pushes {
		return func() {}, nil
	}
	length := r.ContentLength
	if r.Method == http.MethodPost && length == 0 {
		length = -1 // what begins here goes on in other requests
	}
	body, err := s.quota.Admit(r.Context(), rt.name, io.NopCloser(r.Body), length)
	if err != nil {
		return nil, err
	}
	r.Body = body
	return func() { body.Close() }, nil
}

// methodActions are the actions of methods, where an endpoint has no others.
var methodActions = map[string]Action{
	http.MethodGet:    ActionPull,
	http.MethodHead:   ActionPull,
	http.MethodDelete: ActionDelete,
}

// needs returns what a request does.
func needs(method string, rt route) []Need {
	one := func(a Action) []Need { return []Need{{a, rt.name}} }
	switch rt.endpoint {
	case endpointBase:
		return nil
	case endpointCatalog:
		return []Need{{ActionList, ""}}
	case endpointUploads, endpointUpload:
		return one(ActionPush)
	case endpointExtension:
		return extensionNeeds(method, rt)
	}
	if action, ok := methodActions[method]; ok {
		return one(action)
	}
	return one(ActionPush)
}

// extensionNeeds returns what a request to an extension does. Frames of elders
// are reused only by somebody who could pull them.
func extensionNeeds(method string, rt route) []Need {
	action, ok := methodActions[method]
	switch {
	case rt.reference == api.ComponentFrames:
		return []Need{{ActionPull, rt.name}, {ActionPush, rt.name}}
	case rt.reference == api.ComponentLayers:
		action = ActionPull // whatever the method: the POST reads too
	case rt.reference == api.ComponentRenders && action != ActionPull:
		action = ActionRender
	case rt.reference == api.ComponentRetention && action != ActionPull:
		action = ActionAdmin
	case !ok:
		action = ActionPush
	}
	return []Need{{action, rt.name}}
}

// listed returns the names of repositories that whoever asks may learn of: at
// most limit, sorted, after last.
func (s *Server) listed(ctx context.Context, last string, limit int) ([]string, error) {
	if !restricted(ctx) {
		return s.meta.Repositories(ctx, last, limit)
	}
	var found []string
	for len(found) < limit {
		names, err := s.meta.Repositories(ctx, last, maxPage)
		if err != nil {
			return nil, fmt.Errorf("list what may be seen: %w", err)
		}
		for _, name := range names {
			if Allowed(ctx, Need{ActionList, name}) && len(found) < limit {
				found = append(found, name)
			}
		}
		if len(names) < maxPage {
			break
		}
		last = names[len(names)-1]
	}
	return found, nil
}
