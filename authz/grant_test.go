package authz_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

const (
	ana   = "user:idp/ana"
	admin = "user:idp/admin"
)

var start = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func ask(t testing.TB, who, permission, on string) authz.Request {
	return authz.Request{Principal: authztest.Principal(t, who), Permission: authz.MustPermission(permission), Resource: authztest.Resource(t, on)}
}

func grant(t testing.TB, a *authz.Authorizer, who, permission, on string) authz.Grant {
	t.Helper()
	g, err := a.Authorize(t.Context(), ask(t, who, permission, on))
	require.NoError(t, err)
	return g
}

func covers(t testing.TB, g authz.Grant, permission, on string) error {
	return g.Covers(authz.MustPermission(permission), authztest.Resource(t, on))
}

// clock is a time that moves when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// evidence: P23
func TestGrantCoversWhatWasAskedAndBelow(t *testing.T) {
	w := authztest.New(t, "allow "+ana+" role:user tenants/acme/users/ana", "allow "+ana+" role:user tenants/acme/users/anaa",
		"deny "+ana+" role:user tenants/acme/users/ana/mailbox/private")
	g := grant(t, w.Authorizer, ana, "mailbox.items.read", "tenants/acme/users/ana/mailbox")
	for on, ok := range map[string]bool{
		"tenants/acme/users/ana/mailbox":           true,
		"tenants/acme/users/ana/mailbox/work":      true,
		"tenants/acme/users/ana/mailbox/work/2030": true,
		"tenants/acme/users/ana/mailbox/private":   false, // a deny below the granted
		"tenants/acme/users/ana/mailbox/private/x": false,
		"tenants/acme/users/ana/mailboxes":         false, // a longer name, not a child
		"tenants/acme/users/ana":                   false, // allowed, but not what was asked
		"tenants/acme/users/anaa/mailbox":          false,
		"tenants/acme":                             false,
		"tenants/beta/users/ana/mailbox":           false,
	} {
		err := covers(t, g, "mailbox.items.read", on)
		require.Equal(t, ok, err == nil, "%s: %v", on, err)
		if err != nil {
			require.ErrorIs(t, err, authz.ErrDenied)
		}
	}
	require.ErrorIs(t, covers(t, g, "mailbox.items.write", "tenants/acme/users/ana/mailbox"), authz.ErrDenied, "held, but not granted")
	require.ErrorIs(t, g.Covers(authz.Permission{}, authztest.Resource(t, "tenants/acme/users/ana/mailbox")), authz.ErrDenied)
	require.ErrorIs(t, g.Covers(authz.MustPermission("mailbox.items.read"), authz.Resource{}), authz.ErrDenied)
	require.Equal(t, ana, g.Principal().String())
	require.True(t, g.Decision().Allowed)
	require.Equal(t, "grant of mailbox.items.read on tenants/acme/users/ana/mailbox", g.String())
}

func TestZeroValuesRefuse(t *testing.T) {
	var g authz.Grant
	require.ErrorIs(t, g.Covers(authz.Permission{}, authz.Resource{}), authz.ErrDenied)
	require.ErrorIs(t, covers(t, g, "mailbox.items.read", "a"), authz.ErrDenied)
	require.Equal(t, "no grant", g.String())
	require.Equal(t, authz.Principal{}, g.Principal())
	require.False(t, g.Decision().Allowed)

	w := authztest.New(t, "allow "+ana+" role:user tenants")
	full := ask(t, ana, "mailbox.items.read", "tenants/acme")
	for name, req := range map[string]authz.Request{
		"zero":          {},
		"no principal":  {Permission: full.Permission, Resource: full.Resource},
		"no permission": {Principal: full.Principal, Resource: full.Resource},
		"no resource":   {Principal: full.Principal, Permission: full.Permission},
		"only behalf":   {OnBehalfOf: full.Principal, Permission: full.Permission, Resource: full.Resource},
	} {
		d, err := w.Check(t.Context(), req)
		require.ErrorIs(t, err, authz.ErrDenied, name)
		require.False(t, d.Allowed)
		require.Equal(t, authz.BadRequest, d.Code)
		g, err := w.Authorize(t.Context(), req)
		require.ErrorIs(t, err, authz.ErrDenied, name)
		require.Equal(t, authz.Grant{}, g)
		_, err = w.Explain(t.Context(), req)
		require.ErrorIs(t, err, authz.ErrDenied, name)
	}

	for _, a := range []*authz.Authorizer{nil, {}} {
		d, err := a.Check(t.Context(), full)
		require.ErrorIs(t, err, authz.ErrDenied)
		require.False(t, d.Allowed)
		_, err = a.Authorize(t.Context(), full)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = a.Explain(t.Context(), full)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = a.Authorizations(g, full.Resource)
		require.ErrorIs(t, err, authz.ErrDenied)
		for range a.Permissions() {
			t.Error("a permission of nothing")
		}
		for range a.Roles() {
			t.Error("a role of nothing")
		}
		refuseEdits(t, a.Edit(g))
	}
	refuseEdits(t, authz.Editor{})
	refuseEdits(t, w.Edit(authz.Grant{}))
	_, err := w.Authorizations(authz.Grant{}, full.Resource)
	require.ErrorIs(t, err, authz.ErrDenied)
}

func refuseEdits(t *testing.T, e authz.Editor) {
	t.Helper()
	_, err := e.Assign(t.Context(), authz.Authorization{})
	require.ErrorIs(t, err, authz.ErrDenied)
	require.ErrorIs(t, e.Revoke(t.Context(), uuid.New(), ""), authz.ErrDenied)
	m := authz.Membership{Member: authztest.Principal(t, ana), Team: authztest.Principal(t, "team:ops")}
	require.ErrorIs(t, e.Join(t.Context(), m, ""), authz.ErrDenied)
	require.ErrorIs(t, e.Leave(t.Context(), m, ""), authz.ErrDenied)
}

func TestUnknownPermissionIsRefused(t *testing.T) {
	w := authztest.New(t, "allow "+ana+" role:user tenants")
	d, err := w.Check(t.Context(), ask(t, ana, "mailbox.items.raed", "tenants"))
	require.NoError(t, err)
	require.Equal(t, authz.UnknownPermission, d.Code)
	require.False(t, d.Allowed)
	_, err = w.Authorize(t.Context(), ask(t, ana, "mailbox.items.raed", "tenants"))
	require.ErrorIs(t, err, authz.ErrDenied)
	x, err := w.Explain(t.Context(), ask(t, ana, "mailbox.items.raed", "tenants"))
	require.NoError(t, err)
	require.Contains(t, x.Reason, "no such permission")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d, err = w.Check(ctx, ask(t, ana, "mailbox.items.read", "tenants"))
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, d.Allowed)
}

func TestGrantEndsByTheClock(t *testing.T) {
	for name, c := range map[string]struct {
		ttl          time.Duration
		from, until  time.Duration // of the Authorization, from now; zero: open
		denyFrom     time.Duration
		behalfEnds   time.Duration
		lasts, after time.Duration
	}{
		"by its own time":               {ttl: time.Minute, lasts: time.Minute - 1, after: time.Minute},
		"ten minutes unless told":       {lasts: 10*time.Minute - 1, after: 10 * time.Minute},
		"with the Authorization":        {until: 30 * time.Second, lasts: 30*time.Second - 1, after: 30 * time.Second},
		"at its own time, if sooner":    {ttl: time.Second, until: 30 * time.Second, lasts: time.Second - 1, after: time.Second},
		"when a deny begins":            {denyFrom: 20 * time.Second, lasts: 20*time.Second - 1, after: 20 * time.Second},
		"with what the other one holds": {behalfEnds: 15 * time.Second, lasts: 15*time.Second - 1, after: 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			k := &clock{t: start}
			on := authztest.Resource(t, "tenants/acme/users/ana")
			allow := authz.Authorization{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:user"), Resource: on, Effect: authz.Allow}
			if c.until > 0 {
				allow.Until = start.Add(c.until)
			}
			seed := []authz.Authorization{allow}
			req := ask(t, ana, "mailbox.items.read", "tenants/acme/users/ana")
			if c.denyFrom > 0 {
				deny := allow
				deny.Effect, deny.From = authz.Deny, start.Add(c.denyFrom)
				seed = append(seed, deny)
			}
			if c.behalfEnds > 0 {
				other := allow
				other.Principal, other.Until = authztest.Principal(t, "user:idp/ben"), start.Add(c.behalfEnds)
				req.OnBehalfOf = other.Principal
				seed = append(seed, other)
			}
			a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Clock: k.now, GrantTTL: c.ttl, Seed: seed})
			require.NoError(t, err)
			g, err := a.Authorize(t.Context(), req)
			require.NoError(t, err)
			k.add(c.lasts)
			require.NoError(t, g.Covers(req.Permission, on))
			require.NoError(t, g.Covers(req.Permission, authztest.Resource(t, "tenants/acme/users/ana/mailbox")))
			k.add(c.after - c.lasts)
			require.ErrorIs(t, g.Covers(req.Permission, on), authz.ErrDenied)
			require.ErrorIs(t, g.Covers(req.Permission, authztest.Resource(t, "tenants/acme/users/ana/mailbox")), authz.ErrDenied)
		})
	}
}

func TestAuthorizationsCountFromAndUntil(t *testing.T) {
	k := &clock{t: start}
	a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Clock: k.now, Seed: []authz.Authorization{{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:user"),
		Resource: authztest.Resource(t, "tenants/acme"), Effect: authz.Allow, From: start.Add(time.Minute), Until: start.Add(2 * time.Minute)}}})
	require.NoError(t, err)
	for _, c := range []struct {
		at time.Duration
		ok bool
	}{{0, false}, {time.Minute - 1, false}, {time.Minute, true}, {2*time.Minute - 1, true}, {2 * time.Minute, false}, {time.Hour, false}} {
		k.mu.Lock()
		k.t = start.Add(c.at)
		k.mu.Unlock()
		d, err := a.Check(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/acme"))
		require.NoError(t, err)
		require.Equal(t, c.ok, d.Allowed, c.at)
	}
}

// A revocation, a deny, a lost membership: each ends live Grants at once, and
// nothing of this needs the Grant's time to pass.
func TestRevocationEndsLiveGrants(t *testing.T) {
	k := &clock{t: start}
	w := authztest.NewAt(t, k.now, "allow "+admin+" role:administration tenants", "allow "+admin+" role:tenant-admin tenants", "allow "+admin+" role:user tenants",
		"member "+ana+" team:acme", "allow team:acme role:user tenants/acme")
	edit := w.Edit(grant(t, w.Authorizer, admin, "authz.authorizations.write", "tenants"))
	read := func() authz.Grant {
		t.Helper()
		g := grant(t, w.Authorizer, ana, "mailbox.items.read", "tenants/acme")
		require.NoError(t, covers(t, g, "mailbox.items.read", "tenants/acme"))
		return g
	}
	ended := func(gs ...authz.Grant) {
		t.Helper()
		for _, g := range gs {
			require.ErrorIs(t, covers(t, g, "mailbox.items.read", "tenants/acme"), authz.ErrDenied)
			require.ErrorIs(t, covers(t, g, "mailbox.items.read", "tenants/acme/users/x"), authz.ErrDenied)
		}
	}
	before := read()
	first := before.Decision().Revision

	x := authz.Authorization{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/acme"), Effect: authz.Deny}
	deny, err := edit.Assign(t.Context(), x)
	require.NoError(t, err)
	ended(before)
	require.NoError(t, edit.Revoke(t.Context(), deny, "mistake"))
	require.NoError(t, covers(t, before, "mailbox.items.read", "tenants/acme"), "the decision holds again and the Grant is young")

	m := authz.Membership{Member: authztest.Principal(t, ana), Team: authztest.Principal(t, "team:acme")}
	require.NoError(t, edit.Leave(t.Context(), m, "left"))
	ended(before)
	require.NoError(t, edit.Join(t.Context(), m, "back"))

	x.Effect = authz.Allow
	own, err := edit.Assign(t.Context(), x)
	require.NoError(t, err)
	both := read()
	require.Equal(t, first+5, both.Decision().Revision, "a revision for each change")
	require.NoError(t, edit.Revoke(t.Context(), own, ""))
	require.NoError(t, covers(t, both, "mailbox.items.read", "tenants/acme"), "the team still allows it")
	require.NoError(t, edit.Leave(t.Context(), m, ""))
	ended(before, both)
	_, err = w.Authorize(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
}

// A worker can do no more than the user it serves, and the user through the
// worker no more than the worker.
func TestOnBehalfOfNeedsBoth(t *testing.T) {
	const worker = "service:sync"
	w := authztest.New(t, "allow "+worker+" role:sync-worker tenants/acme", "allow "+ana+" role:user tenants/acme/users/ana")
	for _, c := range []struct {
		who, behalf, permission, on string
		ok                          bool
		decided                     string
	}{
		{worker, ana, "mailbox.items.read", "tenants/acme/users/ana", true, worker},
		{worker, ana, "mailbox.items.read", "tenants/acme/users/ben", false, ana},
		{worker, ana, "crm.items.read", "tenants/acme/users/ana", false, ana},
		{worker, ana, "sync.issues.names.read", "tenants/acme/users/ana", false, worker},
		{ana, worker, "sync.issues.names.read", "tenants/acme/users/ana", false, worker},
		{worker, "user:idp/nobody", "mailbox.items.read", "tenants/acme/users/ana", false, "user:idp/nobody"},
	} {
		req := ask(t, c.who, c.permission, c.on)
		req.OnBehalfOf = authztest.Principal(t, c.behalf)
		d, err := w.Check(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, c.ok, d.Allowed, "%+v: %s", c, d.Reason())
		require.Equal(t, c.decided, d.Principal.String())
		g, err := w.Authorize(t.Context(), req)
		require.Equal(t, c.ok, err == nil)
		require.Equal(t, c.ok, g.Covers(req.Permission, req.Resource) == nil)
	}
}

func TestExplainNamesWhatIsNearest(t *testing.T) {
	k := &clock{t: start}
	seed := func(role, on string, effect authz.Effect, from, until time.Time) authz.Authorization {
		return authz.Authorization{Principal: authztest.Principal(t, ana), Role: authz.MustRole(role), Resource: authztest.Resource(t, on), Effect: effect, From: from, Until: until}
	}
	a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Clock: k.now, Seed: []authz.Authorization{
		seed("role:user", "tenants/acme/users/ana", authz.Allow, time.Time{}, time.Time{}),
		seed("role:user", "tenants/beta", authz.Allow, start.Add(-2*time.Hour), start.Add(-time.Hour)),
		seed("role:user", "tenants/beta", authz.Allow, start.Add(time.Hour), time.Time{}),
		seed("role:support", "tenants/gamma", authz.Deny, time.Time{}, time.Time{}),
	}})
	require.NoError(t, err)
	x, err := a.Explain(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/beta"))
	require.NoError(t, err)
	require.False(t, x.Decision.Allowed)
	require.Equal(t, ana+" holds no role with this permission here or above", x.Reason)
	require.Equal(t, []string{
		"role:user is held on tenants/acme/users/ana, not here",
		"role:user on tenants/beta begins at 2030-01-01 13:00 UTC",
		"role:user on tenants/beta ended at 2030-01-01 11:00 UTC",
		"carried by role:sync-worker, role:user",
	}, x.Nearest)

	x, err = a.Explain(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/acme/users/ana/mailbox"))
	require.NoError(t, err)
	require.Equal(t, ana+" holds role:user on tenants/acme/users/ana", x.Reason)
	require.Empty(t, x.Nearest)

	x, err = a.Explain(t.Context(), ask(t, ana, "tenants.read", "tenants/gamma"))
	require.NoError(t, err)
	require.Equal(t, ana+" is denied role:support on tenants/gamma", x.Reason)

	// A list is for people: it is cut, the roles are not.
	var lines []string
	for _, c := range "abcdefgh" {
		lines = append(lines, "allow "+ana+" role:user tenants/"+string(c))
	}
	w := authztest.New(t, lines...)
	x, err = w.Explain(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/z"))
	require.NoError(t, err)
	require.Len(t, x.Nearest, 6)
	require.Contains(t, x.Nearest[5], "carried by")
}

func TestCheckAllocatesNothing(t *testing.T) {
	w := authztest.New(t, "allow "+ana+" role:user tenants/acme/users/ana", "member "+ana+" team:acme", "allow team:acme role:crm-user tenants/acme/crm", "deny "+ana+" role:support tenants/beta")
	for _, req := range []authz.Request{
		ask(t, ana, "mailbox.items.read", "tenants/acme/users/ana/mailbox"), ask(t, ana, "crm.items.read", "tenants/acme/crm"),
		ask(t, ana, "tenants.read", "tenants/beta"), ask(t, ana, "audit.read", "tenants"), ask(t, ana, "no.such", "tenants"),
	} {
		ctx := t.Context()
		require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = w.Check(ctx, req) }), "%s", req.Permission)
	}
}

// Readers never see half a change and never an older one after a newer.
func TestReadersSeeWholeChanges(t *testing.T) {
	w := authztest.New(t, "allow "+admin+" role:tenant-admin tenants/acme", "allow "+admin+" role:user tenants/acme")
	edit := w.Edit(grant(t, w.Authorizer, admin, "authz.authorizations.write", "tenants/acme"))
	x := authz.Authorization{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/acme/users/ana"), Effect: authz.Allow}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last uint64
			for {
				select {
				case <-stop:
					return
				default:
				}
				read, err := w.Check(t.Context(), ask(t, ana, "mailbox.items.read", "tenants/acme/users/ana"))
				if err != nil || read.Revision < last || read.Allowed != (read.Authorization != uuid.Nil) {
					t.Errorf("revision %d after %d, %+v, %v", read.Revision, last, read, err)
					return
				}
				last = read.Revision
				// With one assignment made at each even revision and taken at the next, the revision says the answer.
				if read.Allowed != (read.Revision%2 == 0) {
					t.Errorf("at revision %d: allowed %v", read.Revision, read.Allowed)
					return
				}
			}
		})
	}
	for range 100 {
		id, err := edit.Assign(t.Context(), x)
		require.NoError(t, err)
		require.NoError(t, edit.Revoke(t.Context(), id, ""))
	}
	close(stop)
	readers.Wait()
}
