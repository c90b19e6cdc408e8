package policytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Invariant is a sentence that must hold in every world.
type Invariant struct {
	Line int
	Text string // with single spaces
	form string // the key of forms
	part map[string][]string
}

// forms are the sentences that are understood. A word in capitals stands for a
// name; with a + for several, joined by or, and or a comma.
func forms() []string {
	return []string{
		"nobody in TEAM can PERMISSION+",
		"nobody outside TEAM can PERMISSION+",
		"no role can both PERMISSION and OTHER",
		"no single principal can both PERMISSION and OTHER",
		"no role extends itself",
		"only ROLE+ can PERMISSION",
		"ROLE never gives GIVEN",
		"ROLE gives GIVEN",
		"ROLE never PERMISSION+",
		"ROLE always PERMISSION+",
		"every RESOURCE has someone who can PERMISSION",
	}
}

// ParseInvariant reads a sentence.
func ParseInvariant(s string) (Invariant, error) {
	words := strings.Fields(strings.ReplaceAll(s, ",", " , "))
	var why error
	for _, form := range forms() {
		part, ok, err := match(strings.Fields(form), words)
		if err != nil {
			why = err
		}
		if ok {
			return Invariant{Text: strings.Join(strings.Fields(s), " "), form: form, part: part}, nil
		}
	}
	if why != nil {
		return Invariant{}, why
	}
	return Invariant{}, fmt.Errorf("not understood%s; want one of: %s", nearestForm(words), strings.Join(forms(), "; "))
}

// nearestForm proposes the form of which most words of the language are there.
func nearestForm(words []string) string {
	best, share := "", 0.5
	for _, form := range forms() {
		all, there := 0.0, 0.0
		for _, f := range strings.Fields(form) {
			if f == strings.ToLower(f) {
				all++
				if slices.Contains(words, f) {
					there++
				}
			}
		}
		if there/all > share {
			best, share = ", perhaps "+form, there/all
		}
	}
	return best
}

// match fits words into a form. The error is for a sentence that has the form
// but for a name.
func match(form, words []string) (map[string][]string, bool, error) {
	part := map[string][]string{}
	var bad error
	for _, f := range form {
		if len(words) == 0 {
			return nil, false, nil
		}
		name, several := strings.CutSuffix(f, "+")
		if strings.ToUpper(name) != name { // a word of the language
			if words[0] != f {
				return nil, false, nil
			}
			words = words[1:]
			continue
		}
		for {
			if err := parsePart(name, words[0]); err != nil && bad == nil {
				bad = err
			}
			part[name] = append(part[name], words[0])
			words = words[1:]
			if several && len(words) > 1 && slices.Contains([]string{"or", "and", ","}, words[0]) {
				words = words[1:]
				continue
			}
			break
		}
	}
	if len(words) > 0 {
		return nil, false, nil
	}
	return part, bad == nil, bad
}

func parsePart(name, word string) (err error) {
	switch name {
	case "TEAM":
		if p, perr := authz.ParsePrincipal(word); perr != nil || !p.IsTeam() {
			err = errors.New("want a team as in team:sales")
		}
	case "ROLE", "GIVEN":
		_, err = authz.ParseRole(word)
	case "RESOURCE":
		_, err = authz.ParseResource(strings.ReplaceAll(word, "*", "x"))
	default:
		_, err = parsePattern(word)
	}
	if err != nil {
		return fmt.Errorf("%.60q: %s", word, strings.TrimPrefix(err.Error(), "authz: "))
	}
	return nil
}

func (r *reader) invariant(n *yaml.Node) Invariant {
	i := read(r, n, "invariant", ParseInvariant)
	i.Line = n.Line
	return i
}

// invariant checks a sentence on the world, on generated worlds and on roles.
func (s *scene) invariant(ctx context.Context, i Invariant, r *Result) {
	perms, err := s.matchingAny(i.part["PERMISSION"])
	if err != nil {
		r.fail("%v", err)
		return
	}
	others, err := s.matchingAny(i.part["OTHER"])
	if err != nil {
		r.fail("%v", err)
		return
	}
	var roles, given []authz.Role
	for _, name := range i.part["ROLE"] {
		role, _ := authz.ParseRole(name)
		roles = append(roles, role)
	}
	for _, name := range i.part["GIVEN"] {
		role, _ := authz.ParseRole(name)
		given = append(given, role)
	}
	if err := s.known(slices.Concat(roles, given)...); err != nil {
		r.fail("%v", err)
		return
	}
	var team authz.Principal
	if t := i.part["TEAM"]; len(t) > 0 {
		team, _ = authz.ParsePrincipal(t[0])
		if !slices.Contains(s.f.World.Principals, team) {
			var names []string
			for _, p := range s.f.World.Principals {
				names = append(names, p.String())
			}
			r.fail("the world has no %s%s", team, hint(team.String(), names))
			return
		}
	}
	switch i.form {
	case "nobody in TEAM can PERMISSION+":
		s.nobody(ctx, r, perms, func(v view) bool { return slices.Contains(v.in, team) })
	case "nobody outside TEAM can PERMISSION+":
		s.nobody(ctx, r, perms, func(v view) bool { return !slices.Contains(v.in, team) })
	case "no role can both PERMISSION and OTHER":
		s.noRole(r, perms, others)
	case "no single principal can both PERMISSION and OTHER":
		s.noPrincipal(ctx, r, perms, others)
	case "no role extends itself":
		s.noExtension(ctx, r)
	case "only ROLE+ can PERMISSION":
		s.only(r, roles, perms)
	case "ROLE never PERMISSION+", "ROLE always PERMISSION+":
		s.carries(r, roles[0], perms, strings.Contains(i.form, "always"))
	case "ROLE never gives GIVEN":
		s.gives(ctx, r, roles[0], given[0], false)
	case "ROLE gives GIVEN":
		s.gives(ctx, r, roles[0], given[0], true)
	default:
		s.someone(ctx, r, i.part["RESOURCE"][0], perms)
	}
}

// nobody: none of the people meant can do any of it, in any world.
func (s *scene) nobody(ctx context.Context, r *Result, perms []authz.Permission, meant func(view) bool) {
	asked := 0
	for _, v := range s.views(ctx, r) {
		if !meant(v) {
			continue
		}
		asked++
		for _, p := range perms {
			r.Questions++
			if d, ok := v.can[p]; ok {
				r.fail("%s can %s on %s%s: %s, by %s", v.who, p, v.on, v.where, d.Reason(), s.by(d.Role, p))
			}
		}
	}
	if asked == 0 {
		r.fail("there is nobody it could be about, so that it says nothing")
	}
}

func (s *scene) noRole(r *Result, perms, others []authz.Permission) {
	for _, role := range s.roles {
		r.Questions++
		p, q := first(s.carry[role], perms), first(s.carry[role], others)
		if p != (authz.Permission{}) && q != (authz.Permission{}) {
			r.fail("%s can both %s, by %s, and %s, by %s", role, p, s.by(role, p), q, s.by(role, q))
		}
	}
}

// first returns the first of some permissions that is among others.
func first(held, wanted []authz.Permission) authz.Permission {
	for _, p := range wanted {
		if slices.Contains(held, p) {
			return p
		}
	}
	return authz.Permission{}
}

// noPrincipal: nobody in this world can do both, and no two roles that one
// person could be given can, unless the policy keeps them apart.
func (s *scene) noPrincipal(ctx context.Context, r *Result, perms, others []authz.Permission) {
	for _, v := range s.seen(ctx, r) {
		if v.who.IsTeam() {
			continue // no single principal; its members are looked at
		}
		for _, p := range perms {
			for _, q := range others {
				r.Questions++
				d, one := v.can[p]
				e, two := v.can[q]
				if one && two {
					r.fail("%s can both %s and %s on %s%s: %s; %s", v.who, p, q, v.on, v.where, d.Reason(), e.Reason())
				}
			}
		}
	}
	var rest []int
	for _, a := range s.roles {
		for _, b := range s.roles {
			for _, p := range perms {
				for _, q := range others {
					r.Questions++
					if !slices.Contains(s.carry[a], p) || !slices.Contains(s.carry[b], q) {
						continue
					}
					if i, ok := s.apart(p, q); ok && a != b {
						rest = append(rest, i)
						continue
					}
					r.fail("%s and %s give one person both %s and %s, and nothing keeps them apart: add to roles.csv x, %s, %s", a, b, p, q, p, q)
				}
			}
		}
	}
	if len(r.Failures) == 0 {
		for _, i := range rest {
			s.used[i] = true
		}
	}
}

func (s *scene) only(r *Result, roles []authz.Role, perms []authz.Permission) {
	for _, role := range s.roles {
		for _, p := range perms {
			r.Questions++
			if slices.Contains(s.carry[role], p) && !slices.Contains(roles, role) {
				r.fail("%s can %s, by %s", role, p, s.by(role, p))
			}
		}
	}
	for _, role := range roles {
		if first(s.carry[role], perms) == (authz.Permission{}) {
			r.fail("%s can nothing of it: take it out of the sentence or give it the permission", role)
		}
	}
}

func (s *scene) carries(r *Result, role authz.Role, perms []authz.Permission, always bool) {
	for _, p := range perms {
		r.Questions++
		switch has := slices.Contains(s.carry[role], p); {
		case has && !always:
			r.fail("%s can %s, by %s", role, p, s.by(role, p))
		case !has && always:
			r.fail("%s cannot %s", role, p)
		}
	}
}

// probe is a world of one: somebody who holds a role, and somebody else.
func probe(role authz.Role) (World, authz.Principal, authz.Principal, authz.Resource) {
	giver, err1 := authz.User("generated", "giver")
	other, err2 := authz.User("generated", "other")
	on, err3 := authz.NewResource("generated")
	if err := errors.Join(err1, err2, err3); err != nil {
		panic(err) // constants
	}
	return World{At: defaultTime(), Grants: []Grant{{0, authz.Authorization{Principal: giver, Role: role, Resource: on, Effect: authz.Allow}}}}, giver, other, on
}

// gives asks the Editor whether who holds one role can give another.
func (s *scene) gives(ctx context.Context, r *Result, role, given authz.Role, want bool) {
	r.Questions = 1
	w, giver, other, on := probe(role)
	a, err := w.Authorizer(ctx, s.files, nil)
	if err != nil {
		r.fail("%v", err)
		return
	}
	switch err := try(ctx, a, Gift{Who: giver, Give: given, To: other, On: on}); {
	case err != nil && !errors.Is(err, authz.ErrDenied):
		r.fail("%v", err)
	case err == nil && !want:
		r.fail("%s gives %s to others", role, given)
	case err != nil && want:
		r.fail("%s cannot give %s: %v", role, given, err)
	case want:
		s.handedOut(role, given)
	}
}

// noExtension: whoever holds a role, and gives itself or a team of its own
// whatever it can, can do no more afterwards. And what is handed out never
// comes back to who handed it out, through however many others.
func (s *scene) noExtension(ctx context.Context, r *Result) {
	for _, role := range s.roles {
		w, giver, _, on := probe(role)
		team, err := authz.Team("generated")
		if err != nil {
			r.fail("%v", err)
			return
		}
		w.Members = []authz.Membership{{Member: giver, Team: team}}
		a, err := w.Authorizer(ctx, s.files, nil)
		if err != nil {
			r.fail("%v", err)
			return
		}
		for _, wanted := range s.roles {
			for _, to := range []authz.Principal{giver, team} {
				r.Questions++
				_ = try(ctx, a, Gift{Who: giver, Give: wanted, To: to, On: on}) // what counts is what it leads to
			}
		}
		for _, p := range s.perms {
			d, err := a.Check(ctx, authz.Request{Principal: giver, Permission: p, Resource: on})
			if err != nil || d.Allowed && !slices.Contains(s.carry[role], p) {
				r.fail("%s gives itself %s: %s", role, p, d.Reason())
			}
		}
		if path := s.backTo(role.String(), role.String(), nil); path != nil {
			r.fail("what is handed out comes back: %s", strings.Join(path, " > "))
		}
	}
}

// backTo follows d rows from one role to another.
func (b *book) backTo(from, to string, path []string) []string {
	path = append(path, from)
	for _, r := range b.rules {
		if r.Kind != authz.HandOut || r.Left != from {
			continue
		}
		if r.Right == to {
			return append(path, to)
		}
		if !slices.Contains(path, r.Right) {
			if found := b.backTo(r.Right, to, slices.Clone(path)); found != nil {
				return found
			}
		}
	}
	return nil
}

// someone: on every such resource of this world somebody can do all of it.
func (s *scene) someone(ctx context.Context, r *Result, pattern string, perms []authz.Permission) {
	want := strings.Split(pattern, "/")
	found := map[authz.Resource]bool{}
	for _, on := range s.f.World.places() {
		for {
			if fits(want, strings.Split(on.String(), "/")) {
				found[on] = true
			}
			up, ok := on.Parent()
			if !ok {
				break
			}
			on = up
		}
	}
	if len(found) == 0 {
		r.fail("the world has no %s, so that it says nothing", pattern)
		return
	}
	for on := range found {
		for _, p := range perms {
			if !slices.ContainsFunc(s.f.World.Principals, func(who authz.Principal) bool {
				r.Questions++
				d, err := s.a.Check(ctx, authz.Request{Principal: who, Permission: p, Resource: on})
				return err == nil && d.Allowed && !who.IsTeam()
			}) {
				r.fail("nobody can %s on %s", p, on)
			}
		}
	}
	slices.Sort(r.Failures)
}

func fits(pattern, segments []string) bool {
	if len(pattern) != len(segments) {
		return false
	}
	for i, p := range pattern {
		if p != "*" && p != segments[i] {
			return false
		}
	}
	return true
}
