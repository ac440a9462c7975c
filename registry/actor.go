package registry

import "context"

type actorKey struct{}

// anonymous is the actor of a request that nobody authenticated.
const anonymous = "anonymous"

// WithActor returns a context whose changes are recorded as the actor's.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns whom the changes of a context are recorded as.
func ActorOf(ctx context.Context) string { return actorOf(ctx) }

func actorOf(ctx context.Context) string {
	if actor, ok := ctx.Value(actorKey{}).(string); ok {
		return actor
	}
	return anonymous
}
