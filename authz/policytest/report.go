package policytest

import (
	"fmt"
	"slices"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Kind is which part of a file a Result is about.
type Kind string

// Kinds of results.
const (
	OfPolicy    Kind = "policy"
	OfWorld     Kind = "world"
	OfCheck     Kind = "check"
	OfList      Kind = "list"
	OfGift      Kind = "gift"
	OfInvariant Kind = "invariant"
)

// Result is what came of one entry of a test file.
type Result struct {
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Kind      Kind     `json:"kind"`
	Name      string   `json:"name"`
	Questions int      `json:"questions"` // that were asked for it
	Passed    bool     `json:"passed"`
	Failures  []string `json:"failures,omitempty"` // without file and line
}

func (r *Result) fail(format string, args ...any) {
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, fmt.Sprintf(format, args...))
	}
}

// maxFailures of one result are told.
const maxFailures = 10

// Lines writes a line for each failure, with file and line before it.
func (r Result) Lines() []string {
	out := make([]string, len(r.Failures))
	for i, f := range r.Failures {
		out[i] = fmt.Sprintf("%s:%d: %s", r.File, r.Line, f)
	}
	return out
}

// Report is what came of a run.
type Report struct {
	Results  []Result `json:"results"`
	Coverage Coverage `json:"coverage"`
}

// Passed reports whether everything did. A report without results did not.
func (r Report) Passed() bool {
	return len(r.Results) > 0 && !slices.ContainsFunc(r.Results, func(x Result) bool { return !x.Passed })
}

// Count returns how many results of a kind there are and how many passed.
func (r Report) Count(k Kind) (all, passed int) {
	for _, x := range r.Results {
		if x.Kind == k {
			all++
			if x.Passed {
				passed++
			}
		}
	}
	return all, passed
}

// Coverage says which parts of a policy a run rested on. A row of roles.csv
// counts when an allow that was expected came about by it: a p or g row through
// the role that decided, a d row through a gift, an x row through an invariant
// that holds because of it.
type Coverage struct {
	Rules       []RuleCoverage `json:"rules"`
	Permissions []string       `json:"permissions"` // that no expected allow was about
	Roles       []string       `json:"roles"`       // that no expected allow came from
}

// RuleCoverage is a row and whether anything rested on it.
type RuleCoverage struct {
	authz.Rule
	Used bool `json:"used"`
}

// Used returns how many rows something rested on.
func (c Coverage) Used() int {
	n := 0
	for _, r := range c.Rules {
		if r.Used {
			n++
		}
	}
	return n
}
