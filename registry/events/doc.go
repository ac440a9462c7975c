// Package events tells HTTP endpoints what changes in a registry.
//
// What enters: the outbox of metadata.Store, in which every transaction that
// changes something has left what it did, and a list of endpoints. What leaves:
// requests with events in the format of distribution's notifications.
//
// Every endpoint is told of every change that was acknowledged, at least once, in
// the order of the commits, however often the server or the endpoint was down: how
// far it was told is kept beside the outbox, and moves on once it has answered
// with 2xx. Of several servers on one database one at a time tells an endpoint;
// it holds a lease that it renews. Only the bounds of the outbox end that: what is
// dropped by them is counted and logged.
//
// Pulls write no transaction. Endpoints that want to know of them are told as well
// as it goes: from memory, once, and not at all where too many wait.
//
// Format: https://distribution.github.io/distribution/about/notifications/
package events
