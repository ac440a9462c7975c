// Package convertertest helps the tests of converters ask other people's tools
// whether an output is right.
//
// What enters: extent maps, and the names of tools such as qemu-img. What
// leaves: sparse files those tools can read, what they print, and test failures
// that say which Debian package is missing. It is for tests alone.
package convertertest
