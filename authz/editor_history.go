package authz

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/google/uuid"
)

// History returns the changes after a revision, oldest first, as far as a Grant
// of authz.authorizations.read covers them: an Authorization by where it stands,
// a membership by what the team holds there now. Roles are shown to everybody
// who may read at all. A change of which something is left out comes without its
// reason, one of which nothing is left does not come. Denied is an error, and so
// is a store that cannot say.
func (a *Authorizer) History(ctx context.Context, g Grant, after uint64) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		if !g.of(a) {
			yield(Change{}, fmt.Errorf("authz: history: zero grant: %w", ErrDenied))
			return
		}
		read := Permission{readAuthorizations}
		for c, err := range a.store.Changes(ctx, after) {
			if err == nil {
				err = g.Covers(read, g.g.req.Resource)
			}
			if err != nil {
				yield(Change{}, fmt.Errorf("authz: history: %w", err))
				return
			}
			if c = g.shows(c); !c.empty() && !yield(c, nil) {
				return
			}
		}
	}
}

// shows leaves out of a change what a Grant does not cover.
func (g Grant) shows(c Change) Change {
	read, ix, all := Permission{readAuthorizations}, g.g.a.ix, true
	there := func(x Authorization) bool { return g.Covers(read, x.Resource) == nil }
	team := func(m Membership) bool {
		for x := range holdings(ix, m.Team) {
			if there(x) {
				return true
			}
		}
		return false
	}
	c.Remove, c.Add = only(c.Remove, there, &all), only(c.Add, there, &all)
	c.Leave, c.Join = only(c.Leave, team, &all), only(c.Join, team, &all)
	if !all {
		c.Reason = ""
	}
	return c
}

// only returns those that are wanted, in a slice of their own, and says if all are.
func only[T any](from []T, want func(T) bool, all *bool) (out []T) {
	for _, x := range from {
		if want(x) {
			out = append(out, x)
		} else {
			*all = false
		}
	}
	return out
}

func (c Change) empty() bool {
	return len(c.Add)+len(c.Remove)+len(c.Join)+len(c.Leave)+len(c.Define)+len(c.Undefine) == 0
}

// Rollback turns around everything after a revision, by one new revision, under
// the same checks as if it were edited: whoever could not give back what was
// taken, or take what was given, cannot roll it back. Authorizations come back
// under their ids and with their ends, those that have ended meanwhile too, and
// give nothing. A role that is no longer there is ErrUnknown. What was taken in
// an emergency and not reviewed ends and stays listed. A history that does not
// reach back is an error.
func (e Editor) Rollback(ctx context.Context, to uint64, reason string) error {
	_, err := e.run(ctx, reason, func(ix *index) (Change, error) {
		if to >= ix.revision() {
			return Change{}, fmt.Errorf("authz: rollback to revision %d: the current one is %d: %w", to, ix.revision(), ErrUnknown)
		}
		var later []Change
		for c, err := range e.a.store.Changes(ctx, to) {
			if err != nil {
				return Change{}, fmt.Errorf("authz: rollback to revision %d: %w", to, err)
			}
			if c.Revision > ix.revision() {
				return Change{}, fmt.Errorf("authz: rollback to revision %d: %w", to, ErrConflict)
			}
			if c.Revision != to+uint64(len(later))+1 {
				break
			}
			later = append(later, c)
		}
		if to+uint64(len(later)) != ix.revision() {
			return Change{}, fmt.Errorf("authz: rollback to revision %d: the history has a gap after revision %d: %w", to, to+uint64(len(later)), ErrUnknown)
		}
		return turnAround(ix, later), nil
	})
	return err
}

// same says that two Authorizations are one, whatever zone their times are in.
func (a Authorization) same(o Authorization) bool {
	ok := a.From.Equal(o.From) && a.Until.Equal(o.Until)
	a.From, a.Until = o.From, o.Until
	return ok && a == o
}

// turnAround returns the change that undoes others, given oldest first.
func turnAround(ix *index, later []Change) Change {
	// What each thing was: zero if it was not there.
	was, member, role := map[uuid.UUID]Authorization{}, map[Membership]bool{}, map[string]RoleDefinition{}
	for _, c := range slices.Backward(later) {
		for _, x := range c.Add {
			was[x.ID] = Authorization{}
		}
		for _, x := range c.Remove {
			was[x.ID] = x
		}
		for _, m := range c.Join {
			member[m] = false
		}
		for _, m := range c.Leave {
			member[m] = true
		}
		for _, d := range c.Define {
			role[d.Role.name] = RoleDefinition{}
		}
		for _, d := range c.Undefine {
			role[d.Role.name] = d
		}
	}
	var out Change
	for _, id := range slices.SortedFunc(maps.Keys(was), func(x, y uuid.UUID) int { return slices.Compare(x[:], y[:]) }) {
		old, now := was[id], Authorization{}
		if x, there := ix.get(id); there {
			now = x
			out.Remove = append(out.Remove, x)
		}
		switch {
		case old.ID == uuid.Nil:
			out.Add = append(out.Add, remains(now, ix.now())...)
		case old.same(now):
			out.Remove = out.Remove[:len(out.Remove)-1]
		default:
			if now.emergency() && old.wider(now) {
				old.From, old.Until, old.Condition = now.From, now.Until, now.Condition
			}
			out.Add = append(out.Add, old)
		}
	}
	for m, old := range member {
		switch {
		case old && !ix.isMember(m):
			out.Join = append(out.Join, m)
		case !old && ix.isMember(m):
			out.Leave = append(out.Leave, m)
		}
	}
	for name, old := range role {
		if now, there := ix.cat().defined[name]; there {
			out.Undefine = append(out.Undefine, now)
		}
		if old.Role.name != "" {
			out.Define = append(out.Define, old)
		}
	}
	return out
}
