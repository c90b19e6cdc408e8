package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Assignment is an Authorization: that somebody holds a role on a resource and on
// everything below it, or with effect deny that whatever the role permits is
// refused there.
type Assignment struct {
	ID         string     `json:"id" format:"uuid"`
	Principal  string     `json:"principal" example:"user:demo/bo"`
	Role       string     `json:"role" example:"role:user"`
	Resource   string     `json:"resource" example:"tenants/acme/users/bo"`
	Effect     string     `json:"effect" enum:"allow,deny"`
	From       *time.Time `json:"from,omitempty"`
	Until      *time.Time `json:"until,omitempty" doc:"Exclusive"`
	GrantedBy  string     `json:"granted_by,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Condition  string     `json:"condition,omitempty"`
	Pending    bool       `json:"pending,omitempty" doc:"It waits for a second person and gives nothing until then"`
	ApprovedBy string     `json:"approved_by,omitempty"`
	ETag       string     `json:"etag" doc:"What If-Match takes"`
}

// NewAssignment is an Authorization to be made.
type NewAssignment struct {
	Principal string     `json:"principal" maxLength:"4096" example:"user:demo/bo" doc:"Who is to hold the role"`
	Role      string     `json:"role" maxLength:"256" example:"role:user" doc:"The role; GET /v1/roles lists them"`
	Resource  string     `json:"resource" maxLength:"17000" example:"tenants/acme/users/bo" doc:"On what and below"`
	Effect    string     `json:"effect,omitempty" enum:"allow,deny" default:"allow"`
	From      *time.Time `json:"from,omitempty" doc:"Since when; since ever if it is missing"`
	Until     *time.Time `json:"until,omitempty" doc:"Until when, exclusive; until it is revoked if it is missing"`
	Condition string     `json:"condition,omitempty" maxLength:"4096" example:"weekday <= 5"`
	Reason    string     `json:"reason" minLength:"1" maxLength:"1024" example:"is new here" doc:"Why, for whoever reads the history"`
}

// Preview is what a change would do to access.
type Preview struct {
	Principals []string       `json:"principals" doc:"Whose access changes"`
	Resources  []string       `json:"resources" doc:"On what"`
	Gained     int            `json:"gained" doc:"How many permissions on resources are gained"`
	Lost       int            `json:"lost" doc:"How many are lost"`
	Examples   []AccessChange `json:"examples" doc:"20 at most"`
}

// AccessChange is one permission of somebody on a resource, gained or lost.
type AccessChange struct {
	Principal  string `json:"principal"`
	Permission string `json:"permission"`
	Resource   string `json:"resource"`
	Gained     bool   `json:"gained"`
}

type listIn struct {
	Paging
	Under string `query:"under" maxLength:"17000" example:"tenants/acme" doc:"What stands on it, above it or below it; the root if it is missing"`
}

type listOut struct {
	Revision uint64 `header:"X-Policy-Revision"`
	Body     struct {
		Items []Assignment `json:"items"`
		Next  string       `json:"next,omitempty" doc:"The cursor of the next page; missing on the last"`
	}
}

type OneIn struct {
	ID    string `path:"id" format:"uuid" example:"0190a0f0-0000-7000-8000-000000000000"`
	Under string `query:"under" maxLength:"17000" doc:"Where to look for it; the root if it is missing"`
}

type oneOut struct {
	ETag string `header:"ETag"`
	Body Assignment
}

type changeOut struct {
	Status   int
	ETag     string `header:"ETag"`
	Revision uint64 `header:"X-Policy-Revision" doc:"To be demanded by at_least"`
	Body     Outcome
}

// Outcome is what a change made, or with dry_run what it would do.
type Outcome struct {
	Authorization *Assignment `json:"authorization,omitempty" doc:"What was given or taken"`
	Preview       *Preview    `json:"preview,omitempty" doc:"With dry_run: what would change"`
}

type assignIn struct {
	Key    string `header:"Idempotency-Key" maxLength:"255" doc:"Makes the change once, however often it is asked for within a day while the server runs"`
	DryRun bool   `query:"dry_run" doc:"Say what would change and change nothing"`
	Body   NewAssignment
}

type revokeIn struct {
	OneIn
	IfMatch string `header:"If-Match" maxLength:"256" doc:"The etag that was read; needed"`
	DryRun  bool   `query:"dry_run" doc:"Say what would change and change nothing"`
	Reason  string `query:"reason" maxLength:"1024" example:"left the team" doc:"Why, for whoever reads the history"`
}

const (
	reading = "authz.authorizations.read"
	writing = "authz.authorizations.write"
)

// authorizations registers reading, giving and taking.
func (a *api) authorizations() {
	handle(a, operation{id: "listAuthorizations", verb: http.MethodGet, path: "/v1/authorizations", permission: reading,
		summary: "List authorizations", about: "Who holds which role, oldest first. Asked on what is listed under."},
		func(in *listIn) (authz.Resource, error) { return a.place("under", in.Under) }, a.list)
	handle(a, operation{id: "getAuthorization", verb: http.MethodGet, path: "/v1/authorizations/{id}", permission: reading, hides: true, errors: []int{http.StatusNotFound},
		summary: "Read an authorization", about: "Asked on where it is looked for."},
		func(in *OneIn) (authz.Resource, error) { return a.place("under", in.Under) },
		func(_ context.Context, g authz.Grant, under authz.Resource, in *OneIn) (*oneOut, error) {
			x, err := a.find(g, under, in.ID)
			if err != nil {
				return nil, err
			}
			v := assignmentOf(x)
			return &oneOut{v.ETag, v}, nil
		})
	handle(a, operation{id: "assign", verb: http.MethodPost, path: "/v1/authorizations", permission: writing, status: http.StatusCreated,
		errors:  []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		summary: "Give a role", about: "Nobody can give what they do not hold there, or for longer. Asked on the resource. With dry_run=true the answer is 200 and says what would change."},
		func(in *assignIn) (authz.Resource, error) { return a.bodyPlace("/resource", in.Body.Resource) }, a.assign)
	handle(a, operation{id: "revoke", verb: http.MethodDelete, path: "/v1/authorizations/{id}", permission: writing, hides: true,
		errors:  []int{http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired},
		summary: "Take a role away", about: "Live grants that rest on it end at their next use. Whoever takes must see it too. Asked on where it is looked for. With dry_run=true nothing is taken, and the answer says what would change."},
		func(in *revokeIn) (authz.Resource, error) { return a.place("under", in.Under) }, a.revoke)
}

func (a *api) list(ctx context.Context, g authz.Grant, under authz.Resource, in *listIn) (*listOut, error) {
	question := "authorizations\n" + under.String()
	after, err := a.cursors.open(askedBy(ctx).who, question, in.Cursor)
	if err != nil {
		return nil, err
	}
	out := &listOut{Revision: a.Authorizer.Revision()}
	out.Body.Items = []Assignment{}
	all, err := a.Authorizer.Authorizations(g, under)
	if err != nil {
		return nil, err
	}
	for _, x := range all { // ids grow with time
		if x.ID.String() <= after {
			continue
		}
		if n := len(out.Body.Items); n == in.Limit {
			out.Body.Next = a.cursors.seal(askedBy(ctx).who, question, out.Body.Items[n-1].ID)
			break
		}
		out.Body.Items = append(out.Body.Items, assignmentOf(x))
	}
	return out, nil
}

// find returns what stands under a place by its id.
func (a *api) find(g authz.Grant, under authz.Resource, id string) (authz.Authorization, error) {
	all, err := a.Authorizer.Authorizations(g, under)
	if err != nil {
		return authz.Authorization{}, err
	}
	for _, x := range all {
		if x.ID.String() == id {
			return x, nil
		}
	}
	return authz.Authorization{}, absent()
}

func (a *api) assign(ctx context.Context, g authz.Grant, _ authz.Resource, in *assignIn) (*changeOut, error) {
	x, err := a.read(in.Body)
	if err != nil {
		return nil, err
	}
	e := a.Authorizer.Edit(g)
	edits := authz.Edits{Assign: []authz.Authorization{x}}
	if in.DryRun {
		return a.preview(ctx, e, edits)
	}
	body, err := json.Marshal(in.Body)
	if err != nil {
		return nil, err
	}
	out, err := a.once.do(ctx, onceKey{askedBy(ctx).who, "assign", in.Key}, body, func() (any, error) {
		got, err := e.Commit(ctx, edits, in.Body.Reason)
		if err != nil {
			return nil, err
		}
		x.ID, x.GrantedBy = got.IDs[0], g.Principal()
		v := assignmentOf(x)
		return &changeOut{http.StatusCreated, v.ETag, got.Revision, Outcome{Authorization: &v}}, nil
	})
	if err != nil {
		return nil, err
	}
	done := *out.(*changeOut)
	return &done, nil
}

// read turns what was sent into an Authorization.
func (a *api) read(n NewAssignment) (x authz.Authorization, err error) {
	if x.Principal, err = authz.ParsePrincipal(n.Principal); err != nil {
		return x, invalidBody("/principal", wantPrincipal)
	}
	found := false
	for r := range a.Authorizer.Roles() {
		if r.String() == n.Role {
			x.Role, found = r, true
		}
	}
	if !found {
		return x, invalidBody("/role", "is not a role; GET /v1/roles lists them")
	}
	if x.Resource, err = authz.ParseResource(n.Resource); err != nil {
		return x, invalidBody("/resource", wantResource)
	}
	x.Effect, x.Condition, x.Reason = authz.Allow, n.Condition, n.Reason
	if n.Effect == "deny" {
		x.Effect = authz.Deny
	}
	if n.From != nil {
		x.From = *n.From
	}
	if n.Until != nil {
		x.Until = *n.Until
	}
	return x, nil
}

func (a *api) revoke(ctx context.Context, g authz.Grant, under authz.Resource, in *revokeIn) (*changeOut, error) {
	if in.IfMatch == "" && !in.DryRun {
		return nil, problem(http.StatusPreconditionRequired, "if-match", "The header If-Match is missing.", "Read the authorization, and send its etag.")
	}
	// Whoever takes something sees it first, which is a decision of its own.
	seeing, err := a.Authorizer.Authorize(ctx, authz.Request{Principal: g.Principal(), Permission: authz.MustPermission(reading), Resource: under, Cause: g.Decision().ID})
	if err != nil {
		return nil, err
	}
	// Other changes may come between reading and taking; only one of this very
	// Authorization matters.
	for {
		e := a.Authorizer.Edit(g)
		revision := a.Authorizer.Revision()
		x, err := a.find(seeing, under, in.ID)
		if err != nil {
			return nil, err
		}
		edits := authz.Edits{Revoke: []uuid.UUID{x.ID}}
		if in.DryRun {
			return a.preview(ctx, e, edits)
		}
		if assignmentOf(x).ETag != in.IfMatch {
			return nil, authz.ErrConflict
		}
		got, err := e.At(revision).Commit(ctx, edits, in.Reason)
		if errors.Is(err, authz.ErrConflict) && ctx.Err() == nil && a.Authorizer.Revision() != revision {
			continue
		}
		if err != nil {
			return nil, err
		}
		v := assignmentOf(x)
		return &changeOut{Status: http.StatusOK, Revision: got.Revision, Body: Outcome{Authorization: &v}}, nil
	}
}

func (a *api) preview(ctx context.Context, e authz.Editor, edits authz.Edits) (*changeOut, error) {
	i, err := e.Preview(ctx, edits)
	if err != nil {
		return nil, err
	}
	p := Preview{Principals: []string{}, Resources: []string{}, Gained: i.Gained, Lost: i.Lost, Examples: []AccessChange{}}
	for _, x := range i.Principals {
		p.Principals = append(p.Principals, x.String())
	}
	for _, x := range i.Resources {
		p.Resources = append(p.Resources, x.String())
	}
	for _, x := range i.Examples {
		p.Examples = append(p.Examples, AccessChange{x.Principal.String(), x.Permission.String(), x.Resource.String(), x.Gained})
	}
	return &changeOut{Status: http.StatusOK, Revision: a.Authorizer.Revision(), Body: Outcome{Preview: &p}}, nil
}

func assignmentOf(x authz.Authorization) Assignment {
	v := Assignment{ID: x.ID.String(), Principal: x.Principal.String(), Role: x.Role.String(), Resource: x.Resource.String(), Effect: x.Effect.String(),
		GrantedBy: x.GrantedBy.String(), Reason: x.Reason, Condition: x.Condition, Pending: x.Pending, ApprovedBy: x.ApprovedBy.String()}
	if !x.From.IsZero() {
		v.From = &x.From
	}
	if !x.Until.IsZero() {
		v.Until = &x.Until
	}
	b, _ := json.Marshal(v) // of texts and times
	sum := sha256.Sum256(b)
	v.ETag = `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return v
}
