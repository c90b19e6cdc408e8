package policytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Options of a run. The nil Options work.
type Options struct {
	Policy fs.FS  // tested instead of the policies that the files name; nil: those
	Worlds int    // that are generated for each file; zero: 16, below zero: none
	Seed   uint64 // of the generated worlds; the same seed gives the same worlds

	stop bool // at the first failure
}

// Run loads the test files of a file system and runs them. The error is for
// tests that cannot be read; whatever is wrong with the policy is a Result.
func Run(ctx context.Context, fsys fs.FS, opts *Options) (Report, error) {
	files, err := Load(fsys)
	if err != nil {
		return Report{}, err
	}
	return RunFiles(ctx, fsys, files, opts)
}

// RunFiles runs test files that were loaded already. The coverage counts the
// policies of all files, rows of different policies apart.
func RunFiles(ctx context.Context, fsys fs.FS, files []*File, opts *Options) (Report, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Worlds == 0 {
		o.Worlds = 16
	}
	var rep Report
	books := map[string]*book{}
	var order []string
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return rep, err
		}
		key, policy := f.Policy, o.Policy
		if policy != nil {
			key = "."
		} else {
			var err error
			if policy, err = fs.Sub(fsys, f.Policy); err != nil {
				return rep, fmt.Errorf("policytest: %s: policy: %w", f.Name, err)
			}
		}
		b, tried := books[key]
		if !tried {
			var err error
			if b, err = open(ctx, policy); err != nil {
				rep.Results = append(rep.Results, Result{File: f.Name, Line: 1, Kind: OfPolicy, Name: "policy " + key, Failures: []string{err.Error()}})
			}
			books[key], order = b, append(order, key)
		}
		if o.stop && len(rep.Results) > 0 && !rep.Passed() {
			return rep, nil
		}
		if b == nil {
			continue
		}
		rep.Results = append(rep.Results, b.run(ctx, f, o)...)
	}
	for _, key := range order {
		if books[key] == nil {
			continue
		}
		c := books[key].coverage()
		rep.Coverage.Rules = append(rep.Coverage.Rules, c.Rules...)
		rep.Coverage.Permissions = append(rep.Coverage.Permissions, c.Permissions...)
		rep.Coverage.Roles = append(rep.Coverage.Roles, c.Roles...)
	}
	return rep, nil
}

// scene is a file's world while its tests run.
type scene struct {
	*book
	f   *File
	a   *authz.Authorizer
	now time.Time
	o   Options

	gen []view // made at the first invariant that asks
}

func (b *book) run(ctx context.Context, f *File, o Options) []Result {
	s := &scene{book: b, f: f, now: f.World.At, o: o}
	for _, g := range f.World.Grants {
		if err := b.known(g.Role); err != nil {
			return []Result{{File: f.Name, Line: g.Line, Kind: OfWorld, Name: "world", Failures: []string{err.Error()}}}
		}
	}
	var err error
	if s.a, err = f.World.Authorizer(ctx, b.files, func() time.Time { return s.now }); err != nil {
		return []Result{{File: f.Name, Line: 1, Kind: OfWorld, Name: "world", Failures: []string{err.Error()}}}
	}
	var out []Result
	add := func(k Kind, line int, name string, test func(context.Context, *Result)) {
		if o.stop && len(out) > 0 && !out[len(out)-1].Passed {
			return
		}
		r := Result{File: f.Name, Line: line, Kind: k, Name: name}
		s.now = f.World.At
		test(ctx, &r)
		r.Passed = len(r.Failures) == 0
		out = append(out, r)
	}
	for _, c := range f.Checks {
		add(OfCheck, c.Line, c.String(), func(ctx context.Context, r *Result) { s.check(ctx, c, r) })
	}
	for _, l := range f.Lists {
		add(OfList, l.Line, l.String(), func(ctx context.Context, r *Result) { s.list(ctx, l, r) })
	}
	for _, g := range f.Gifts {
		add(OfGift, g.Line, g.String(), func(ctx context.Context, r *Result) { s.gift(ctx, g, r) })
	}
	for _, i := range f.Invariants {
		add(OfInvariant, i.Line, i.Text, func(ctx context.Context, r *Result) { s.invariant(ctx, i, r) })
	}
	return out
}

// at sets the clock of the scene for one entry.
func (s *scene) at(t time.Time) {
	if !t.IsZero() {
		s.now = t
	}
}

// places returns what a place of a check stands for: of everything below it,
// the resources on which something is held. Any other resource is decided as
// the nearest of those above it is, or as the place itself.
func (s *scene) places(p Place) []authz.Resource {
	out := []authz.Resource{p.Resource}
	if p.Below {
		for _, r := range s.f.World.places() {
			if r != p.Resource && p.Resource.Contains(r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// maxQuestions one entry may ask.
const maxQuestions = 1_000_000

func (s *scene) check(ctx context.Context, c Check, r *Result) {
	perms, err := s.matchingAny(c.Can)
	if err != nil {
		r.fail("%v", err)
		return
	}
	s.at(c.At)
	for _, place := range c.On {
		for _, on := range s.places(place) {
			for _, who := range c.Who {
				for _, p := range perms {
					if r.Questions++; r.Questions > maxQuestions || ctx.Err() != nil {
						r.fail("stopped after %d questions: ask fewer in one check", r.Questions-1)
						return
					}
					s.ask(ctx, c, authz.Request{Principal: who, OnBehalfOf: c.OnBehalfOf, Permission: p, Resource: on}, r)
				}
			}
		}
	}
}

// ask asks one question of a check.
func (s *scene) ask(ctx context.Context, c Check, req authz.Request, r *Result) {
	d, err := s.a.Check(ctx, req)
	if err != nil {
		r.fail("%s: %v", question(req), err)
		return
	}
	switch {
	case d.Allowed && !c.Allow:
		r.fail("expected=deny, got=allow: %s: %s, by %s", question(req), d.Reason(), s.by(d.Role, req.Permission))
	case !d.Allowed && c.Allow:
		text := d.Reason()
		if x, err := s.a.Explain(ctx, req); err == nil && len(x.Nearest) > 0 {
			text += "; " + strings.Join(x.Nearest, "; ")
		}
		if d.Code == authz.DeniedBy {
			text += ", by " + s.by(d.Role, req.Permission)
		}
		r.fail("expected=allow, got=deny: %s: %s", question(req), text)
	case c.Because != "" && !s.because(c.Because, d, req):
		got := "nothing"
		if d.Code == authz.AllowedBy || d.Code == authz.DeniedBy {
			got = reason(d.Role, d.On, d.Principal, d.Through)
		}
		r.fail("expected because=%s, got because=%s: %s", c.Because, got, question(req))
	case d.Allowed:
		s.rested(d.Role, req.Permission)
	}
}

func question(req authz.Request) string {
	if !req.OnBehalfOf.IsZero() {
		return fmt.Sprintf("%s on behalf of %s %s on %s", req.Principal, req.OnBehalfOf, req.Permission, req.Resource)
	}
	return fmt.Sprintf("%s %s on %s", req.Principal, req.Permission, req.Resource)
}

// reason writes a decision as because does.
func reason(role authz.Role, on authz.Resource, who, through authz.Principal) string {
	if who != through {
		return fmt.Sprintf("%s@%s via %s", role, on, through)
	}
	return fmt.Sprintf("%s@%s", role, on)
}

// because reports whether an answer came about as expected. Where several
// grants lead to it, one of them is enough.
func (s *scene) because(want string, d authz.Decision, req authz.Request) bool {
	if want == "nothing" {
		return d.Code == authz.NothingHeld
	}
	effect := authz.Allow
	switch d.Code {
	case authz.AllowedBy:
	case authz.DeniedBy:
		effect = authz.Deny
	default:
		return false
	}
	for _, holder := range s.f.World.teams(d.Principal) {
		for _, g := range s.f.World.Grants {
			if g.Principal != holder || g.Effect != effect || !g.Resource.Contains(req.Resource) || !slices.Contains(s.carry[g.Role], req.Permission) ||
				s.now.Before(g.From) || !g.Until.IsZero() && !s.now.Before(g.Until) {
				continue
			}
			full := reason(g.Role, g.Resource, d.Principal, holder)
			rest, via, _ := strings.Cut(full, " via ")
			for _, short := range []string{full, rest, g.Role.String(), g.Role.String() + " via " + via} {
				if want == short {
					return true
				}
			}
		}
	}
	return false
}

// String writes the check on one line.
func (c Check) String() string {
	join := func(names []string) string { return strings.Join(names, ", ") }
	var who, on []string
	for _, p := range c.Who {
		who = append(who, p.String())
	}
	for _, p := range c.On {
		on = append(on, p.String())
	}
	out := join(who)
	if !c.OnBehalfOf.IsZero() {
		out += " on behalf of " + c.OnBehalfOf.String()
	}
	verb := " cannot "
	if c.Allow {
		verb = " can "
	}
	out += verb + join(c.Can) + " on " + join(on)
	if !c.At.IsZero() {
		out += " at " + c.At.Format(time.RFC3339)
	}
	return out
}

func (s *scene) list(ctx context.Context, l List, r *Result) {
	s.at(l.At)
	var got []string
	var err error
	switch {
	case l.WhoCan != "":
		got, err = s.whoCan(ctx, l, r)
	case l.RolesWith != "":
		got, err = s.rolesWith(l.RolesWith)
		r.Questions = len(s.roles)
	case l.Role != authz.Role{}:
		err = s.known(l.Role)
		for _, p := range s.carry[l.Role] {
			got = append(got, p.String())
		}
		r.Questions = len(s.perms)
	default:
		got, err = s.whatCan(ctx, l, r)
	}
	if err != nil {
		r.fail("%v", err)
		return
	}
	want := l.Expect
	if l.WhoCan == "" && l.RolesWith == "" {
		ps, err := s.matchingAny(want)
		if err != nil {
			r.fail("%v", err)
			return
		}
		want = nil
		for _, p := range ps {
			want = append(want, p.String())
		}
	}
	slices.Sort(got)
	var missing, extra []string
	for _, x := range want {
		if !slices.Contains(got, x) {
			missing = append(missing, x)
		}
	}
	for _, x := range got {
		if !slices.Contains(want, x) {
			extra = append(extra, x)
		}
	}
	if len(missing) > 0 {
		r.fail("missing: %s", strings.Join(missing, ", "))
	}
	if len(extra) > 0 {
		r.fail("not expected: %s", strings.Join(extra, ", "))
	}
}

func (s *scene) whoCan(ctx context.Context, l List, r *Result) ([]string, error) {
	perms, err := s.matching(l.WhoCan)
	if err != nil {
		return nil, err
	}
	var got []string
	for _, who := range s.f.World.Principals {
		if who.IsTeam() && !slices.Contains(l.Expect, who.String()) {
			continue // its members are asked about
		}
		for _, p := range perms {
			d, err := s.a.Check(ctx, authz.Request{Principal: who, Permission: p, Resource: l.On})
			if err != nil {
				return nil, err
			}
			r.Questions++
			if d.Allowed {
				got = append(got, who.String())
				if slices.Contains(l.Expect, who.String()) {
					s.rested(d.Role, p)
				}
				break
			}
		}
	}
	return got, nil
}

func (s *scene) whatCan(ctx context.Context, l List, r *Result) ([]string, error) {
	var got []string
	for _, p := range s.perms {
		d, err := s.a.Check(ctx, authz.Request{Principal: l.WhatCan, Permission: p, Resource: l.On})
		if err != nil {
			return nil, err
		}
		r.Questions++
		if !d.Allowed {
			continue
		}
		got = append(got, p.String())
		if slices.ContainsFunc(l.Expect, func(x string) bool { return x == "*" || p.Matches(x) }) {
			s.rested(d.Role, p)
		}
	}
	return got, nil
}

func (s *scene) rolesWith(pattern string) ([]string, error) {
	perms, err := s.matching(pattern)
	if err != nil {
		return nil, err
	}
	var got []string
	for _, r := range s.roles {
		if slices.ContainsFunc(perms, func(p authz.Permission) bool { return slices.Contains(s.carry[r], p) }) {
			got = append(got, r.String())
		}
	}
	return got, nil
}

// String writes the list on one line.
func (l List) String() string {
	switch {
	case l.WhoCan != "":
		return fmt.Sprintf("who can %s on %s", l.WhoCan, l.On)
	case l.RolesWith != "":
		return "roles with " + l.RolesWith
	case l.Role != authz.Role{}:
		return "what " + l.Role.String() + " carries"
	}
	return fmt.Sprintf("what %s can on %s", l.WhatCan, l.On)
}

// gift tries it in a world of its own, since what is given stays given.
func (s *scene) gift(ctx context.Context, g Gift, r *Result) {
	r.Questions = 1
	if err := s.known(g.Give); err != nil {
		r.fail("%v", err)
		return
	}
	a, err := s.f.World.Authorizer(ctx, s.files, nil)
	if err != nil {
		r.fail("%v", err)
		return
	}
	err = try(ctx, a, g)
	switch {
	case err == nil && !g.Permitted:
		r.fail("expected=refused, got=given: %s", g)
	case err != nil && g.Permitted:
		r.fail("expected=given, got=refused: %v", err)
	case err != nil && !errors.Is(err, authz.ErrDenied):
		r.fail("expected=refused, got an error that is no refusal: %v", err)
	case err != nil && !strings.Contains(err.Error(), g.Because):
		r.fail("expected because=%s, got because=%v", g.Because, err)
	case err == nil:
		s.gave(g.Who, g.Give)
	}
}

// try gives through the Editor, the only door there is.
func try(ctx context.Context, a *authz.Authorizer, g Gift) error {
	grant, err := a.Authorize(ctx, authz.Request{Principal: g.Who, OnBehalfOf: g.OnBehalfOf, Permission: authz.MustPermission("authz.authorizations.write"), Resource: g.On})
	if err != nil {
		return err
	}
	_, err = a.Edit(grant).Assign(ctx, authz.Authorization{Principal: g.To, Role: g.Give, Resource: g.On, Effect: authz.Allow, Reason: "policy test"})
	return err
}

// gave notes the d rows that a gift may have come from.
func (s *scene) gave(who authz.Principal, role authz.Role) {
	for _, holder := range s.f.World.teams(who) {
		for _, g := range s.f.World.Grants {
			if g.Principal == holder && g.Effect == authz.Allow {
				s.handedOut(g.Role, role)
			}
		}
	}
}

func (b *book) handedOut(giver, role authz.Role) {
	for i, r := range b.rules {
		if r.Kind == authz.HandOut && r.Left == giver.String() && r.Right == role.String() {
			b.used[i] = true
		}
	}
}

// String writes the gift on one line.
func (g Gift) String() string {
	by := g.Who.String()
	if !g.OnBehalfOf.IsZero() {
		by += " on behalf of " + g.OnBehalfOf.String()
	}
	verb := "cannot give"
	if g.Permitted {
		verb = "can give"
	}
	return fmt.Sprintf("%s %s %s to %s on %s", by, verb, g.Give, g.To, g.On)
}
