// Package registry is an OCI registry as an [http.Handler].
//
// What enters: requests of the OCI distribution specification v1.1, with what
// its main branch adds (digest-algorithm, ?tag= on manifests, upload
// cancellation), and Docker's schema 2 media types. What leaves: blobs out of a
// blobstore.Store, manifests out of a metadata.Store, byte for byte as pushed.
//
// A write is acknowledged once its bytes are durable and the transaction that
// makes them visible is committed, in this order; no transaction is open while
// bytes move. An upload's state is saved as it grows, so that it goes on where
// it stood after a restart. Timeouts are idle timeouts: they run while nothing
// moves.
//
// Requests below /v2/<name>/_cloudlets/<component>/ go to the handler that
// [Config.Extensions] names, so that other rooms serve interfaces of their own
// beside the specification's.
//
// Specification: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
package registry
