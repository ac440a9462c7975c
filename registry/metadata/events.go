package metadata

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// EventAction is what happened to the target of an [Event].
type EventAction string

// What happens to manifests, tags and blobs.
const (
	EventPush   EventAction = "push"
	EventPull   EventAction = "pull" // never in the outbox: a pull is no transaction
	EventDelete EventAction = "delete"
	EventMount  EventAction = "mount"
)

// Event is one change of a repository, or one pull from it.
type Event struct {
	ID         string        `json:"id"` // the same however often it is told
	At         time.Time     `json:"at"`
	Action     EventAction   `json:"action"`
	Repository string        `json:"repository"`
	From       string        `json:"from,omitempty"` // the repository that a blob was mounted from
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"` // empty where a tag was deleted
	MediaType  string        `json:"mediaType,omitempty"`
	Size       int64         `json:"size,omitempty"` // in bytes
	// References are those of a manifest that was pushed.
	References []Descriptor `json:"references,omitempty"`
	// Manifest tells a manifest from a blob.
	Manifest bool   `json:"manifest,omitempty"`
	Origin   Origin `json:"origin"`
}

// Descriptor is what a manifest says of something that it refers to.
type Descriptor struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"` // in bytes
}

// Origin is where a change comes from.
type Origin struct {
	Actor  string `json:"actor,omitempty"`
	Source Source `json:"source"`
	// The request, where it was one.
	RequestID string `json:"requestId,omitempty"`
	Address   string `json:"address,omitempty"` // of the client
	Base      string `json:"base,omitempty"`    // URL of the registry as the client has it
	Host      string `json:"host,omitempty"`    // as the client has it
	Method    string `json:"method,omitempty"`
	UserAgent string `json:"userAgent,omitempty"`
}

// Source is the server that makes a change.
type Source struct {
	Address  string `json:"address,omitempty"`  // HOST:PORT
	Instance string `json:"instance,omitempty"` // another one each time it is started
}

type originKey struct{}

// WithOrigin returns a context whose changes come from o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// NewEvent returns an event with an id of its own. Its origin is the context's.
func NewEvent(ctx context.Context, at time.Time, e Event) Event {
	e.ID, e.At = newEventID(), at
	actor := e.Origin.Actor
	e.Origin, _ = ctx.Value(originKey{}).(Origin)
	if actor != "" {
		e.Origin.Actor = actor
	}
	return e
}

// newEventID returns a random UUID (RFC 9562, section 5.4).
func newEventID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// untold is an event of a transaction that has not been written yet.
type untold struct {
	repo  int64
	event Event
}

// tell has the outbox tell of a change, if the transaction is committed.
func (t *tx) tell(repo int64, e Event) {
	t.changes = append(t.changes, untold{repo, e})
}

// actedBy is the origin of a change whose actor the caller knows.
func actedBy(actor string) Origin { return Origin{Actor: actor} }

// tellManifest tells of a manifest that was pushed, once for each of its tags.
func (t *tx) tellManifest(repo int64, p ManifestPut) {
	e := Event{
		Action: EventPush, Digest: p.Manifest.Digest, MediaType: p.Manifest.MediaType,
		Size: int64(len(p.Manifest.Raw)), Manifest: true, Origin: actedBy(p.Actor),
	}
	for _, r := range p.References {
		e.References = append(e.References, Descriptor{MediaType: r.MediaType, Digest: r.Digest, Size: r.Size})
	}
	if len(p.Tags) == 0 {
		t.tell(repo, e)
	}
	for _, e.Tag = range p.Tags {
		t.tell(repo, e)
	}
}

// blobType is the media type of a blob as such: only manifests know another.
const blobType = "application/octet-stream"

// tellBlob tells of a blob that came into a repository.
func (t *tx) tellBlob(repo int64, action EventAction, d digest.Digest, size int64, from string) {
	t.tell(repo, Event{Action: action, Digest: d, Size: size, MediaType: blobType, From: from})
}

// tellShared is tellBlob for a blob whose record is there already.
func (t *tx) tellShared(repo int64, action EventAction, d digest.Digest, from string) error {
	var size int64
	if err := t.get(`SELECT size FROM blobs WHERE digest = $1`, []any{string(d)}, []any{&size}); err != nil {
		return orElse(err, errAgain) // it was collected meanwhile
	}
	t.tellBlob(repo, action, d, size, from)
	return nil
}

// writeEvents puts what the transaction has to tell into the outbox, if somebody
// wants to be told. It is the last thing that a transaction does: ids have to
// follow the order of the commits, so from here on the others wait for it.
func (t *tx) writeEvents() error {
	if len(t.changes) == 0 {
		return nil
	}
	wanted, err := t.exists(`SELECT 1 FROM event_endpoints LIMIT 1`)
	if err != nil || !wanted {
		t.changes = nil
		return err
	}
	if t.dialect.lockOutbox != "" {
		if _, err := t.exec(t.dialect.lockOutbox); err != nil {
			return err
		}
	}
	for _, c := range t.changes {
		if err := t.writeEvent(c); err != nil {
			return fmt.Errorf("write event: %w", err)
		}
	}
	return nil
}

func (t *tx) writeEvent(c untold) error {
	e := NewEvent(t.ctx, timeOf(t.now), c.event)
	e.Origin.Source = t.options.Source
	if err := t.get(`SELECT name FROM repositories WHERE id = $1`, []any{c.repo}, []any{&e.Repository}); err != nil {
		return err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO events (at, body) VALUES ($1, $2)`, t.now, body)
	return err
}
