package authz

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/google/uuid"
)

var ErrDenied = errors.New("authz: denied")

type Principal struct{ enc string }

func User(issuer, subject string) (Principal, error) { return Principal{}, nil }
func Service(name string) (Principal, error)         { return Principal{}, nil }
func Team(name string) (Principal, error)            { return Principal{}, nil }
func ParsePrincipal(s string) (Principal, error)     { return Principal{}, nil }
func (p Principal) String() string                   { return p.enc }
func (p Principal) IsZero() bool                     { return p.enc == "" }

type Resource struct{ path string }

func NewResource(segments ...string) (Resource, error)        { return Resource{}, nil }
func ParseResource(s string) (Resource, error)                { return Resource{}, nil }
func (r Resource) Child(segments ...string) (Resource, error) { return Resource{}, nil }
func (r Resource) Contains(o Resource) bool                   { return false }
func (r Resource) Parent() (Resource, bool)                   { return Resource{}, false }
func (r Resource) Segments() []string                         { return nil }
func (r Resource) String() string                             { return r.path }
func (r Resource) IsZero() bool                               { return r.path == "" }

type Permission struct{ name string }

func ParsePermission(s string) (Permission, error) { return Permission{}, nil }
func MustPermission(s string) Permission           { return Permission{s} }
func (p Permission) String() string                { return p.name }

type Role struct{ name string }

func ParseRole(s string) (Role, error) { return Role{}, nil }

type Effect uint8

const (
	Allow Effect = 1
	Deny  Effect = 2
)

type Authorization struct {
	ID        uuid.UUID
	Principal Principal
	Role      Role
	Resource  Resource
	Effect    Effect
	From      time.Time
	Until     time.Time
	GrantedBy Principal
	Reason    string
}

type Request struct {
	Principal  Principal
	OnBehalfOf Principal
	Permission Permission
	Resource   Resource
	Cause      uuid.UUID // id of the Decision this one follows from, for the audit trail
}

type Decision struct {
	ID      uuid.UUID
	Allowed bool
	Reason  string
}

type Grant struct{ g *struct{} }

func (g Grant) Covers(p Permission, r Resource) error { return ErrDenied }
func (g Grant) Decision() Decision                    { return Decision{} }

type Options struct{}

type Authorizer struct{}

func New(ctx context.Context, policy fs.FS, opts *Options) (*Authorizer, error) { return nil, nil }
func (a *Authorizer) Check(ctx context.Context, req Request) (Decision, error) {
	return Decision{}, nil
}
func (a *Authorizer) Authorize(ctx context.Context, req Request) (Grant, error) {
	return Grant{}, ErrDenied
}
