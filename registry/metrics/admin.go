package metrics

import (
	"context"
	"errors"
	"net"
	"net/http"
	"syscall"
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
				answer(w, http.StatusServiceUnavailable, c.Name+": "+reason(err)+"\n")
				return
			}
		}
		answer(w, http.StatusOK, "ok\n")
	})
	return mux
}

// ErrStopping says that the server takes no new requests.
var ErrStopping = errors.New("the server is stopping")

// reason says what is wrong as far as no error says it: those may hold more than
// whoever asks should know.
func reason(err error) string {
	var network *net.OpError
	switch {
	case errors.Is(err, ErrStopping):
		return ErrStopping.Error()
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "no space left on device"
	case errors.Is(err, syscall.EROFS):
		return "the disk can only be read"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer within " + checkTimeout.String()
	case errors.As(err, &network):
		return "cannot be reached"
	}
	return "failed, the log says more"
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // a client that is gone has no use for it
}
