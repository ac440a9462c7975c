package api

// ComponentRetention is the part of the extension that keeps and restores:
//
//	GET    …/_cloudlets/retention/holds                  what is on hold: []Hold
//	PUT    …/_cloudlets/retention/holds/<tag or digest>  puts it on hold; the body is a Hold
//	DELETE …/_cloudlets/retention/holds/<tag or digest>  lifts the hold
//	GET    …/_cloudlets/retention/removed                the last removed manifests: []Removed
//	POST   …/_cloudlets/retention/removed/<digest>       puts it again, with the tags of ?tag=
//
// All but GET need the right to administer the repository.
const ComponentRetention = "retention"

// Hold forbids that a tag is moved or deleted, or that a manifest or a blob is
// removed.
type Hold struct {
	Reference string `json:"reference,omitempty"` // left out of a request
	Reason    string `json:"reason"`
	Actor     string `json:"actor,omitempty"` // left out of a request
}

// Removed is a manifest that can be put again.
type Removed struct {
	Digest    string `json:"digest"`
	MediaType string `json:"mediaType"`
	Removed   string `json:"removed"` // RFC 3339
	Until     string `json:"until"`   // when it is too late, RFC 3339
}
