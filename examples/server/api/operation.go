package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/lockkeeper/lockkeeper/authz"
)

// operation is what is known of an operation before it is asked for.
type operation struct {
	id, verb, path string
	permission     string
	summary        string
	about          string
	status         int   // of success, 200 if zero
	errors         []int // statuses besides those every operation may answer with
	hides          bool  // what it is about has an id: refused looks like absent
}

// handle registers an operation. Its code runs with a Grant of its permission on
// the resource that a request is about, and not at all without one.
func handle[I, O any](a *api, op operation, on func(*I) (authz.Resource, error), do func(context.Context, authz.Grant, authz.Resource, *I) (*O, error)) {
	perm, err := a.permission(op.permission)
	if err != nil {
		a.broken = append(a.broken, fmt.Errorf("operation %s: %w", op.id, err))
		return
	}
	huma.Register(a.huma, huma.Operation{
		OperationID: op.id, Method: op.verb, Path: op.path, Summary: op.summary, Description: op.about, DefaultStatus: op.status,
		Errors:       append([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}, op.errors...),
		Extensions:   map[string]any{"x-permission": op.permission},
		MaxBodyBytes: maxBody,
	}, func(ctx context.Context, in *I) (*O, error) {
		r, err := on(in)
		if err != nil {
			return nil, err
		}
		g, err := a.Authorizer.Authorize(ctx, authz.Request{Principal: askedBy(ctx).who, Permission: perm, Resource: r})
		if err != nil {
			return nil, refused(err, op.hides)
		}
		out, err := do(ctx, g, r, in)
		if err != nil {
			return nil, refused(err, op.hides)
		}
		return out, nil
	})
}

func (a *api) known(perm authz.Permission) bool {
	for p := range a.Authorizer.Permissions() {
		if p == perm {
			return true
		}
	}
	return false
}

// place reads which resource a request is about, the root if it names none.
func (a *api) place(name, at string) (authz.Resource, error) {
	if at == "" {
		return a.Root, nil
	}
	r, err := authz.ParseResource(at)
	if err != nil {
		return r, invalid(name, wantResource)
	}
	return r, nil
}

// What is wrong with a name that cannot be read.
const (
	wantResource   = "is not a resource; want a path such as tenants/acme/users/ana"
	wantPrincipal  = "is not a principal; want one such as user:issuer/subject, service:name or team:name"
	wantPermission = "is not a permission; GET /v1/permissions lists them"
)

// permission reads one that the policy has.
func (a *api) permission(s string) (authz.Permission, error) {
	p, err := authz.ParsePermission(s)
	if err == nil && !a.known(p) {
		err = fmt.Errorf("permission %s: %w", s, authz.ErrUnknown)
	}
	return p, err
}
