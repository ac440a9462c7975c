package api

// ComponentHistory is the part of the extension that tells what a tag pointed to:
//
//	GET …/_cloudlets/history/<tag>?n=&last=  its changes, the newest first: a TagHistory
//
// A Link header leads to older changes, as in lists of tags. A history outlives
// its tag.
const ComponentHistory = "history"

// TagHistory is a page of a tag's changes.
type TagHistory struct {
	Name   string     `json:"name"` // of the repository
	Tag    string     `json:"tag"`
	Events []TagEvent `json:"events"`
}

// TagEvent is one change of a tag.
type TagEvent struct {
	ID       int64  `json:"id"`                 // what the parameter last goes by
	Digest   string `json:"digest,omitempty"`   // what the tag points to since; left out where it was deleted
	Previous string `json:"previous,omitempty"` // what it pointed to before; left out where it was new
	// Actor is who changed it. Only who may push is told.
	Actor string `json:"actor,omitempty"`
	At    string `json:"at"` // RFC 3339
}
