package api

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Paging is what every list takes.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many of one page"`
	Cursor string `query:"cursor" maxLength:"40000" doc:"Where the page begins, as the one before said; good for the same list by the same caller"`
}

type resourcesIn struct {
	Paging
	Principal  string `query:"principal" required:"true" maxLength:"4096" example:"user:demo/ana" doc:"Who"`
	Permission string `query:"permission" required:"true" maxLength:"256" example:"sync.run" doc:"May do what"`
	Under      string `query:"under" maxLength:"17000" example:"tenants/acme" doc:"On what and below; the root if it is missing"`
}

type principalsIn struct {
	Paging
	Permission string `query:"permission" required:"true" maxLength:"256" example:"sync.run" doc:"May do what"`
	Resource   string `query:"resource" required:"true" maxLength:"17000" example:"tenants/acme/users/ana/sync" doc:"On what"`
}

type namesOut struct {
	Body struct {
		Items []string `json:"items"`
		Next  string   `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
	}
}

type holdersOut struct {
	Body struct {
		Items []Holder `json:"items"`
		Next  string   `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
	}
}

// Holder is somebody who may do something, and through what.
type Holder struct {
	Principal string `json:"principal" example:"user:demo/ana"`
	Reason    string `json:"reason" doc:"One sentence"`
}

// lists registers the questions that turn a decision around.
func (a *api) lists() {
	const may = "authz.decisions.explain"
	handle(a, operation{id: "listResources", verb: http.MethodGet, path: "/v1/decisions:listResources", permission: may, errors: []int{http.StatusPreconditionFailed},
		summary: "List what somebody may do something on", about: "Resources that an Authorization names, and what is above them, on which somebody may do something. What is below one is allowed too unless it is denied there. Asked on what is listed under."},
		func(in *resourcesIn) (authz.Resource, error) { return a.place("under", in.Under) },
		func(ctx context.Context, _ authz.Grant, under authz.Resource, in *resourcesIn) (*namesOut, error) {
			who, err := authz.ParsePrincipal(in.Principal)
			if err != nil {
				return nil, invalid("principal", wantPrincipal)
			}
			perm, err := a.permission(in.Permission)
			if err != nil {
				return nil, invalid("permission", wantPermission)
			}
			question := "resources\n" + who.String() + "\n" + perm.String() + "\n" + under.String()
			at, err := a.cursors.open(askedBy(ctx).who, question, in.Cursor)
			if err != nil {
				return nil, err
			}
			var after authz.Resource
			if at != "" {
				if after, err = authz.ParseResource(at); err != nil {
					return nil, err
				}
			}
			out, last := &namesOut{}, ""
			out.Body.Items = []string{}
			list := a.Authorizer.Resources(ctx, who, perm, under)
			if !after.IsZero() {
				list = a.Authorizer.ResourcesAfter(ctx, who, perm, under, after)
			}
			for r, err := range list {
				if err != nil {
					return nil, err
				}
				if len(out.Body.Items) == in.Limit {
					out.Body.Next = a.cursors.seal(askedBy(ctx).who, question, last)
					break
				}
				last = r.String()
				out.Body.Items = append(out.Body.Items, last)
			}
			return out, nil
		})
	handle(a, operation{id: "listPrincipals", verb: http.MethodGet, path: "/v1/decisions:listPrincipals", permission: may,
		summary: "List who may do something", about: "Everybody who may do something on a resource, and through what, in the order of their names. Asked on the resource."},
		func(in *principalsIn) (authz.Resource, error) { return a.place("resource", in.Resource) },
		func(ctx context.Context, _ authz.Grant, on authz.Resource, in *principalsIn) (*holdersOut, error) {
			perm, err := a.permission(in.Permission)
			if err != nil {
				return nil, invalid("permission", wantPermission)
			}
			question := "principals\n" + perm.String() + "\n" + on.String()
			after, err := a.cursors.open(askedBy(ctx).who, question, in.Cursor)
			if err != nil {
				return nil, err
			}
			return a.holders(ctx, perm, on, question, after, in.Limit)
		})
}

// holders is a page of those who may do something, in the order of their names.
func (a *api) holders(ctx context.Context, perm authz.Permission, on authz.Resource, question, after string, limit int) (*holdersOut, error) {
	all := []Holder{}
	for d, err := range a.Authorizer.Principals(ctx, perm, on) {
		if err != nil {
			return nil, err
		}
		if name := d.Principal.String(); name > after {
			all = append(all, Holder{name, d.Reason()})
		}
	}
	slices.SortFunc(all, func(x, y Holder) int { return strings.Compare(x.Principal, y.Principal) })
	out := &holdersOut{}
	if len(all) > limit {
		all = all[:limit]
		out.Body.Next = a.cursors.seal(askedBy(ctx).who, question, all[limit-1].Principal)
	}
	out.Body.Items = all
	return out, nil
}
