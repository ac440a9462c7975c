// Command conformance asks a registry, known by its URL only, whether it does
// what the OCI distribution specification says.
//
//	go run ./conformance --url http://localhost:5000 --profile dev
//
// What enters are requests that clients send, good ones and bad ones; what
// leaves is a table of tests with the endpoint of the specification, how strong
// its word is (MUST, SHOULD, MAY) and the result. A test fails when the registry
// breaks the specification, and is skipped when the registry says that it does
// not support what is tested. Only a registry without failures and skips makes
// the exit code 0.
//
// Profile 1.1 is the released specification, v1.1.1; profile dev is its main
// branch: https://github.com/opencontainers/distribution-spec/blob/main/spec.md.
// Profile cloudlets is what cloudlets adds to it, and nothing else: no other
// registry passes it.
//
// The command imports nothing else of this module, so that it cannot share a
// mistake with the registry.
package main
