// Command bench measures cloudlets against the tools it is to replace, on a
// real Debian root filesystem, and prints a table in Markdown.
//
// What is compared alternates within one run, several times; the table has the
// medians and their ratio. Run it with `make bench`, which makes the root
// filesystems and installs the other tools, or parts of it with
// `make bench BENCH=registry`; results of one run are in docs/benchmarks.md.
package main
