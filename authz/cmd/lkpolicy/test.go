package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lockkeeper/lockkeeper/authz/policytest"
)

type testCmd struct {
	Dir      string `arg:"" optional:"" default:"./policy" help:"Folder of the tests, and of the policy unless they name another within."`
	Output   string `short:"o" enum:"text,json,junit" default:"text" help:"How to write: text, json or junit."`
	Coverage bool   `help:"Tell what no test rests on."`
	Mutants  bool   `help:"Change the policy row by row and tell the changes that no test notices."`
	Verbose  bool   `short:"v" help:"Tell what passed, too."`
	Seed     uint64 `help:"Of the generated worlds."`
}

// answer is the JSON of a test run.
type answer struct {
	Version   int                  `json:"version"`
	Passed    bool                 `json:"passed"`
	Results   []policytest.Result  `json:"results"`
	Coverage  *policytest.Coverage `json:"coverage,omitempty"`
	Mutants   int                  `json:"mutants,omitempty"`
	Survivors []policytest.Mutant  `json:"survivors,omitempty"`
}

// Run tests.
func (c *testCmd) Run(ctx context.Context, o output) error {
	if st, err := os.Stat(c.Dir); err != nil || !st.IsDir() {
		return fmt.Errorf("%s: no such folder: name one that holds *_test.yaml", c.Dir)
	}
	fsys := os.DirFS(c.Dir)
	opts := &policytest.Options{Seed: c.Seed}
	rep, err := policytest.Run(ctx, fsys, opts)
	if err != nil {
		return err
	}
	a := answer{Version: version, Passed: rep.Passed(), Results: rep.Results}
	if c.Coverage {
		a.Coverage = &rep.Coverage
	}
	if c.Mutants && a.Passed {
		ms, err := policytest.Mutants(ctx, fsys, opts)
		if err != nil {
			return err
		}
		a.Mutants = len(ms)
		for _, m := range ms {
			if m.KilledBy == "" {
				a.Survivors, a.Passed = append(a.Survivors, m), false
			}
		}
	}
	switch c.Output {
	case "json":
		err = o.json(a)
	case "junit":
		err = junit(o.w, a)
	default:
		c.text(o, a)
	}
	if err == nil && !a.Passed {
		err = errNegative
	}
	return err
}

func (c *testCmd) text(o output, a answer) {
	failed, questions := 0, 0
	for _, r := range a.Results {
		questions += r.Questions
		r.File = filepath.Join(c.Dir, r.File)
		if !r.Passed {
			failed++
		} else if c.Verbose {
			o.printf("%s:%d: ok: %s\n", r.File, r.Line, r.Name)
		}
		for _, l := range r.Lines() {
			o.printf("%s\n", l)
		}
	}
	o.printf("%d tests, %d failed, %d questions\n", len(a.Results), failed, questions)
	if v := a.Coverage; v != nil {
		o.printf("%d of %d rows used\n", v.Used(), len(v.Rules))
		for _, r := range v.Rules {
			if !r.Used {
				o.printf("%s:%d: never used: %s\n", r.File, r.Line, r.Rule)
			}
		}
		for _, p := range v.Permissions {
			o.printf("permission never allowed in a test: %s\n", p)
		}
		for _, r := range v.Roles {
			o.printf("role never used in a test: %s\n", r)
		}
	}
	if a.Mutants > 0 {
		o.printf("%d changes of the policy, %d that no test notices\n", a.Mutants, len(a.Survivors))
		for _, m := range a.Survivors {
			o.printf("not noticed: %s\n", m.Change)
		}
	}
}
