package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/lockkeeper/lockkeeper/authz"
)

type diffCmd struct {
	Old    string `arg:"" help:"Folder of the policy as it was."`
	New    string `arg:"" help:"Folder of the policy as it will be."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to write: text or json."`
}

// difference is the JSON of two policies compared.
type difference struct {
	Version int      `json:"version"`
	Gained  []right  `json:"gained"` // inclusions and patterns expanded
	Lost    []right  `json:"lost"`
	Added   []string `json:"added"` // g, d and x rows
	Removed []string `json:"removed"`
}

// right is a permission of a role.
type right struct {
	Role       string `json:"role"`
	Permission string `json:"permission"`
}

// Run compares.
func (c *diffCmd) Run(ctx context.Context, o output) error {
	was, err := load(ctx, c.Old)
	if err != nil {
		return err
	}
	is, err := load(ctx, c.New)
	if err != nil {
		return err
	}
	d := difference{version, missing(is.rights, was.rights), missing(was.rights, is.rights), without(is.rows, was.rows), without(was.rows, is.rows)}
	if c.Output == "json" {
		if err := o.json(d); err != nil {
			return err
		}
	} else {
		d.text(o)
	}
	if len(d.Gained)+len(d.Lost)+len(d.Added)+len(d.Removed) > 0 {
		return errNegative
	}
	return nil
}

func (d difference) text(o output) {
	for _, r := range d.Gained {
		o.printf("+ %s %s\n", r.Role, r.Permission)
	}
	for _, r := range d.Lost {
		o.printf("- %s %s\n", r.Role, r.Permission)
	}
	for _, r := range d.Added {
		o.printf("+ row %s\n", r)
	}
	for _, r := range d.Removed {
		o.printf("- row %s\n", r)
	}
	o.printf("%d gained, %d lost, %d rows added, %d removed\n", len(d.Gained), len(d.Lost), len(d.Added), len(d.Removed))
}

// contents are what two policies are compared by.
type contents struct {
	rights map[right]bool
	rows   []string // g, d and x
}

func load(ctx context.Context, dir string) (contents, error) {
	var fsys fs.FS
	fsys, err := folder(dir)
	if err != nil {
		return contents{}, err
	}
	rules, err := authz.Rules(fsys)
	if err != nil {
		return contents{}, fmt.Errorf("%s: %w", dir, err)
	}
	a, err := authz.New(ctx, fsys, nil)
	if err != nil {
		return contents{}, fmt.Errorf("%s: %w", dir, err)
	}
	c := contents{rights: map[right]bool{}}
	for role, ps := range a.Roles() {
		for _, p := range ps {
			c.rights[right{role.String(), p.String()}] = true
		}
	}
	for _, r := range rules {
		if r.Kind != authz.Carry {
			c.rows = append(c.rows, r.String())
		}
	}
	return c, nil
}

// missing returns the rights of one policy that another does not have.
func missing(of, in map[right]bool) []right {
	out := []right{}
	for r := range maps.Keys(of) {
		if !in[r] {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b right) int {
		return slices.Compare([]string{a.Role, a.Permission}, []string{b.Role, b.Permission})
	})
	return out
}

// without returns the rows of one policy that another does not have.
func without(of, in []string) []string {
	out := []string{}
	for _, r := range of {
		if !slices.Contains(in, r) {
			out = append(out, r)
		}
	}
	slices.Sort(out)
	return out
}
