package policytest

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Mutant is a policy with one row changed, and what noticed. A Mutant that
// nothing noticed means that the row could be lost, or slip in, unseen.
type Mutant struct {
	Change   string `json:"change"` // what was done, with file and line
	KilledBy string `json:"killed_by,omitempty"`
	Refused  bool   `json:"refused,omitempty"` // by the policy itself, before any test
}

// Mutants removes each row of the policies under test in turn, and gives each
// role each permission that it has not, and runs the tests against each. It
// returns all mutants; those without KilledBy survived.
func Mutants(ctx context.Context, fsys fs.FS, opts *Options) ([]Mutant, error) {
	files, err := Load(fsys)
	if err != nil {
		return nil, err
	}
	var o Options
	if opts != nil {
		o = *opts
	}
	o.Worlds, o.stop = -1, true
	byPolicy := map[string][]*File{}
	var order []string
	for _, f := range files {
		if byPolicy[f.Policy] == nil {
			order = append(order, f.Policy)
		}
		byPolicy[f.Policy] = append(byPolicy[f.Policy], f)
	}
	var out []Mutant
	for _, dir := range order {
		policy := o.Policy
		if policy == nil {
			if policy, err = fs.Sub(fsys, dir); err != nil {
				return nil, fmt.Errorf("policytest: policy: %w", err)
			}
		}
		text, err := fs.ReadFile(policy, "roles.csv")
		if err != nil {
			return nil, fmt.Errorf("policytest: policy: %w", err)
		}
		b, err := open(ctx, policy)
		if err != nil {
			return nil, err
		}
		// The file that looks most closely comes first.
		tests := slices.Clone(byPolicy[dir])
		slices.SortStableFunc(tests, func(x, y *File) int { return len(y.Lists) - len(x.Lists) })
		try := func(change, roles string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			oo := o
			oo.Policy = changed{policy, roles}
			rep, err := RunFiles(ctx, fsys, tests, &oo)
			if err != nil {
				return err
			}
			m := Mutant{Change: change}
			for _, r := range rep.Results {
				if !r.Passed {
					m.KilledBy, m.Refused = r.Lines()[0], r.Kind == OfPolicy
					break
				}
			}
			out = append(out, m)
			return nil
		}
		lines := strings.Split(string(text), "\n")
		for _, r := range b.rules {
			if err := try(fmt.Sprintf("%s:%d: without %s", path.Join(dir, r.File), r.Line, r), strings.Join(slices.Concat(lines[:r.Line-1], []string{""}, lines[r.Line:]), "\n")); err != nil {
				return nil, err
			}
		}
		for _, role := range b.roles {
			for _, p := range b.perms {
				if slices.Contains(b.carry[role], p) {
					continue
				}
				row := authz.Rule{Kind: authz.Carry, Left: role.String(), Right: p.String()}.String()
				if err := try(fmt.Sprintf("%s: with %s", path.Join(dir, "roles.csv"), row), string(text)+"\n"+row+"\n"); err != nil {
					return nil, err
				}
			}
		}
	}
	return out, nil
}

// changed is a policy with another roles.csv.
type changed struct {
	fs.FS
	roles string
}

// Open implements fs.FS.
func (c changed) Open(name string) (fs.File, error) {
	if name == "roles.csv" {
		return &text{strings.NewReader(c.roles)}, nil
	}
	return c.FS.Open(name)
}

// text is a file in memory.
type text struct{ *strings.Reader }

// Close implements fs.File.
func (t *text) Close() error { return nil }

// Stat implements fs.File.
func (t *text) Stat() (fs.FileInfo, error) { return info{t.Size()}, nil }

// info is about a file in memory.
type info struct{ size int64 }

// Name implements fs.FileInfo.
func (info) Name() string { return "roles.csv" }

// Size implements fs.FileInfo.
func (i info) Size() int64 { return i.size }

// Mode implements fs.FileInfo.
func (info) Mode() fs.FileMode { return 0o444 }

// ModTime implements fs.FileInfo.
func (info) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (info) IsDir() bool { return false }

// Sys implements fs.FileInfo.
func (info) Sys() any { return nil }
