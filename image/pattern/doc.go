// Package pattern matches the regular expressions of a cloudlet manifest: those
// of Python's module re, which the format was made with, and those of JSON
// schemas (ECMA-262).
//
// What enters: an expression and a text, either of which may be hostile. What
// leaves: whether it matches, or an error that wraps [ErrTooMuchWork]; never a
// guess, and never after more work than the caller's [Budget] allows.
//
// An expression without look-around, back-references and the like is run by
// package regexp, in time linear in the text. The others are run by a
// backtracking matcher whose steps are counted. Steps, and not a clock, so that
// the same expression gives the same answer on every machine.
//
// The reference is Python 3.11: https://docs.python.org/3.11/library/re.html.
// Characters by name (\N{...}) and flags for bytes ((?L)) are refused.
package pattern
