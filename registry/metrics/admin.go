package metrics

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// checkTimeout is how long all checks of /readyz may take.
const checkTimeout = 5 * time.Second

// Check is something that the registry rests on.
type Check struct {
	Name string
	Run  func(ctx context.Context) error
}

// Admin returns the handler for those who run the server. /livez says that the
// process answers, /readyz that all checks pass, /metrics what was counted.
func (m *Metrics) Admin(checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		for _, c := range checks {
			if err := c.Run(ctx); err != nil {
				m.log.WarnContext(ctx, "not ready", "check", c.Name, "error", err)
				answer(w, http.StatusServiceUnavailable, fmt.Sprintf("%s: %v\n", c.Name, err))
				return
			}
		}
		answer(w, http.StatusOK, "ok\n")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that is gone has no use for it
}
