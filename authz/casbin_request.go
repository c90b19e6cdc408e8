package authz

import (
	"fmt"
	"slices"
	"strings"
)

// principal returns who a name is: a team where it is a role, and else a user.
// In Casbin whoever can choose the name of a role has the role; here a user
// never is a team, whatever its name.
func (im *Import) principal(n scoped) (Principal, error) {
	if !im.roles[n] {
		return User(imported, n.name)
	}
	if im.s.domain {
		return roleTeam([]string{n.dom}, n.name)
	}
	return roleTeam(nil, n.name)
}

// Request translates the values of a Casbin request, in the order of the
// model's request definition. Values that cannot be names here are refused
// with an error; Casbin's answer to them should not be trusted either.
func (im *Import) Request(values ...string) (Request, error) {
	if im == nil || im.roles == nil {
		return Request{}, fmt.Errorf("authz: casbin: nothing was imported: %w", ErrUnsupported)
	}
	if len(values) != len(im.s.request) {
		return Request{}, fmt.Errorf("authz: casbin: %d values, want %s", len(values), strings.Join(im.s.request, ", "))
	}
	refuse := func(field int, err error) (Request, error) {
		return Request{}, fmt.Errorf("authz: casbin: %s: %w", im.s.request[field], err)
	}
	if err := checkSegment(values[im.s.sub.r]); err != nil {
		return refuse(im.s.sub.r, err)
	}
	segments := make([]string, 1, 1+len(im.s.path))
	segments[0] = imported
	for i, p := range im.s.path {
		if err := checkSegment(values[p.r]); err != nil {
			return refuse(p.r, err)
		}
		if i == len(im.s.path)-1 && im.s.nested != "" {
			at := len(segments)
			for up := im.above[values[p.r]]; up != ""; up = im.above[up] {
				segments = slices.Insert(segments, at, up)
			}
		}
		segments = append(segments, values[p.r])
	}
	on, err := NewResource(segments...)
	if err != nil {
		return Request{}, fmt.Errorf("authz: casbin: %w", err)
	}
	who := scoped{name: values[im.s.sub.r]}
	if im.s.domain {
		who.dom = values[im.s.path[0].r]
	}
	p, err := im.principal(who)
	if err != nil {
		return refuse(im.s.sub.r, err)
	}
	perm, _, err := actNames(values[im.s.act.r])
	if err != nil {
		return refuse(im.s.act.r, err)
	}
	return Request{Principal: p, Permission: Permission{perm}, Resource: on}, nil
}

// Values is the inverse of Request, as NewShadow wants it: the request that
// Casbin knows, false if there is none. Fields that the matcher does not look
// at are empty.
func (im *Import) Values(req Request) ([]any, bool) {
	if im == nil || im.roles == nil || !req.OnBehalfOf.IsZero() {
		return nil, false
	}
	values := make([]string, len(im.s.request))
	act, ok := im.acts[req.Permission.name]
	segments := req.Resource.Segments()
	if !ok || len(segments) < 1+len(im.s.path) {
		return nil, false
	}
	values[im.s.act.r] = act
	for i, p := range im.s.path {
		values[p.r] = segments[i+1]
		if i == len(im.s.path)-1 {
			values[p.r] = segments[len(segments)-1]
		}
	}
	_, name, _ := strings.Cut(req.Principal.name, ":")
	parts := strings.Split(name, "/")
	if req.Principal.IsTeam() {
		whole, err := unescape(parts[0])
		if err != nil {
			return nil, false
		}
		parts = strings.Split(whole, "/")
	}
	sub, err := unescape(parts[len(parts)-1])
	if err != nil {
		return nil, false
	}
	values[im.s.sub.r] = sub
	if back, err := im.Request(values...); err != nil || back.Principal != req.Principal || back.Permission != req.Permission || back.Resource != req.Resource {
		return nil, false
	}
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out, true
}
