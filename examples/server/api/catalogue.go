package api

import (
	"context"
	"net/http"

	"github.com/lockkeeper/lockkeeper/authz"
)

// PermissionItem is one thing that can be done.
type PermissionItem struct {
	Name  string `json:"name" example:"sync.run" doc:"The permission"`
	About string `json:"about" example:"run a round of synchronisation" doc:"What it allows"`
}

// RoleItem is a set of permissions.
type RoleItem struct {
	Name        string   `json:"name" example:"role:support" doc:"The role"`
	Permissions []string `json:"permissions" doc:"What it permits, with what the roles that it includes permit"`
}

type nowhere struct{}

type permissionsOut struct {
	Body struct {
		Items []PermissionItem `json:"items"`
	}
}

type rolesOut struct {
	Revision uint64 `header:"X-Policy-Revision"`
	Body     struct {
		Items []RoleItem `json:"items"`
	}
}

// catalogue registers what can be done and which roles there are. Both are a page:
// a policy has 4,096 of either at most.
func (a *api) catalogue() {
	root := func(*nowhere) (authz.Resource, error) { return a.Root, nil }
	handle(a, operation{id: "listPermissions", verb: http.MethodGet, path: "/v1/permissions", permission: "authz.decisions.explain",
		summary: "List permissions", about: "Everything that can be done, each with one line. Asked on the root."},
		root, func(context.Context, authz.Grant, authz.Resource, *nowhere) (*permissionsOut, error) {
			out := &permissionsOut{}
			for p, about := range a.Authorizer.Permissions() {
				out.Body.Items = append(out.Body.Items, PermissionItem{p.String(), about})
			}
			return out, nil
		})
	handle(a, operation{id: "listRoles", verb: http.MethodGet, path: "/v1/roles", permission: "authz.authorizations.read",
		summary: "List roles", about: "Every role with what it permits. Asked on the root."},
		root, func(context.Context, authz.Grant, authz.Resource, *nowhere) (*rolesOut, error) {
			out := &rolesOut{Revision: a.Authorizer.Revision()}
			for r, ps := range a.Authorizer.Roles() {
				x := RoleItem{Name: r.String(), Permissions: []string{}}
				for _, p := range ps {
					x.Permissions = append(x.Permissions, p.String())
				}
				out.Body.Items = append(out.Body.Items, x)
			}
			return out, nil
		})
}
