// Package frames serves the frames extension of the registry's API (package
// api): a client that pushes a layer sends only the frames that the registry
// lacks.
//
// What enters: the frame index of a layer and the frames that no older layer of
// the repository has. What leaves: the layer, kept as an extent map over the new
// frames and the older layers, once its digest was computed from them.
//
// Frames are taken only from layers of the same repository, so nobody learns
// from what is missing more than could be pulled anyway.
package frames
