package lazy

import (
	"context"
	"time"
)

const (
	// attempts is how often in a row something is fetched that brings nothing.
	attempts = 6
	// firstPause is the time after the first of them; it doubles.
	firstPause = 100 * time.Millisecond
)

// Persist calls fetch until it succeeds. Where it fails it is called again after a
// pause, as long as again says that this may help, and until it has failed six times
// in a row without bringing anything. Its error is that of the last call.
func Persist(ctx context.Context, again func(error) bool, fetch func() (brought int, err error)) error {
	pause := firstPause
	for failed := 0; ; {
		brought, err := fetch()
		if err == nil {
			return nil
		}
		if brought > 0 {
			failed, pause = 0, firstPause
		}
		if failed++; failed == attempts || !again(err) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}
