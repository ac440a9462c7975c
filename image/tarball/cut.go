package tarball

import "io"

// FrameSize is the most bytes between two cuts.
const FrameSize = 128 << 10

// FrameWriter takes a stream that is cut into frames. Cut ends the frame that
// the bytes written before it belong to; it is never called for an empty one,
// and always after the last. Write must not keep or change the bytes it is
// given.
type FrameWriter interface {
	io.Writer
	Cut() error
}

// Visitor is told of each entry before its content is passed. Where it returns
// a writer, that gets the content of the entry as it stands in the tar. An
// error ends the work.
type Visitor func(*Entry) (content io.Writer, err error)

// Cut copies a tar from r to w, byte by byte the same, and cuts it into frames:
// each file's content begins a frame and ends one, is cut every FrameSize bytes
// of its own, and what stands between files — padding and headers — is framed
// apart from them. A file that is the same in two tars makes the same frames in
// both, wherever it stands.
//
// Cut reads all headers while it is at it, and returns an error, after the bytes
// before it were written, where r is not a whole and valid tar, up to the two
// blocks of zeros that end it. visit may be nil.
func Cut(r io.Reader, w FrameWriter, visit Visitor) error {
	in := newStream(r, w)
	tr := &Reader{in: in, strictEnd: true}
	for {
		e, err := tr.Next()
		if err == io.EOF {
			return in.rest()
		}
		if err != nil {
			return err
		}
		in.tee = nil
		if visit == nil {
			continue
		}
		if in.tee, err = visit(e); err != nil {
			return err
		}
	}
}
