// Package lazy fetches content of layers when it is read, and keeps it near.
//
// What enters: the frame index of a layer, a [Source] that sends frames of it, and
// the extent map of a disk made of such layers. What leaves: a [Disk] whose reads
// wait for the frames that they touch and for nothing else.
//
// A [Cache] keeps the decoded content of frames in one sparse file a layer, at
// the offsets where it stands in the layer, so that a read of what is held is a
// read of a file. Frames are verified against the index before they are kept.
// What is missing is fetched in batches: while some requests are under way, what
// is asked for is gathered for the next one. Content that nobody waits for yet —
// what follows a sequential read, what a [Trace] of an earlier boot has listed, the
// rest of the disk in the order of its plan — is fetched when no read waits to be
// asked for.
package lazy
