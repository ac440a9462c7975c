package main

import (
	"context"
	"slices"
	"strings"
	"time"
)

// profile is a version of the specification, or what is added to it.
type profile string

const (
	profileReleased  profile = "1.1"
	profileDev       profile = "dev"
	profileCloudlets profile = "cloudlets" // the extension alone
)

// level is how strong the specification's word is.
type level string

const (
	must   level = "MUST"
	should level = "SHOULD"
	may    level = "MAY"
)

// test is one thing that the specification says.
type test struct {
	name    string
	end     string // endpoint: its number in the specification's table
	level   level
	section string // of the specification
	dev     bool   // only the main branch of the specification says so
	run     func(*trial)
}

// group is tests of one subject. They run in their order, and none relies on
// another having run.
type group struct {
	name  string
	tests []test
}

// outcome is what became of a test.
type outcome string

const (
	passed  outcome = "pass"
	failed  outcome = "FAIL"
	skipped outcome = "skip"
)

// result is a test with its outcome.
type result struct {
	Group   string  `json:"group"`
	Test    string  `json:"test"`
	End     string  `json:"end"`
	Level   level   `json:"level"`
	Section string  `json:"section"`
	Outcome outcome `json:"outcome"`
	Finding finding `json:"finding,omitzero"`
	Seconds float64 `json:"seconds"`
}

// finding says why a test did not pass.
type finding struct {
	Request string `json:"request,omitempty"` // the last one, "GET /v2/"
	Want    string `json:"want,omitempty"`    // empty where the test was skipped
	Got     string `json:"got"`
}

// runAll runs the tests whose name begins with filter.
func (s *session) runAll(ctx context.Context, groups []group, filter string) report {
	r := report{URL: s.base.String(), Profile: s.profile}
	began := time.Now()
	for _, g := range groups {
		for _, tt := range g.tests {
			if tt.dev && s.profile != profileDev || !strings.HasPrefix(g.name+"/"+tt.name, filter) {
				continue
			}
			if ctx.Err() != nil {
				return r
			}
			r.Results = append(r.Results, s.runTest(ctx, g.name, tt))
		}
	}
	r.Seconds = time.Since(began).Seconds()
	return r
}

// runTest runs a test in a goroutine of its own, so that it can end anywhere.
func (s *session) runTest(ctx context.Context, group string, tt test) result {
	t := &trial{session: s, ctx: ctx}
	began := time.Now()
	t.isolate(func() {
		tt.run(t)
		t.outcome = passed
	})
	for _, clean := range slices.Backward(t.cleanups) {
		t.isolate(clean)
	}
	return result{
		Group: group, Test: tt.name, End: tt.end, Level: tt.level, Section: tt.section,
		Outcome: t.outcome, Finding: t.finding, Seconds: time.Since(began).Seconds(),
	}
}
