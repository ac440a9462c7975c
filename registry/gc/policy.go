package gc

import (
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Policy says what repositories keep. Of several rules the first that matches a
// repository counts; one that no rule matches keeps everything.
type Policy struct {
	Rules []Rule `json:"rules"`
}

// Rule is what the repositories keep that match a pattern. Whatever it says,
// nothing that is on hold goes.
type Rule struct {
	// Repositories is a pattern of path.Match, by components: golden/* is
	// golden/debian, golden/** is everything below golden, ** is everything.
	Repositories string `json:"repositories"`
	// KeepTags are patterns of path.Match: tags that stay however old they are.
	KeepTags []string `json:"keepTags,omitempty"`
	// KeepNewest is how many of the other tags stay, those moved last; zero is
	// all of them.
	KeepNewest int `json:"keepNewest,omitempty"`
	// DeleteUntagged is how long a manifest stays that no tag, index or subject
	// holds; zero is for ever. It is never less than the life of a lease.
	DeleteUntagged Duration `json:"deleteUntagged,omitempty"`
}

// Duration is a time.Duration that is written as "720h" in JSON.
type Duration time.Duration

// UnmarshalText reads a duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// ReadPolicy reads a policy as JSON and checks it. Unknown keys are refused.
func ReadPolicy(r io.Reader) (Policy, error) {
	var p Policy
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("read retention policy: %w", err)
	}
	return p, p.Check()
}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	for i, r := range p.Rules {
		if err := r.check(); err != nil {
			return fmt.Errorf("retention rule %d: %w", i+1, err)
		}
	}
	return nil
}

func (r Rule) check() error {
	if r.Repositories == "" {
		return fmt.Errorf("it has no pattern of repositories: ** stands for all")
	}
	if r.KeepNewest < 0 {
		return fmt.Errorf("keepNewest is %d, expected 0 (all) or more", r.KeepNewest)
	}
	if r.DeleteUntagged < 0 {
		return fmt.Errorf("deleteUntagged is %v, expected 0 (never) or more", time.Duration(r.DeleteUntagged))
	}
	if len(r.KeepTags) > 0 && r.KeepNewest == 0 {
		return fmt.Errorf("keepTags is of no use where keepNewest does not limit the others")
	}
	for _, pattern := range append([]string{strings.TrimSuffix(r.Repositories, "**")}, r.KeepTags...) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	return nil
}

// rule returns the rule for a repository: the zero rule keeps everything.
func (p Policy) rule(repository string) Rule {
	for _, r := range p.Rules {
		if r.matches(repository) {
			return r
		}
	}
	return Rule{}
}

func (r Rule) matches(repository string) bool {
	if r.Repositories == "**" {
		return true
	}
	if above, ok := strings.CutSuffix(r.Repositories, "/**"); ok {
		return strings.HasPrefix(repository, above+"/")
	}
	matched, err := path.Match(r.Repositories, repository)
	return matched && err == nil
}

// keepUntagged is the policy as a review asks for it.
func (p Policy) keepUntagged(repository string) time.Duration {
	if d := p.rule(repository).DeleteUntagged; d > 0 {
		return time.Duration(d)
	}
	return metadata.Forever
}

// retired returns the tags that a rule does not keep. The newest comes first in
// tags.
func (r Rule) retired(tags []metadata.TagAge) []metadata.TagAge {
	if r.KeepNewest == 0 {
		return nil
	}
	var old []metadata.TagAge
	kept := 0
	for _, tag := range tags {
		if r.keeps(tag.Name) {
			continue
		}
		if kept++; kept > r.KeepNewest {
			old = append(old, tag)
		}
	}
	return old
}

func (r Rule) keeps(tag string) bool {
	for _, pattern := range r.KeepTags {
		if matched, err := path.Match(pattern, tag); matched && err == nil {
			return true
		}
	}
	return false
}
