package events

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// MediaType is that of an envelope.
const MediaType = "application/vnd.docker.distribution.events.v1+json"

// Envelope is the body of a request to an endpoint.
type Envelope struct {
	Events []Event `json:"events"`
}

// Event is one change or pull, as endpoints read it.
type Event struct {
	ID        string    `json:"id"`
	Timestamp time.Time `json:"timestamp"`
	Action    string    `json:"action"` // push, pull, delete or mount
	Target    Target    `json:"target"`
	Request   Request   `json:"request"`
	Actor     Actor     `json:"actor"`
	Source    Source    `json:"source"`
}

// Target is what an event is about.
type Target struct {
	MediaType      string        `json:"mediaType,omitempty"`
	Digest         digest.Digest `json:"digest,omitempty"`
	Size           int64         `json:"size,omitempty"`   // in bytes
	Length         int64         `json:"length,omitempty"` // the same as Size
	Repository     string        `json:"repository"`
	FromRepository string        `json:"fromRepository,omitempty"` // of a mount
	URL            string        `json:"url,omitempty"`
	Tag            string        `json:"tag,omitempty"`
	// References are the descriptors of a manifest that was pushed.
	References []metadata.Descriptor `json:"references,omitempty"`
}

// Request is what has led to an event; its fields are empty where the registry
// has acted by itself.
type Request struct {
	ID        string `json:"id"`
	Addr      string `json:"addr,omitempty"` // of the client
	Host      string `json:"host,omitempty"`
	Method    string `json:"method"`
	UserAgent string `json:"useragent"`
}

// Actor is whoever has caused an event.
type Actor struct {
	Name string `json:"name,omitempty"`
}

// Source is the server that an event comes from.
type Source struct {
	Addr       string `json:"addr,omitempty"`
	InstanceID string `json:"instanceID,omitempty"`
}

// wire returns an event as endpoints read it.
func wire(e metadata.Event) Event {
	o := e.Origin
	return Event{
		ID: e.ID, Timestamp: e.At, Action: string(e.Action),
		Target: Target{
			MediaType: e.MediaType, Digest: e.Digest, Size: e.Size, Length: e.Size,
			Repository: e.Repository, FromRepository: e.From, URL: targetURL(e), Tag: e.Tag, References: e.References,
		},
		Request: Request{ID: o.RequestID, Addr: o.Address, Host: o.Host, Method: o.Method, UserAgent: o.UserAgent},
		Actor:   Actor{Name: o.Actor},
		Source:  Source{Addr: o.Source.Address, InstanceID: o.Source.Instance},
	}
}

// targetURL returns where to get what an event is about, as its client would.
func targetURL(e metadata.Event) string {
	if e.Origin.Base == "" || e.Digest == "" {
		return ""
	}
	kind := "blobs"
	if e.Manifest {
		kind = "manifests"
	}
	return e.Origin.Base + "/v2/" + e.Repository + "/" + kind + "/" + string(e.Digest)
}

// encode returns the body of a request that tells of events.
func encode(told []metadata.Event) ([]byte, error) {
	envelope := Envelope{Events: make([]Event, len(told))}
	for i, e := range told {
		envelope.Events[i] = wire(e)
	}
	body, err := json.Marshal(envelope)
	if err != nil {
		return nil, fmt.Errorf("encode events: %w", err)
	}
	return body, nil
}
