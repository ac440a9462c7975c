package metrics

import (
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// series are the counters of one endpoint and method, found once.
type series struct {
	endpoint, method string

	duration       prometheus.Observer
	received, sent prometheus.Counter
	codes          [maxStatus]atomic.Pointer[prometheus.Counter]
}

// maxStatus is above all codes of HTTP.
const maxStatus = 600

type seriesKey struct{ endpoint, method string }

// seriesTable finds the series of a request without making up labels.
type seriesTable struct{ byKey sync.Map }

func (t *seriesTable) get(m *Metrics, endpoint, method string) *series {
	key := seriesKey{endpoint, method}
	if s, ok := t.byKey.Load(key); ok {
		return s.(*series)
	}
	s, _ := t.byKey.LoadOrStore(key, &series{
		endpoint: endpoint,
		method:   method,
		duration: m.duration.WithLabelValues(endpoint, method),
		received: m.received.WithLabelValues(endpoint, method),
		sent:     m.sent.WithLabelValues(endpoint, method),
	})
	return s.(*series)
}

// code returns the counter of a status.
func (s *series) code(m *Metrics, status int) prometheus.Counter {
	status = min(max(status, 0), maxStatus-1)
	if c := s.codes[status].Load(); c != nil {
		return *c
	}
	c := m.requests.WithLabelValues(s.endpoint, s.method, strconv.Itoa(status))
	s.codes[status].Store(&c)
	return c
}

// methodName bounds the methods that there are series of: clients may make up
// others.
func methodName(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
