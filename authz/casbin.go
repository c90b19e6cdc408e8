package authz

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

// meaning is the policy as Casbin understands it. It gives the reference
// answer: the index must say the same, and tests hold the two together.
type meaning struct {
	mu sync.Mutex // an Enforcer is for one goroutine at a time
	e  *casbin.Enforcer
	of *catalogue // whose roles the Enforcer knows
	ix *index     // the assignments that holds() looks at, set under mu
	in Context    // and the circumstances
}

// indexable is the meaning that the index computes, in Casbin's words. A model
// that means anything else is refused: the index would answer it wrongly.
const indexable = `
[request_definition]
r = sub, act, obj
[policy_definition]
p = role, act, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = r.act == p.act && holds(r.sub, p.role, p.eft, r.obj)
`

// sameMeaning compares every definition of a model with those of indexable,
// white space and comments apart.
func sameMeaning(m model.Model) error {
	want, err := model.NewModelFromString(indexable)
	if err != nil {
		return err
	}
	words := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for sec, defs := range want {
		for key, def := range defs {
			got := ""
			if m[sec] != nil && m[sec][key] != nil {
				got = words(m[sec][key].Value)
			}
			if got != words(def.Value) {
				return fmt.Errorf("%s: want %s: other meanings cannot be answered", key, strings.ReplaceAll(def.Value, "_", "."))
			}
		}
	}
	for sec, defs := range m {
		for key := range defs {
			if want[sec][key] == nil {
				return fmt.Errorf("%s: not among r, p, e and m: remove it: other meanings cannot be answered", key)
			}
		}
	}
	return nil
}

// newMeaning hands the expanded policy to Casbin. holds() is a plain function
// and not one of Casbin's g relations: those remember their answers, and an
// answer that was remembered outlives a revocation.
func newMeaning(c *catalogue) (*meaning, error) {
	m, err := model.NewModelFromString(c.model)
	if err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	if err := sameMeaning(m); err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	e, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	w := &meaning{e: e}
	e.AddFunction("holds", func(args ...any) (any, error) {
		if len(args) != 4 {
			return false, errors.New("holds: want principal, role, effect, resource")
		}
		var s [4]string
		for i, a := range args {
			v, ok := a.(string)
			if !ok {
				return false, errors.New("holds: want text")
			}
			s[i] = v
		}
		eff := Allow
		if s[2] == "deny" {
			eff = Deny
		}
		return w.ix.holdsIn(Principal{s[0]}, s[1], eff, Resource{s[3]}, w.in), nil
	})
	if err := w.follow(c); err != nil {
		return nil, fmt.Errorf("authz: policy: %w", err)
	}
	// Ask once, so that a model that cannot be evaluated fails here and not
	// at the first request.
	if _, err := w.enforce(newIndex(c, nil, nil, 0, nil), Principal{"service:nobody"}, c.permissions[0], Resource{"nowhere"}); err != nil {
		return nil, fmt.Errorf("authz: policy: model.conf: %w", err)
	}
	return w, nil
}

// follow makes the Enforcer know the roles of a catalogue and no others.
func (w *meaning) follow(c *catalogue) error {
	if w.of == c {
		return nil
	}
	var ps [][]string
	for _, role := range c.roles {
		for i, perm := range c.permissions {
			if c.sets[role].has(i) {
				ps = append(ps, []string{role, perm, "allow"}, []string{role, perm, "deny"})
			}
		}
	}
	w.of = nil
	w.e.ClearPolicy()
	if _, err := w.e.AddPolicies(ps); err != nil {
		return err
	}
	w.of = c
	return nil
}

// enforce asks Casbin, about circumstances of which nothing is known.
func (w *meaning) enforce(ix *index, p Principal, permission string, r Resource) (bool, error) {
	return w.enforceIn(ix, p, permission, r, Context{})
}

// enforceIn asks Casbin. An error is a refusal.
func (w *meaning) enforceIn(ix *index, p Principal, permission string, r Resource, in Context) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ix, w.in = ix, in
	if ix != nil {
		if err := w.follow(ix.cat()); err != nil {
			return false, err
		}
	}
	ok, err := w.e.Enforce(p.name, permission, r.path)
	return ok && err == nil, err
}
