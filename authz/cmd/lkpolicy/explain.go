package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/policytest"
)

type explainCmd struct {
	Dir        string `arg:"" help:"Folder of the policy."`
	Who        string `arg:"" help:"Principal, as in user:idp/ana."`
	Permission string `arg:"" help:"Permission, as in sync.status.read."`
	Resource   string `arg:"" help:"Resource, as in tenants/acme."`
	World      string `required:"" help:"Test file whose world is looked at."`
	OnBehalfOf string `help:"Principal for whom it is done."`
	Output     string `short:"o" enum:"text,json" default:"text" help:"How to write: text or json."`
}

// Run explains.
func (c *explainCmd) Run(ctx context.Context, o output) error {
	fsys, err := folder(c.Dir)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.World)
	if err != nil {
		return err
	}
	f, err := policytest.Read(c.World, text)
	if err != nil {
		return err
	}
	var req authz.Request
	if req.Principal, err = authz.ParsePrincipal(c.Who); err != nil {
		return err
	}
	if req.Permission, err = authz.ParsePermission(c.Permission); err != nil {
		return err
	}
	if req.Resource, err = authz.ParseResource(c.Resource); err != nil {
		return err
	}
	if c.OnBehalfOf != "" {
		if req.OnBehalfOf, err = authz.ParsePrincipal(c.OnBehalfOf); err != nil {
			return err
		}
	}
	a, err := f.World.Authorizer(ctx, fsys, nil)
	if err != nil {
		return err
	}
	x, err := a.Explain(ctx, req)
	if err != nil {
		return err
	}
	if x.Decision.Code == authz.UnknownPermission {
		return fmt.Errorf("%s: the policy has no permission %s", c.Dir, c.Permission)
	}
	if c.Output == "json" {
		if x.Nearest == nil {
			x.Nearest = []string{}
		}
		if err := o.json(struct {
			Version int      `json:"version"`
			Allowed bool     `json:"allowed"`
			Reason  string   `json:"reason"`
			Nearest []string `json:"nearest"`
		}{version, x.Decision.Allowed, x.Reason, x.Nearest}); err != nil {
			return err
		}
	} else {
		word := "denied"
		if x.Decision.Allowed {
			word = "allowed"
		}
		o.printf("%s: %s\n", word, x.Reason)
		if len(x.Nearest) > 0 {
			o.printf("nearest: %s\n", strings.Join(x.Nearest, "\nnearest: "))
		}
	}
	if !x.Decision.Allowed {
		return errNegative
	}
	return nil
}
