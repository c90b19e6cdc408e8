package authz

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A policy that is too large, or of which a part is missing, is refused.
func TestAPolicyHasBounds(t *testing.T) {
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	pairs := func(n int) string { // n permissions on either side
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "l.p%d, x\nr.p%d, x\n", i, i)
		}
		return b.String()
	}
	const all = "p, role:all, p.*\n"
	for name, c := range map[string]struct {
		permissions, roles, says string
	}{
		"permissions":             {lines(maxPermissions, "p.n%d, x\n"), all, ""},
		"too many permissions":    {lines(maxPermissions+1, "p.n%d, x\n"), all, "4097 permissions"},
		"roles":                   {"p.a, x\n", lines(maxRoles, "p, role:r%d, p.a\n"), ""},
		"too many roles":          {"p.a, x\n", lines(maxRoles+1, "p, role:r%d, p.a\n"), "4097 roles"},
		"pairs":                   {pairs(64), "p, role:l, l.*\np, role:r, r.*\nx, l.*, r.*\n", ""},
		"too many pairs":          {pairs(65), "p, role:l, l.*\np, role:r, r.*\nx, l.*, r.*\n", "more than 4096 pairs"},
		"too many pairs, in rows": {pairs(64) + "o.p, x\n", "p, role:l, l.*\np, role:r, r.*\np, role:o, o.*\nx, l.*, r.*\nx, o.p, r.p1\n", "more than 4096 pairs"},
		"the same pairs again":    {pairs(64), "p, role:l, l.*\np, role:r, r.*\nx, l.*, r.*\nx, r.*, l.*\n", ""},
		"a long line, first":      {strings.Repeat("x", 70_000) + "\n", all, "permissions.csv:1: here or after"},
		"a long line, later":      {"p.a, x\n\n" + strings.Repeat("x", 70_000) + "\n", all, "permissions.csv:2: here or after"},
		"no roles":                {"p.a, x\n", "", "roles.csv"},
		"roles of nothing":        {"p.a, x\n", "# none\n", "0 roles"},
	} {
		_, err := readPolicy(files(t, map[string]string{"permissions.csv": c.permissions, "roles.csv": c.roles}))
		if c.says == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.says, name)
		}
	}
}

// once lets a file be opened so many times.
type once struct {
	fs.FS
	name string
	left int
}

func (o *once) Open(name string) (fs.File, error) {
	if name == o.name {
		if o.left--; o.left < 0 {
			return nil, fs.ErrPermission
		}
	}
	return o.FS.Open(name)
}

// Rules that cannot be read the second time are none.
func TestRulesThatVanish(t *testing.T) {
	for n := range 2 {
		rs, err := Rules(&once{files(t, nil), "roles.csv", n})
		require.ErrorIs(t, err, fs.ErrPermission)
		require.Nil(t, rs)
	}
	rs, err := Rules(&once{files(t, nil), "roles.csv", 2})
	require.NoError(t, err)
	require.NotEmpty(t, rs)
}

// deaf takes no change.
type deaf struct{ memoryStore }

var errDeaf = errors.New("deaf")

func (*deaf) Apply(context.Context, Change) error { return errDeaf }

// An installation whose beginning cannot be stored does not begin, and a reader
// of a store that gives up is told so.
func TestWhatIsNotStoredDoesNotBegin(t *testing.T) {
	x := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/a"}, Role: Role{"role:user"}, Resource: Resource{"t"}, Effect: Allow}
	_, err := New(t.Context(), files(t, nil), &Options{Store: &deaf{}, Seed: []Authorization{x}})
	require.ErrorIs(t, err, errDeaf)
	s := &memoryStore{}
	require.NoError(t, s.Apply(t.Context(), Change{Revision: 1, Add: []Authorization{x}}))
	rest, err := s.Load(t.Context(), func(Authorization) error { return errDeaf })
	require.ErrorIs(t, err, errDeaf)
	require.Zero(t, rest)
	for _, wrong := range []uint64{0, 1, 3} {
		require.ErrorIs(t, s.Apply(t.Context(), Change{Revision: wrong}), ErrConflict)
	}
	// A role that is defined anew without being taken out first is there once.
	d := RoleDefinition{Role: Role{"role:d"}}
	require.Equal(t, []RoleDefinition{d}, Change{Define: []RoleDefinition{d}}.apply(Assignments{Roles: []RoleDefinition{d}}).Roles)
	// A membership that is made anew is there once.
	m := Membership{Principal{"user:i/a"}, Principal{"team:t"}}
	require.Equal(t, []Membership{m}, Change{Join: []Membership{m}}.apply(Assignments{Memberships: []Membership{m}}).Memberships)
	for range s.Changes(t.Context(), 0) {
		break
	}
}

// What is asked of an index about things that it does not have is no.
func TestAnIndexIsAskedAboutWhatItDoesNotHave(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	require.False(t, a.cat.carries(1<<16-1, 0), "a role that came later")
	before := decidesBy(a)
	gone := a.ix.heldBy(req.Principal)[0]
	gone.ID = uuid.UUID{7}
	a.ix.apply(Change{Revision: 1, Remove: []Authorization{gone}})
	require.Equal(t, before, decidesBy(a))
	w := why{a: a, ix: a.ix, req: req}
	require.Equal(t, []Principal{{"team:x"}}, w.chain(req.Principal, Principal{"team:x"}))
	require.Empty(t, w.chain(req.Principal, req.Principal))
}

// A reader that comes between the moving of a run and the word that says where it
// is now waits for that word.
func TestAReaderWaitsForARunThatMoves(t *testing.T) {
	a, req := audited(t, NewMemory(0), 0)
	s := &a.ix.slab
	n := a.ix.numberOf(req.Principal.name)
	r, b := s.read(n)
	require.NotNil(t, b)
	at := (*s.dir.Load())[r.block()]
	at.Store(nil)
	var wg sync.WaitGroup
	var got *block
	began := make(chan struct{})
	wg.Go(func() { close(began); _, got = s.read(n) })
	<-began
	for range 100 {
		runtime.Gosched()
	}
	at.Store(b)
	wg.Wait()
	require.Same(t, b, got)
}
