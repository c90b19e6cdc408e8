// Package storetest proves that a store keeps the contract of authz.Store,
// authz.Sink or authz.Committer. The test file of a store is a few lines: how
// to open an empty one, and the call of a suite.
package storetest

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// state is everything that a store holds, or ought to.
type state struct {
	revision uint64
	held     map[uuid.UUID]authz.Authorization
	members  map[authz.Membership]bool
	roles    map[authz.Role]authz.RoleDefinition
}

func empty() state {
	return state{held: map[uuid.UUID]authz.Authorization{}, members: map[authz.Membership]bool{}, roles: map[authz.Role]authz.RoleDefinition{}}
}

// after returns the state that a change leads to.
func (s state) after(c authz.Change) state {
	s = state{c.Revision, maps.Clone(s.held), maps.Clone(s.members), maps.Clone(s.roles)}
	for _, x := range c.Remove {
		delete(s.held, x.ID)
	}
	for _, x := range c.Add {
		s.held[x.ID] = plain(x)
	}
	for _, m := range c.Leave {
		delete(s.members, m)
	}
	for _, m := range c.Join {
		s.members[m] = true
	}
	for _, r := range c.Undefine {
		delete(s.roles, r.Role)
	}
	for _, r := range c.Define {
		s.roles[r.Role] = r
	}
	return s
}

// plain makes equal what means the same: one moment in two zones.
func plain(x authz.Authorization) authz.Authorization {
	x.From, x.Until = moment(x.From), moment(x.Until)
	return x
}

func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Round(0)
}

func plainChange(c authz.Change) authz.Change {
	all := func(xs []authz.Authorization) []authz.Authorization {
		var out []authz.Authorization
		for _, x := range xs {
			out = append(out, plain(x))
		}
		return out
	}
	c.Time, c.Add, c.Remove = moment(c.Time), all(c.Add), all(c.Remove)
	c.Join, c.Leave = append([]authz.Membership(nil), c.Join...), append([]authz.Membership(nil), c.Leave...)
	c.Define, c.Undefine = append([]authz.RoleDefinition(nil), c.Define...), append([]authz.RoleDefinition(nil), c.Undefine...)
	return c
}

// load reads a store. Each id, membership and role must come once.
func load(t testing.TB, s authz.Store) state {
	t.Helper()
	out := empty()
	rest, err := s.Load(t.Context(), func(x authz.Authorization) error {
		require.NotContains(t, out.held, x.ID, "an id came twice")
		out.held[x.ID] = plain(x)
		return nil
	})
	require.NoError(t, err)
	out.revision = rest.Revision
	for _, m := range rest.Memberships {
		require.False(t, out.members[m], "a membership came twice")
		out.members[m] = true
	}
	for _, r := range rest.Roles {
		require.NotContains(t, out.roles, r.Role, "a role came twice")
		out.roles[r.Role] = r
	}
	return out
}

func history(t testing.TB, s authz.Store, after uint64) []authz.Change {
	t.Helper()
	return collect(t, s.Changes(t.Context(), after))
}

func collect(t testing.TB, changes iter.Seq2[authz.Change, error]) (out []authz.Change) {
	t.Helper()
	for c, err := range changes {
		require.NoError(t, err)
		out = append(out, plainChange(c))
	}
	return out
}

// holds demands that store and history are what was made of it.
func holds(t testing.TB, s authz.Store, want state, made []authz.Change) {
	t.Helper()
	require.Equal(t, want, load(t, s))
	got := history(t, s, 0)
	require.Len(t, got, len(made), "changes in the history")
	replayed := empty()
	for i, c := range got {
		require.Equal(t, plainChange(made[i]), c)
		replayed = replayed.after(c)
	}
	require.Equal(t, want, replayed, "the history leads to what holds")
}

// flaky is a context that is cancelled after it was looked at some times, so
// that a store which heeds it can be stopped at any point.
type flaky struct {
	context.Context
	cancel context.CancelFunc
	left   *atomic.Int64
}

func cancelledAfter(ctx context.Context, looks int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f := flaky{ctx, cancel, &atomic.Int64{}}
	f.left.Store(int64(looks))
	return f, cancel
}

func (f flaky) look() {
	if f.left.Add(-1) < 0 {
		f.cancel()
	}
}

func (f flaky) Done() <-chan struct{} { f.look(); return f.Context.Done() }
func (f flaky) Err() error            { f.look(); return f.Context.Err() }

func byID(xs map[uuid.UUID]authz.Authorization) []authz.Authorization {
	return slices.SortedFunc(maps.Values(xs), func(a, b authz.Authorization) int { return bytes.Compare(a.ID[:], b.ID[:]) })
}
