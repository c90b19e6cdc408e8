package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// RunStore proves the contract of authz.Store. Each call of open returns an
// empty store that no other call returned.
func RunStore(t *testing.T, open func(t *testing.T) authz.Store) {
	for name, f := range map[string]func(*testing.T, authz.Store){
		"empty":        storeEmpty,
		"walk":         storeWalk,
		"conflict":     storeConflict,
		"race":         storeRace,
		"each":         storeEach,
		"replace":      storeReplace,
		"repeated":     storeRepeated,
		"names":        storeNames,
		"times":        storeTimes,
		"history":      storeHistory,
		"cancelled":    func(t *testing.T, s authz.Store) { cancelled(t, s, s.Apply) },
		"one revision": storeOneRevision,
		"many":         storeMany,
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) { f(t, open(t)) })
	}
}

func storeEmpty(t *testing.T, s authz.Store) {
	holds(t, s, empty(), nil)
	require.Empty(t, history(t, s, 7))
	require.NoError(t, s.Apply(t.Context(), authz.Change{Revision: 1}), "a change of nothing is a change")
	holds(t, s, state{1, empty().held, empty().members, empty().roles}, []authz.Change{{Revision: 1}})
}

// Whatever is changed, what holds and the history are what was asked for.
func storeWalk(t *testing.T, s authz.Store) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	d, want := newDrawer(t, seed), empty()
	var made []authz.Change
	for range 30 {
		c := d.change(want)
		require.NoError(t, s.Apply(t.Context(), c))
		want, made = want.after(c), append(made, c)
		require.Equal(t, want, load(t, s))
	}
	holds(t, s, want, made)
}

// A change is made from the present revision or not at all.
func storeConflict(t *testing.T, s authz.Store) {
	d, want := newDrawer(t, 1), empty()
	var made []authz.Change
	for _, wrong := range []uint64{0, 2, 3, 1 << 62, 1 << 63, 1<<64 - 1} {
		require.ErrorIs(t, s.Apply(t.Context(), authz.Change{Revision: wrong, Add: []authz.Authorization{d.authorization()}}), authz.ErrConflict, "revision %d on an empty store", wrong)
	}
	for range 3 {
		c := authz.Change{Revision: want.revision + 1, Add: []authz.Authorization{d.authorization()}}
		require.NoError(t, s.Apply(t.Context(), c))
		want, made = want.after(c), append(made, c)
	}
	for _, wrong := range []uint64{0, 1, 2, 3, 5, 6, 1 << 63, 1<<64 - 1} {
		c := authz.Change{Revision: wrong, Add: []authz.Authorization{d.authorization()}, Remove: byID(want.held), Join: []authz.Membership{{Member: d.principal(), Team: d.team()}}, Define: []authz.RoleDefinition{d.definition()}}
		require.ErrorIs(t, s.Apply(t.Context(), c), authz.ErrConflict, "revision %d after 3", wrong)
	}
	holds(t, s, want, made)
}

// Of changes made from one revision at the same time, one is made.
func storeRace(t *testing.T, s authz.Store) {
	d, want := newDrawer(t, 2), empty()
	var made []authz.Change
	for range 5 {
		const writers = 6
		var wg sync.WaitGroup
		var changes [writers]authz.Change
		var errs [writers]error
		for i := range writers {
			changes[i] = authz.Change{Revision: want.revision + 1, Add: []authz.Authorization{d.authorization()}}
		}
		for i := range writers {
			wg.Go(func() { errs[i] = s.Apply(t.Context(), changes[i]) })
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, won, "two changes made one revision")
				won = i
			} else {
				require.ErrorIs(t, err, authz.ErrConflict)
			}
		}
		require.NotEqual(t, -1, won, "none of the changes was made")
		want, made = want.after(changes[won]), append(made, changes[won])
	}
	holds(t, s, want, made)
}

// An error of each ends Load at once, and a store goes on after it.
func storeEach(t *testing.T, s authz.Store) {
	d := newDrawer(t, 3)
	c := authz.Change{Revision: 1, Add: []authz.Authorization{d.authorization(), d.authorization(), d.authorization()}}
	require.NoError(t, s.Apply(t.Context(), c))
	enough := errors.New("enough")
	calls := 0
	_, err := s.Load(t.Context(), func(authz.Authorization) error {
		if calls++; calls == 2 {
			return enough
		}
		return nil
	})
	require.ErrorIs(t, err, enough)
	require.Equal(t, 2, calls, "calls of each")
	holds(t, s, empty().after(c), []authz.Change{c})
	require.NoError(t, s.Apply(t.Context(), authz.Change{Revision: 2}))
}

// What changes is removed and added under one id: removing comes first.
func storeReplace(t *testing.T, s authz.Store) {
	d := newDrawer(t, 4)
	x := d.authorization()
	y := d.authorization()
	y.ID = x.ID
	m := authz.Membership{Member: d.principal(), Team: d.team()}
	r, q := authz.RoleDefinition{Role: authz.MustRole("role:a")}, authz.RoleDefinition{Role: authz.MustRole("role:a"), Includes: []authz.Role{authz.MustRole("role:user")}}
	made := []authz.Change{
		{Revision: 1, Add: []authz.Authorization{x}, Join: []authz.Membership{m}, Define: []authz.RoleDefinition{r}},
		{Revision: 2, Add: []authz.Authorization{y}, Remove: []authz.Authorization{x}, Join: []authz.Membership{m}, Leave: []authz.Membership{m}, Define: []authz.RoleDefinition{q}, Undefine: []authz.RoleDefinition{r}},
	}
	want := empty()
	for _, c := range made {
		require.NoError(t, s.Apply(t.Context(), c))
		want = want.after(c)
	}
	require.Len(t, want.held, 1)
	holds(t, s, want, made)
}

// Twice is once, and what is not there can be removed.
func storeRepeated(t *testing.T, s authz.Store) {
	d, want := newDrawer(t, 5), empty()
	x, m, r := d.authorization(), authz.Membership{Member: d.principal(), Team: d.team()}, d.definition()
	var made []authz.Change
	for _, c := range []authz.Change{
		{Join: []authz.Membership{m}, Define: []authz.RoleDefinition{r}},
		{Join: []authz.Membership{m}, Define: []authz.RoleDefinition{r}},
		{Leave: []authz.Membership{m}, Undefine: []authz.RoleDefinition{r}, Remove: []authz.Authorization{x}},
		{Leave: []authz.Membership{m}, Undefine: []authz.RoleDefinition{r}, Remove: []authz.Authorization{x}},
	} {
		c.Revision = want.revision + 1
		require.NoError(t, s.Apply(t.Context(), c))
		want, made = want.after(c), append(made, c)
		require.Equal(t, want, load(t, s))
	}
	holds(t, s, want, made)
}

// Every name and every text comes back as it was, the longest too.
func storeNames(t *testing.T, s authz.Store) {
	d := newDrawer(t, 6)
	c := authz.Change{Revision: 1}
	for _, one := range segments() {
		x := d.authorization()
		x.Principal, x.GrantedBy, x.ApprovedBy = must2(t)(authz.User(one, one)), must2(t)(authz.Service(one)), must2(t)(authz.Team(one))
		x.Resource = must(t, must3(authz.NewResource("t", one)), nil)
		c.Add = append(c.Add, x)
		c.Join = append(c.Join, authz.Membership{Member: x.Principal, Team: x.ApprovedBy})
	}
	// As long as a name can be, twice in one membership.
	long := func(c string) string { return strings.Repeat(c, authz.MaxSegment) }
	x := d.authorization()
	x.Principal = must2(t)(authz.User(long("%"), long("/")))
	path := must(t, must3(authz.NewResource(long("%"), long("/"))), nil)
	for len(path.String())+1+authz.MaxSegment <= authz.MaxName {
		path = must(t, must3(path.Child(long("p"))), nil)
	}
	x.Resource = path
	c.Add = append(c.Add, x)
	c.Join = append(c.Join, authz.Membership{Member: x.Principal, Team: must2(t)(authz.Team(long("?")))})
	require.NoError(t, s.Apply(t.Context(), c))
	holds(t, s, empty().after(c), []authz.Change{c})
	out := authz.Change{Revision: 2, Remove: c.Add, Leave: c.Join}
	require.NoError(t, s.Apply(t.Context(), out))
	holds(t, s, empty().after(c).after(out), []authz.Change{c, out})
}

func must3(r authz.Resource, err error) authz.Resource {
	if err != nil {
		panic(err)
	}
	return r
}

// A moment is kept to the nanosecond, whatever zone it was said in.
func storeTimes(t *testing.T, s authz.Store) {
	d := newDrawer(t, 7)
	base := time.Date(2026, 10, 25, 0, 59, 59, 999_999_000, time.UTC)
	c := authz.Change{Revision: 1, Time: base.Add(1)}
	for _, at := range []time.Time{{}, base, base.Add(1), base.Add(999), base.Add(1000), base.Add(time.Hour).In(time.FixedZone("", 7200)), time.Unix(0, 0), time.Unix(-1e9, 1), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)} {
		x := d.authorization()
		x.From, x.Until = at, time.Time{}
		y := d.authorization()
		y.From, y.Until = time.Time{}, at
		c.Add = append(c.Add, x, y)
	}
	require.NoError(t, s.Apply(t.Context(), c))
	holds(t, s, empty().after(c), []authz.Change{c})
}

// The history can be read from anywhere, left at any point, and read while it
// grows.
func storeHistory(t *testing.T, s authz.Store) {
	d, want := newDrawer(t, 8), empty()
	var made []authz.Change
	const n = 130
	for i := range n {
		c := authz.Change{Revision: want.revision + 1, Author: d.principal(), Reason: fmt.Sprint(i), Time: d.time()}
		if i%3 == 0 {
			c.Add = append(c.Add, d.authorization())
		}
		require.NoError(t, s.Apply(t.Context(), c))
		want, made = want.after(c), append(made, c)
	}
	for _, after := range []uint64{0, 1, 49, 50, 51, 99, 100, n - 1, n, n + 1, 1 << 62, 1 << 63, 1<<64 - 1} {
		var left []authz.Change
		for _, c := range made[min(after, n):] {
			left = append(left, plainChange(c))
		}
		require.Equal(t, left, history(t, s, after), "after %d", after)
	}
	for stop := range 3 {
		seen := 0
		for c, err := range s.Changes(t.Context(), 0) {
			require.NoError(t, err)
			require.Equal(t, uint64(seen+1), c.Revision)
			if seen++; seen > stop {
				break
			}
		}
		require.Equal(t, stop+1, seen)
	}
	// Whoever reads may write.
	seen := uint64(0)
	for c, err := range s.Changes(t.Context(), n-2) {
		require.NoError(t, err)
		seen = c.Revision
		if seen == n-1 {
			more := authz.Change{Revision: n + 1}
			require.NoError(t, s.Apply(t.Context(), more))
			want, made = want.after(more), append(made, more)
		}
	}
	require.GreaterOrEqual(t, seen, uint64(n))
	holds(t, s, want, made)
}

// cancelled stops a change at every point: it is made whole or not at all.
func cancelled(t *testing.T, s authz.Store, apply func(context.Context, authz.Change) error) {
	d, want := newDrawer(t, 9), empty()
	var made []authz.Change
	whole := 0
	for looks := 0; whole < 3 && looks < 5000; looks += 1 + looks/6 {
		// Enough that there is a middle.
		c := authz.Change{Revision: want.revision + 1, Remove: byID(want.held)}
		for range 4 {
			c.Add = append(c.Add, d.authorization())
			c.Join = append(c.Join, authz.Membership{Member: d.principal(), Team: d.team()})
		}
		c.Leave = make([]authz.Membership, 0, len(want.members))
		for m := range want.members {
			if !slices.Contains(c.Join, m) {
				c.Leave = append(c.Leave, m)
			}
		}
		ctx, cancel := cancelledAfter(t.Context(), looks)
		err := apply(ctx, c)
		cancel()
		got := load(t, s)
		switch {
		case err == nil:
			require.Equal(t, want.after(c), got, "no error, cancelled at look %d", looks)
			want, made, whole = want.after(c), append(made, c), whole+1
		case got.revision == c.Revision: // made, although nobody could say so any more
			require.Equal(t, want.after(c), got, "whole: cancelled at look %d: %v", looks, err)
			want, made = want.after(c), append(made, c)
		default:
			require.Equal(t, want, got, "nothing: cancelled at look %d: %v", looks, err)
		}
	}
	require.Positive(t, whole, "no change was ever made")
	holds(t, s, want, made)

	// Reading stops too, or ends, and never lies.
	for _, looks := range []int{0, 1, 2, 3, 5, 8, 13, 21} {
		ctx, cancel := cancelledAfter(t.Context(), looks)
		n := 0
		if rest, err := s.Load(ctx, func(authz.Authorization) error { n++; return nil }); err == nil {
			require.Equal(t, want.revision, rest.Revision)
			require.Len(t, want.held, n)
		}
		n = 0
		var failed error
		for c, err := range s.Changes(ctx, 0) {
			if failed = err; err != nil {
				break
			}
			n++
			require.Equal(t, uint64(n), c.Revision)
		}
		if failed == nil {
			require.Equal(t, len(made), n, "a history without its end and without an error")
		}
		cancel()
	}
}

// All that Load returns is as of one revision, while others write.
func storeOneRevision(t *testing.T, s authz.Store) {
	d := newDrawer(t, 10)
	team := func(r uint64) authz.Membership {
		return authz.Membership{Member: must2(t)(authz.Service("s")), Team: must2(t)(authz.Team(fmt.Sprint(r)))}
	}
	role := func(r uint64) authz.RoleDefinition {
		return authz.RoleDefinition{Role: authz.MustRole(fmt.Sprintf("role:r%d", r))}
	}
	// At each revision everything bears its number.
	at := func(r uint64) authz.Change {
		c := authz.Change{Revision: r, Join: []authz.Membership{team(r)}, Define: []authz.RoleDefinition{role(r)}}
		for range 3 {
			x := d.authorization()
			x.Reason = fmt.Sprint(r)
			c.Add = append(c.Add, x)
		}
		return c
	}
	last := at(1)
	require.NoError(t, s.Apply(t.Context(), last))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			c := at(last.Revision + 1)
			c.Remove, c.Leave, c.Undefine = last.Add, last.Join, last.Define
			if err := s.Apply(context.Background(), c); err != nil {
				t.Error(err)
				return
			}
			last = c
		}
	})
	for range 40 {
		var of []string
		rest, err := s.Load(t.Context(), func(x authz.Authorization) error { of = append(of, x.Reason); return nil })
		if err == nil {
			r := fmt.Sprint(rest.Revision)
			if !slices.Equal(of, []string{r, r, r}) || !slices.Equal(rest.Memberships, []authz.Membership{team(rest.Revision)}) || len(rest.Roles) != 1 || rest.Roles[0].Role != role(rest.Revision).Role {
				err = fmt.Errorf("revision %s came with assignments of %v, memberships %v, roles %v", r, of, rest.Memberships, rest.Roles)
			}
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// More than any page or batch.
func storeMany(t *testing.T, s authz.Store) {
	d := newDrawer(t, 11)
	c := authz.Change{Revision: 1, Time: time.Unix(1, 0)}
	who, on := d.principal(), d.resource()
	for i := range 2345 {
		x := authz.Authorization{ID: uuid.New(), Principal: who, Role: d.role(), Resource: on, Effect: authz.Allow, Reason: fmt.Sprint(i)}
		c.Add = append(c.Add, x)
	}
	require.NoError(t, s.Apply(t.Context(), c))
	require.Equal(t, empty().after(c), load(t, s))
	less := authz.Change{Revision: 2, Remove: c.Add[:1234]}
	require.NoError(t, s.Apply(t.Context(), less))
	holds(t, s, empty().after(c).after(less), []authz.Change{c, less})
}
