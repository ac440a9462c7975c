// Package template renders the templates of an image: EmbeddedJS, as the
// Cloudlets format 0.0.4 has it and as the ejs package for Node (version 3)
// defines it, except that <%= prints raw.
//
// What enters: the templates' bytes, and the data that is in scope as JSON. What
// leaves: the rendered bytes, or an [Error] with the template's path, line and
// source line.
//
// Templates are foreign code. They run in goja, which has no I/O, in a child
// process: this same executable, started again with a hidden argument. Programs
// that render, and tests of packages that do, call [Main] before anything else.
// The child has an empty environment, no files but its pipes, and bounds on time,
// memory, stack and output ([Limits]); what a bound inside of it does not stop,
// killing it does.
//
// The same input gives the same bytes on every machine: the clock stands at
// 1970-01-01T00:00:00Z, the time zone is UTC, Math.random gives the same numbers
// in every template, and every template runs in a runtime of its own.
//
// docs/templates.md is the description for authors of images.
package template
