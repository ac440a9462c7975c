// Package metrics counts what a registry does, logs its requests and says
// whether it is well.
//
// What enters: the registry as an http.Handler, and functions that tell the
// state of what it rests on. What leaves: a handler around it that counts, and
// one for those who run the server, with /metrics in Prometheus' text format,
// /livez and /readyz.
//
// Nothing here is global: every [Metrics] has a registry of its own.
package metrics
