// Package access says who sends a request to the registry, and what they may do.
//
// What enters: a [Config]; requests with a user name and password (htpasswd,
// bcrypt), a bearer token (a JWT of our own or of somebody else's), a client
// certificate, or nothing. What leaves: a principal that may do all that a
// request needs, or an answer that is the same whether or not a repository
// exists: 401 with a challenge, 403, or 429.
//
// [Control] is a registry.Access, and serves the endpoint that issues tokens.
// [Ledger] is a registry.Quota. [TLS] serves certificates that are read again
// when they change, as all files here are.
//
// No password, token or key is logged, or part of an error.
//
// Specifications: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 7519 (JWT), RFC 7517
// (JWK), and Docker's token authentication,
// https://distribution.github.io/distribution/spec/auth/token/
package access
