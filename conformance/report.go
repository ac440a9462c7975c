package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is what a run has found.
type report struct {
	URL     string   `json:"url"`
	Profile profile  `json:"profile"`
	Seconds float64  `json:"seconds"`
	Results []result `json:"results"`
}

// count returns how many tests had an outcome.
func (r report) count(o outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Outcome == o {
			n++
		}
	}
	return n
}

func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeTable writes a line for each test, then what was found by those that did
// not pass, then the sums.
func (r report) writeTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "GROUP\tTEST\tENDPOINT\tLEVEL\tRESULT")
	for _, result := range r.Results {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", result.Group, result.Test, result.End, result.Level, result.Outcome)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, result := range r.Results {
		if result.Outcome != passed {
			fmt.Fprintf(w, "\n%s %s/%s (%s, %s, section %q)\n%s", result.Outcome, result.Group, result.Test,
				result.End, result.Level, result.Section, result.Finding)
		}
	}
	_, err := fmt.Fprintf(w, "\n%s, profile %s: %d passed, %d failed, %d skipped, in %.1f s\n",
		r.URL, r.Profile, r.count(passed), r.count(failed), r.count(skipped), r.Seconds)
	return err
}

// String returns the finding as indented lines.
func (f finding) String() string {
	var s string
	if f.Request != "" {
		s += "  request:  " + f.Request + "\n"
	}
	if f.Want != "" {
		return s + "  expected: " + f.Want + "\n  came:     " + f.Got + "\n"
	}
	return s + "  reason:   " + f.Got + "\n"
}

// The elements of JUnit's XML that CI systems read.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes the report as JUnit's XML, with a suite for each group.
func (r report) writeJUnit(w io.Writer) error {
	doc := junitSuites{Tests: len(r.Results), Failures: r.count(failed), Skipped: r.count(skipped)}
	for _, result := range r.Results {
		if n := len(doc.Suites); n == 0 || doc.Suites[n-1].Name != result.Group {
			doc.Suites = append(doc.Suites, junitSuite{Name: result.Group})
		}
		doc.Suites[len(doc.Suites)-1].add(result)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	return e.Encode(doc)
}

func (s *junitSuite) add(r result) {
	c := junitCase{Class: r.Group, Name: r.Test, Time: fmt.Sprintf("%.3f", r.Seconds)}
	message := &junitMessage{
		Message: fmt.Sprintf("%s %s, section %q", r.End, r.Level, r.Section),
		Text:    r.Finding.String(),
	}
	s.Tests++
	switch r.Outcome {
	case failed:
		c.Failure = message
		s.Failures++
	case skipped:
		c.Skipped = message
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}
