package authz

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

// foreignModel answers by a model.conf that means something the index cannot
// compute, with a policy.csv in Casbin's own format. Casbin decides alone:
// there are no Authorizations beside its rows.
type foreignModel struct {
	mu     sync.Mutex // an Enforcer is for one goroutine at a time
	e      *casbin.Enforcer
	fields []func(Request) (string, bool)
	asked  int
	broken error // why it can never answer again
}

const (
	foreignFile = "policy.csv"
	// maxForeignFile bounds what Casbin walks through at every question.
	maxForeignFile = 16 << 20
	// maxRule is how much of a row a Decision repeats.
	maxRule = 512
	// forgetAfter so many questions g forgets its answers. Casbin keeps every
	// one as long as its rows do not change, whoever asks.
	forgetAfter = 1 << 16
)

// foreignField says what a token of a request definition is, nil if nothing.
func foreignField(token string) func(Request) (string, bool) {
	switch token {
	case "sub":
		return func(r Request) (string, bool) { return r.Principal.name, true }
	case "obj":
		return func(r Request) (string, bool) { return r.Resource.path, true }
	case "act":
		return func(r Request) (string, bool) { return r.Permission.name, true }
	case "dom":
		return func(r Request) (string, bool) {
			parts := strings.SplitN(r.Resource.path, "/", 3)
			if len(parts) < 2 {
				return "", false
			}
			return parts[1], true
		}
	}
	return nil
}

// foreignPolicy returns the foreign model of a policy, nil if the index can
// answer it or if it brings no policy.csv, which is then refused elsewhere.
func foreignPolicy(fsys fs.FS) (*foreignModel, error) {
	if fsys == nil {
		return nil, nil
	}
	if _, err := fs.Stat(fsys, foreignFile); err != nil {
		return nil, nil //nolint:nilerr // without the file this is a policy of ours
	}
	text, err := readPolicyFile(fsys, "model.conf")
	if err != nil {
		return nil, err
	}
	m, err := model.NewModelFromString(text)
	if err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	if sameMeaning(m) == nil {
		return nil, fmt.Errorf("authz: policy: %s: model.conf reads roles.csv and no other rows: remove the file, or bring the model that reads it", foreignFile)
	}
	return newForeign(fsys)
}

// newForeign loads model.conf and policy.csv, and refuses what Casbin would
// take for something else than was meant.
func newForeign(fsys fs.FS) (*foreignModel, error) {
	text, err := readPolicyFile(fsys, "model.conf")
	if err != nil {
		return nil, err
	}
	m, err := model.NewModelFromString(text)
	if err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	f := &foreignModel{}
	if m["r"]["r"] == nil || m["p"]["p"] == nil {
		return nil, errors.New("authz: policy: model.conf: want a request_definition r and a policy_definition p")
	}
	for _, t := range m["r"]["r"].Tokens {
		t = strings.TrimPrefix(t, "r_")
		field := foreignField(t)
		if field == nil {
			return nil, fmt.Errorf("authz: policy: model.conf: request_definition: token %.40q: want sub, dom, obj and act: a request here has nothing else", t)
		}
		f.fields = append(f.fields, field)
	}
	rows, err := foreignRows(fsys, m)
	if err != nil {
		return nil, err
	}
	if f.e, err = casbin.NewEnforcer(m, rows); err != nil {
		return nil, fmt.Errorf("authz: policy: %s: %w", foreignFile, err)
	}
	// Ask once, so that a model that cannot be evaluated fails here and not
	// at the first request.
	if d := f.decide(Request{Principal: Principal{"service:nobody"}, Permission: Permission{"no.such"}, Resource: Resource{"no/where"}}); d.Code == ModelFailed {
		return nil, fmt.Errorf("authz: policy: model.conf: asked once: %s", d.Rule)
	}
	return f, nil
}

// decide asks Casbin, for each of those who act. An error or panic is a refusal
// that says so.
func (f *foreignModel) decide(req Request) Decision {
	if req.Principal.name == "" || req.Permission.name == "" || req.Resource.path == "" {
		return Decision{Code: BadRequest}
	}
	d := f.one(req)
	if !d.Allowed || req.OnBehalfOf.name == "" {
		return d
	}
	req.Principal = req.OnBehalfOf
	if o := f.one(req); !o.Allowed {
		return o
	}
	return d
}

func (f *foreignModel) one(req Request) Decision {
	d := Decision{Principal: req.Principal, Code: ModelFailed}
	values := make([]any, len(f.fields))
	for i, field := range f.fields {
		v, ok := field(req)
		if !ok {
			d.Rule = "the model asks for a domain, which is the second segment of a resource, and there is none"
			return d
		}
		values[i] = v
	}
	ok, why, err := f.enforce(values)
	switch {
	case err != nil:
		d.Rule = firstLine(err)
	case ok:
		d.Allowed, d.Code = true, AllowedBy
	case len(why) > 0:
		d.Code = DeniedBy
	default:
		d.Code = NothingHeld
	}
	if err == nil {
		d.Rule = strings.Join(why, ", ")
	}
	if d.Rule == "" {
		d.Rule = "no row"
	}
	if len(d.Rule) > maxRule {
		d.Rule = strings.ToValidUTF8(d.Rule[:maxRule], "")
	}
	return d
}

func (f *foreignModel) enforce(values []any) (ok bool, why []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			ok, why, err = false, nil, fmt.Errorf("authz: Casbin panics: %v", r)
		}
	}()
	if f.asked++; f.asked >= forgetAfter {
		f.asked, f.broken = 0, f.e.BuildRoleLinks()
	}
	if f.broken != nil { // half of the links may be gone, and a deny with them
		return false, nil, f.broken
	}
	ok, why, err = f.e.EnforceEx(values...)
	return ok && err == nil, why, err
}

// newForeignAuthorizer is New for a foreign model: no catalogue, no
// assignments, nothing to edit.
func newForeignAuthorizer(ctx context.Context, f *foreignModel, o Options) (*Authorizer, error) {
	if len(o.Seed)+len(o.SeedMembers) > 0 {
		return nil, fmt.Errorf("authz: seed: the model decides by %s alone: %w", foreignFile, ErrUnsupported)
	}
	t, err := newTrail(ctx, o.Audit, o.AuditTimeout)
	if err != nil {
		return nil, err
	}
	c := &catalogue{}
	sample, err := newSampler(c, o.SampleAllowed)
	if err != nil {
		return nil, err
	}
	a := &Authorizer{foreign: f, cat: c, sample: sample, store: o.Store, trail: t, now: o.Clock, ttl: o.GrantTTL}
	a.ix = newIndex(c, nil, nil, 0, a.now)
	return a, nil
}

// foreignReason is Reason where a foreign model decided.
func (d Decision) foreignReason() string {
	switch d.Code {
	case AllowedBy:
		return "the model allows it by " + d.Rule
	case DeniedBy:
		return "the model denies it by " + d.Rule
	case ModelFailed:
		return "the model failed: " + d.Rule
	}
	return fmt.Sprintf("no row of the model allows it to %s", d.Principal)
}

// editable refuses where rows of a file decide and nothing is assigned.
func (a *Authorizer) editable() error {
	if a.foreign == nil {
		return nil
	}
	return fmt.Errorf("authz: the policy's own model decides by %s, there are no authorizations to list or change: %w", foreignFile, ErrUnsupported)
}
