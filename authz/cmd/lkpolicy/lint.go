package main

import (
	"path/filepath"

	"github.com/lockkeeper/lockkeeper/authz"
)

type lintCmd struct {
	Dir    string `arg:"" optional:"" default:"./policy" help:"Folder of the policy."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to write: text or json."`
	Strict bool   `help:"Count notes too."`
}

// Run lints.
func (c *lintCmd) Run(o output) error {
	fsys, err := folder(c.Dir)
	if err != nil {
		return err
	}
	found := authz.Lint(fsys)
	bad := 0
	for _, f := range found {
		if f.Severity > authz.Note || c.Strict {
			bad++
		}
	}
	if c.Output == "json" {
		if found == nil {
			found = []authz.Finding{}
		}
		if err := o.json(struct {
			Version  int             `json:"version"`
			Findings []authz.Finding `json:"findings"`
			Count    int             `json:"count"` // of those that count
		}{version, found, bad}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			f.File = filepath.Join(c.Dir, f.File)
			o.printf("%s\n", f)
		}
	}
	if bad > 0 {
		return errNegative
	}
	return nil
}
