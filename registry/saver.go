package registry

import "github.com/cloudlets/cloudlets/blobstore"

// saver saves the state of an upload, one after the other, while more is
// received: a commit may take as long as the disk takes for all that was
// written. It is used by one goroutine, which has to wait at the end.
type saver struct {
	save func(blobstore.Upload) error
	done chan error // nil while nothing is being saved
}

// begin begins to save a state, once the one before is.
func (s *saver) begin(state func() (blobstore.Upload, error)) error {
	if err := s.wait(); err != nil {
		return err
	}
	now, err := state()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.save(now) }()
	s.done = done
	return nil
}

// wait waits for what is being saved.
func (s *saver) wait() error {
	if s.done == nil {
		return nil
	}
	err := <-s.done
	s.done = nil
	return err
}
