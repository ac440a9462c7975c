package api

import "github.com/opencontainers/go-digest"

// Sending only the frames that a registry lacks.
//
//	GET  /v2/<repository>/_cloudlets/frames           → Elders
//	POST /v2/<repository>/_cloudlets/frames/<digest>  body: frame index → Offer
//	PUT  /v2/<repository>/_cloudlets/frames/<digest>  body: frame index, frames → 201
//
// <digest> is the digest of the whole blob. The body of the PUT is the encoded
// index, one bit for each frame, most significant first, that says whether the
// frame follows, and those frames as stored, in order. The registry takes the
// other frames from blobs it holds, and answers 201 once it has computed the
// digest of the whole.
const (
	ComponentFrames = "frames"

	// MediaTypeFrameIndex is an encoded frame index (docs/frames.md).
	MediaTypeFrameIndex = "application/vnd.cloudlets.frames.index.v1"
	// MediaTypeFrames is the body of the PUT.
	MediaTypeFrames = "application/vnd.cloudlets.frames.v1"
	// HeaderIndexSize, on the PUT, is the length of the index in bytes.
	HeaderIndexSize = "Cloudlets-Index-Size"
)

// Elders says how many blobs of frames new ones can share with.
type Elders struct {
	Blobs int `json:"blobs"`
}

// Offer answers an offered frame index.
type Offer struct {
	// Exists says that the repository holds the blob: there is nothing to send.
	Exists bool `json:"exists,omitempty"`
	// Missing are the frames to send.
	Missing []FrameRange `json:"missing"`
	// Bytes is how many bytes those are, as stored.
	Bytes int64 `json:"bytes"`
}

// FrameRange is a run of frames of an index.
type FrameRange struct {
	First int `json:"first"`
	Count int `json:"count"`
}

// Blob is what an upload answers.
type Blob struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`
}
