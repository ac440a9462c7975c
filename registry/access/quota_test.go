package access

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestQuotaHoldsUnderConcurrentUploads(t *testing.T) {
	const room, size = 10, 100_000
	now := newClock()
	s := start(t, Config{Quotas: []Quota{{"golden", room * size}, {"", 100 * size}}}, now.Now)
	push := func(repository string, i int, known bool) answer {
		content := fmt.Sprintf("%0*d", size, i)
		if known {
			return s.push(t, repository, "", content)
		}
		at := s.do(t, "POST", "/v2/"+repository+"/blobs/uploads/", "", "").want(t, 202).header.Get("Location")
		return s.stream(t, at, io.MultiReader(strings.NewReader(content))) // hides its length
	}
	var stored atomic.Int64
	var wg sync.WaitGroup
	for i := range 3 * room {
		wg.Go(func() {
			switch a := push(fmt.Sprintf("golden/%d", i%3), i, i%2 == 0); a.status {
			case 201, 202:
				stored.Add(1)
			case 403:
				if !strings.Contains(a.body, `"DENIED"`) || !strings.Contains(a.body, "quota of") {
					t.Errorf("refused with %s", a.body)
				}
			default:
				t.Errorf("got status %d: %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	used, err := s.meta.Usage(t.Context(), "golden")
	if err != nil || used > room*size || stored.Load() < 1 {
		t.Errorf("%d bytes of %d are used after %d uploads, %v", used, room*size, stored.Load(), err)
	}
	push("goldener", 1000, true).want(t, 201)
	push("other", 1001, false).want(t, 202)
	for i := 2000; i < 2000+3*room; i++ { // with nobody else at it, it can be filled
		now.pass(time.Minute)
		push("golden/x", i, true)
	}
	if used, err = s.meta.Usage(t.Context(), "golden"); err != nil || used <= (room-1)*size || used > room*size {
		t.Errorf("%d bytes of %d are used at last, %v", used, room*size, err)
	}
	now.pass(time.Minute)
	push("golden/x", 1, true).want(t, 403)
}
