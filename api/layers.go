package api

// ComponentLayers is the part of the extension that reads layers of frames in
// pieces.
//
//	GET  /v2/<repository>/_cloudlets/layers/<digest>/headers  → frame index, bits, frames
//	POST /v2/<repository>/_cloudlets/layers/<digest>/frames   body: bits → frames
//
// The answer of the GET has the form of what a PUT of frames sends (see
// [ComponentFrames]); its frames are those with tar headers in them, so that a
// client learns what files an image has from a hundredth of its bytes. The POST
// asks for any others: one bit for each frame of the index, most significant
// first, padded to a byte. Frames are sent as they are stored, in order: whoever
// has the index, whose digest the layer's descriptor tells, can verify each.
const ComponentLayers = "layers"
