package authz

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// forgetful is a store that other processes change behind its history.
type forgetful struct {
	*memoryStore
	load    func() error
	extra   []Authorization // what it loads beside what it keeps
	changes iter.Seq2[Change, error]
}

func (s *forgetful) Load(ctx context.Context, each func(Authorization) error) (Assignments, error) {
	if s.load != nil {
		if err := s.load(); err != nil {
			return Assignments{}, err
		}
	}
	rest, err := s.memoryStore.Load(ctx, each)
	for _, x := range s.extra {
		if err == nil {
			err = each(x)
		}
	}
	return rest, err
}

func (s *forgetful) Changes(ctx context.Context, after uint64) iter.Seq2[Change, error] {
	if s.changes != nil {
		return s.changes
	}
	return s.memoryStore.Changes(ctx, after)
}

// kept is all that an Authorizer decides by.
type kept struct {
	Revision uint64
	All      map[uuid.UUID]Authorization
	Members  []string
	Roles    []string
}

func decidesBy(a *Authorizer) kept {
	k := kept{Revision: a.ix.revision(), All: map[uuid.UUID]Authorization{}}
	for x := range a.ix.each() {
		k.All[x.ID] = x
	}
	for _, m := range a.ix.memberships() {
		k.Members = append(k.Members, m.Member.name+" in "+m.Team.name)
	}
	for _, d := range a.ix.roles() {
		k.Roles = append(k.Roles, fmt.Sprint(d))
	}
	slices.Sort(k.Members)
	slices.Sort(k.Roles)
	return k
}

// Whatever a store holds when its history does not reach back to what is known
// here, it is what counts afterwards: as if this process had just begun.
func TestLoadedAnewIsAsJustBegun(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) }
		ids := []uuid.UUID{{1}, {2}, {3}, {4}}
		state := func(what string) *memoryStore {
			m := &memoryStore{all: map[uuid.UUID]Authorization{}, rest: Assignments{Revision: uint64(1 + draw(3, "revision"))}}
			for i := range 2 {
				if draw(2, what+" role") == 0 {
					d := RoleDefinition{Role: Role{fmt.Sprintf("role:own%d", i)}, Permissions: []Permission{{"crm.items.read"}}}
					if draw(2, what+" wider") == 0 {
						d.Permissions = append(d.Permissions, Permission{"crm.items.write"})
					}
					m.rest.Roles = append(m.rest.Roles, d)
				}
			}
			for _, id := range ids {
				if draw(2, what+" there") == 0 {
					x := Authorization{ID: id, Principal: Principal{fmt.Sprintf("user:idp/%d", draw(2, "who"))}, Role: Role{"role:user"}, Resource: Resource{fmt.Sprintf("t/%d", draw(2, "on"))}, Effect: Effect(1 + draw(2, "effect"))}
					if n := draw(3, "own"); n < len(m.rest.Roles) {
						x.Role = m.rest.Roles[n].Role
					}
					m.all[id] = x
				}
			}
			for _, p := range []string{"user:idp/0", "user:idp/1", "team:b"} {
				if draw(2, what+" member") == 0 {
					m.rest.Memberships = append(m.rest.Memberships, Membership{Principal{p}, Principal{"team:a"}})
				}
			}
			return m
		}
		s := &forgetful{memoryStore: state("before")}
		a, err := New(t.Context(), files(t, nil), &Options{Store: s})
		require.NoError(rt, err)
		known := a.Revision()
		s.memoryStore = state("after")
		s.rest.Revision = known + 2
		s.changes = func(yield func(Change, error) bool) { yield(Change{Revision: known + 2}, nil) }
		n, err := a.Refresh(t.Context())
		require.NoError(rt, err)
		require.Equal(rt, known+2, n)
		b, err := New(t.Context(), files(t, nil), &Options{Store: s})
		require.NoError(rt, err)
		require.Equal(rt, decidesBy(b), decidesBy(a))
		for _, x := range s.all {
			for _, perm := range []string{"mailbox.items.read", "crm.items.read", "crm.items.write"} {
				req := Request{Principal: x.Principal, Permission: Permission{perm}, Resource: x.Resource}
				want, err := b.Check(t.Context(), req)
				require.NoError(rt, err)
				got, err := a.Check(t.Context(), req)
				require.NoError(rt, err)
				require.Equal(rt, want.Allowed, got.Allowed)
			}
		}
	})
}

// What is loaded anew and has not changed stays as it is in memory.
func TestLoadedAnewTouchesOnlyWhatChanged(t *testing.T) {
	s := &forgetful{memoryStore: &memoryStore{}}
	ana, ben := Principal{"user:idp/ana"}, Principal{"user:idp/ben"}
	seed := []Authorization{{ID: uuid.UUID{1}, Principal: ana, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}, {ID: uuid.UUID{2}, Principal: ben, Role: Role{"role:user"}, Resource: Resource{"t/b"}, Effect: Allow}}
	a, err := New(t.Context(), files(t, nil), &Options{Store: s, Seed: seed})
	require.NoError(t, err)
	before := a.ix.slab.word(a.ix.numberOf(ana.name))
	x := s.all[uuid.UUID{2}]
	x.Reason = "another"
	s.all[uuid.UUID{2}] = x
	s.rest.Revision = 5
	s.changes = func(yield func(Change, error) bool) { yield(Change{Revision: 5}, nil) }
	_, err = a.Refresh(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, a.ix.slab.word(a.ix.numberOf(ana.name)))
	require.Equal(t, "another", a.ix.heldBy(ben)[0].Reason)
}

// What could not be written is not loaded either, and a store that does not
// answer gives nothing; in a running process what was known still counts.
func TestWhatCannotCountIsNotLoaded(t *testing.T) {
	failed := errors.New("no")
	good := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow}
	no, twice, worthless, nameless, idle, vague := good, good, good, good, good, good
	nameless.ID = uuid.Nil
	idle.ID, idle.Role = uuid.UUID{4}, Role{}
	vague.ID, vague.Condition = uuid.UUID{5}, "hour =="
	twice.Reason = "again"
	no.ID, no.Role = uuid.UUID{2}, Role{"role:gone"}
	worthless.ID, worthless.Effect = uuid.UUID{3}, 0
	for name, c := range map[string]struct {
		harm func(s *forgetful)
		says string
	}{
		"it fails":                 {func(s *forgetful) { s.load = func() error { return failed } }, "no"},
		"a role that is gone":      {func(s *forgetful) { s.extra = []Authorization{no} }, "role:gone"},
		"one id twice":             {func(s *forgetful) { s.extra = []Authorization{twice, twice} }, "used twice"},
		"one without effect":       {func(s *forgetful) { s.extra = []Authorization{worthless} }, "effect"},
		"one without an id":        {func(s *forgetful) { s.extra = []Authorization{nameless} }, "missing or used twice"},
		"one without a role":       {func(s *forgetful) { s.extra = []Authorization{idle} }, "role: missing"},
		"a condition that is none": {func(s *forgetful) { s.extra = []Authorization{vague} }, "condition"},
		"more than one may hold": {func(s *forgetful) {
			for i := range maxRun + 1 {
				x := good
				x.ID = uuid.UUID{9, byte(i), byte(i >> 8), byte(i >> 16)}
				s.extra = append(s.extra, x)
			}
		}, "65535 at most"},
		"teams in a circle": {func(s *forgetful) {
			s.rest.Memberships = []Membership{{Principal{"team:a"}, Principal{"team:b"}}, {Principal{"team:b"}, Principal{"team:a"}}}
		}, "circle"},
		"a role of the policy": {func(s *forgetful) {
			s.rest.Roles = []RoleDefinition{{Role: Role{"role:user"}, Permissions: []Permission{{"crm.items.read"}}}}
		}, "role:user"},
		"too many of one, one bad": {func(s *forgetful) {
			for i := range fillPiece {
				x := worthless
				x.ID = uuid.UUID{9, byte(i), byte(i >> 8), byte(i >> 16)}
				s.extra = append(s.extra, x)
			}
		}, "effect"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &forgetful{memoryStore: &memoryStore{}}
			a, err := New(t.Context(), files(t, nil), &Options{Store: s, Seed: []Authorization{good}})
			require.NoError(t, err)
			before := decidesBy(a)
			c.harm(s)
			s.changes = func(yield func(Change, error) bool) { yield(Change{Revision: 9}, nil) }
			n, err := a.Refresh(t.Context())
			require.ErrorContains(t, err, c.says)
			require.Equal(t, uint64(1), n)
			require.Equal(t, before, decidesBy(a), "what was known counts")
			_, err = New(t.Context(), files(t, nil), &Options{Store: s})
			require.ErrorContains(t, err, c.says)
		})
	}
}

// More than is held beside the index while it is filled is loaded all the same,
// piece by piece.
func TestMoreThanAPieceIsLoaded(t *testing.T) {
	s := &forgetful{memoryStore: &memoryStore{rest: Assignments{Revision: 1}}}
	for i := range 2*fillPiece + 3 {
		s.extra = append(s.extra, Authorization{ID: uuid.UUID{9, byte(i), byte(i >> 8), byte(i >> 16)}, Principal: Principal{fmt.Sprintf("user:idp/%d", i%999)}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow})
	}
	a, err := New(t.Context(), files(t, nil), &Options{Store: s})
	require.NoError(t, err)
	n := 0
	for range a.ix.each() {
		n++
	}
	require.Equal(t, len(s.extra), n)
	largest := 0 // of what was written at once
	for i := range *a.ix.slab.dir.Load() {
		if b := (*a.ix.slab.dir.Load())[i].Load(); b != nil {
			largest = max(largest, b.live)
		}
	}
	require.LessOrEqual(t, largest, blockSize)
}

// An empty store with nothing to begin with stays empty.
func TestNothingToBeginWithIsNoChange(t *testing.T) {
	s := &memoryStore{}
	a, err := New(t.Context(), files(t, nil), &Options{Store: s})
	require.NoError(t, err)
	require.Zero(t, a.Revision())
	require.Zero(t, s.rest.Revision)
	require.Empty(t, s.history)
}

// A Store that is the Sink too is used as both when no other Sink is named, or
// when it is itself; a Sink that is named is the one that is used.
func TestWhichSinkIsUsed(t *testing.T) {
	for _, named := range []string{"none", "itself", "another"} {
		st, m := &bothInOne{Memory: *NewMemory(0)}, NewMemory(0)
		o := Options{Store: st, Seed: []Authorization{{Principal: Principal{"user:idp/boss"}, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow}}}
		switch named {
		case "itself":
			o.Audit = st
		case "another":
			o.Audit = m
		}
		a, err := New(t.Context(), files(t, nil), &o)
		require.NoError(t, err)
		g, err := a.Authorize(t.Context(), Request{Principal: Principal{"user:idp/boss"}, Permission: Permission{writeAuthorizations}, Resource: Resource{"t"}})
		require.NoError(t, err)
		_, err = a.Edit(g).Assign(t.Context(), Authorization{Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow})
		require.NoError(t, err)
		if named == "another" {
			require.Len(t, m.Records(), 2)
			require.Empty(t, st.Memory.Records())
		} else {
			require.Len(t, st.Memory.Records(), 2)
			require.Equal(t, 1, st.alone, "the change is with its record")
		}
	}
}

// Both answers of a request on behalf of another are of one revision, whatever
// changes between them.
func TestBothAnswersAreOfOneRevision(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	worker, ana, at := Principal{"service:sync"}, Principal{"user:idp/ana"}, Resource{"t"}
	seed := []Authorization{{ID: uuid.UUID{1}, Principal: worker, Role: Role{"role:user"}, Resource: at, Effect: Allow}}
	var between func()
	clock := func() time.Time {
		if f := between; f != nil {
			between = nil
			f()
		}
		return now
	}
	a, err := New(t.Context(), files(t, nil), &Options{Seed: seed, Clock: clock})
	require.NoError(t, err)
	// The clock is read for the second answer, as only what it rests on has an end.
	bounded := Authorization{ID: uuid.UUID{2}, Principal: ana, Role: Role{"role:user"}, Resource: at, Effect: Deny, Until: now.Add(time.Hour)}
	a.ix.apply(Change{Revision: 2, Add: []Authorization{bounded}})
	between = func() { // from: the worker may, she may not; to: she may, the worker may not
		allow := bounded
		allow.ID, allow.Effect = uuid.UUID{3}, Allow
		a.ix.apply(Change{Revision: 3, Remove: []Authorization{seed[0], bounded}, Add: []Authorization{allow}})
	}
	d, err := a.Check(t.Context(), Request{Principal: worker, OnBehalfOf: ana, Permission: Permission{"mailbox.items.read"}, Resource: at})
	require.NoError(t, err)
	require.False(t, d.Allowed, "at no time were both allowed")
	require.Equal(t, uint64(3), d.Revision)
	require.Equal(t, worker, d.Principal)
}

// Of two who are refused the one who acts is named.
func TestWhoActsIsRefusedFirst(t *testing.T) {
	a, req := audited(t, NewMemory(0), time.Minute)
	for _, c := range []struct{ acts, behalf, named string }{{"user:x/1", "user:x/2", "user:x/1"}, {"user:x/1", "user:idp/ana", "user:x/1"}, {"user:idp/ana", "user:x/2", "user:x/2"}, {"user:idp/ana", "user:idp/ana", "user:idp/ana"}} {
		req.Principal, req.OnBehalfOf = Principal{c.acts}, Principal{c.behalf}
		d, err := a.Check(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, c.named, d.Principal.name)
		require.Equal(t, c.acts == c.behalf, d.Allowed)
		require.Equal(t, d, decideBy(a.ix, req))
	}
}
