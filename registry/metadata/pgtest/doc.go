// Package pgtest gives tests a real PostgreSQL: one server per test binary, one
// empty database per test. What enters: Debian's package postgresql. What leaves:
// connection strings. The server ends with the test binary, however that ends.
package pgtest
