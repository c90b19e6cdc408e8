package authz_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

const write = "authz.authorizations.write"

// parse reads "allow|deny PRINCIPAL ROLE RESOURCE".
func parse(t testing.TB, line string) authz.Authorization {
	f := strings.Fields(line)
	x := authz.Authorization{Effect: authz.Allow, Principal: authztest.Principal(t, f[1]), Role: authztest.Role(t, f[2]), Resource: authztest.Resource(t, f[3])}
	if f[0] == "deny" {
		x.Effect = authz.Deny
	}
	return x
}

func editor(t testing.TB, w *authztest.World, who, on string) authz.Editor {
	t.Helper()
	return w.Edit(grant(t, w.Authorizer, who, write, on))
}

func allowed(t testing.TB, a *authz.Authorizer, who, permission, on string) bool {
	t.Helper()
	d, err := a.Check(t.Context(), ask(t, who, permission, on))
	require.NoError(t, err)
	return d.Allowed
}

// find returns the id of the one Authorization that a line describes.
func find(t testing.TB, a *authz.Authorizer, auditor, line string) uuid.UUID {
	t.Helper()
	x := parse(t, line)
	list, err := a.Authorizations(grant(t, a, auditor, "authz.authorizations.read", x.Resource.String()), x.Resource)
	require.NoError(t, err)
	for _, y := range list {
		if y.Principal == x.Principal && y.Role == x.Role && y.Resource == x.Resource && y.Effect == x.Effect {
			return y.ID
		}
	}
	require.Fail(t, "not there: "+line)
	return uuid.Nil
}

func TestNobodyGivesWhatTheyDoNotHold(t *testing.T) {
	const acme = "tenants/acme"
	base := []string{"allow " + admin + " role:tenant-admin " + acme}
	for name, c := range map[string]struct {
		world []string
		give  string
		ok    bool
	}{
		"the own role":                            {nil, "allow user:idp/x role:tenant-admin tenants/acme", true},
		"the own role further down":               {nil, "allow user:idp/x role:tenant-admin tenants/acme/units/emea", true},
		"a role that may be handed out":           {nil, "allow user:idp/x role:user tenants/acme/users/x", true},
		"the same to oneself":                     {nil, "allow " + admin + " role:user tenants/acme/users/x", false},
		"the same to one's own team":              {[]string{"member " + admin + " team:t"}, "allow team:t role:user tenants/acme", false},
		"the same to the team of one's team":      {[]string{"member " + admin + " team:t", "member team:t team:u"}, "allow team:u role:user tenants/acme", false},
		"the same to somebody else's team":        {[]string{"member " + ana + " team:t"}, "allow team:t role:user tenants/acme", true},
		"a role that may not":                     {nil, "allow user:idp/x role:connection tenants/acme", false},
		"a role with more":                        {nil, "allow user:idp/x role:administration tenants/acme", false},
		"a role with less":                        {nil, "allow user:idp/x role:sales tenants/acme", true},
		"a role with nothing in common":           {nil, "allow user:idp/x role:sync-worker tenants/acme", false},
		"above":                                   {nil, "allow user:idp/x role:tenant-admin tenants", false},
		"beside":                                  {nil, "allow user:idp/x role:tenant-admin tenants/beta", false},
		"a name that begins alike":                {nil, "allow user:idp/x role:tenant-admin tenants/acme2", false},
		"held as a role of a team":                {[]string{"member " + admin + " team:t", "allow team:t role:connection tenants/acme"}, "allow service:c role:connection tenants/acme", true},
		"held elsewhere":                          {[]string{"allow " + admin + " role:connection tenants/beta"}, "allow service:c role:connection tenants/acme", false},
		"held further down only":                  {[]string{"allow " + admin + " role:connection tenants/acme/a"}, "allow service:c role:connection tenants/acme", false},
		"held and denied":                         {[]string{"allow " + admin + " role:connection tenants/acme", "deny " + admin + " role:connection tenants/acme"}, "allow service:c role:connection tenants/acme", false},
		"past a deny further down":                {[]string{"allow " + admin + " role:connection tenants/acme", "deny " + admin + " role:connection tenants/acme/vip"}, "allow service:c role:connection tenants/acme", false},
		"beside a deny":                           {[]string{"allow " + admin + " role:connection tenants/acme", "deny " + admin + " role:connection tenants/acme/vip"}, "allow service:c role:connection tenants/acme/a", true},
		"to hand out past a deny further down":    {[]string{"deny " + admin + " role:tenant-admin tenants/acme/vip"}, "allow user:idp/x role:user tenants/acme", false},
		"to hand out past a team's deny":          {[]string{"member " + admin + " team:t", "deny team:t role:administration tenants/acme/vip"}, "allow user:idp/x role:crm-user tenants/acme", false}, // it takes the right to give, and nothing of the role
		"a deny of what one holds":                {nil, "deny user:idp/x role:sales tenants/acme", true},
		"a deny of what one does not hold":        {nil, "deny service:c role:connection tenants/acme", false},
		"a role to nobody the policy knows about": {nil, "allow user:other%2Fissuer/x role:user tenants/acme", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := authztest.New(t, append(base[:1:1], c.world...)...)
			x := parse(t, c.give)
			id, err := editor(t, w, admin, acme).Assign(t.Context(), x)
			if !c.ok {
				require.ErrorIs(t, err, authz.ErrDenied)
				require.Equal(t, uuid.Nil, id)
				return
			}
			require.NoError(t, err)
			require.Equal(t, id, find(t, w.Authorizer, admin, c.give))
		})
	}
}

// A role that hands another out does so where it is held and not denied, even
// if the right to edit comes from elsewhere.
func TestWhoeverIsDeniedTheHandingRoleHandsNothingOut(t *testing.T) {
	model, err := fs.ReadFile(policy.Files(), "model.conf")
	require.NoError(t, err)
	own := fstest.MapFS{"model.conf": {Data: model},
		"permissions.csv": {Data: []byte("a.read, look\nb.read, look there\n" + write + ", give\n")},
		"roles.csv":       {Data: []byte("p, role:usher, a.read\np, role:guest, b.read\np, role:clerk, " + write + "\nd, role:usher, role:guest\n")}}
	for name, c := range map[string]struct {
		lines []string
		ok    bool
	}{
		"held":           {[]string{"allow " + admin + " role:usher hall"}, true},
		"not held":       {nil, false},
		"held elsewhere": {[]string{"allow " + admin + " role:usher yard"}, false},
		"denied":         {[]string{"allow " + admin + " role:usher hall", "deny " + admin + " role:usher hall"}, false},
	} {
		var seed []authz.Authorization
		for _, l := range append(c.lines, "allow "+admin+" role:clerk hall") {
			seed = append(seed, parse(t, l))
		}
		a, err := authz.New(t.Context(), own, &authz.Options{Seed: seed})
		require.NoError(t, err)
		_, err = a.Edit(grant(t, a, admin, write, "hall")).Assign(t.Context(), parse(t, "allow "+ana+" role:guest hall"))
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

func TestEditorWantsItsGrant(t *testing.T) {
	lines := []string{"allow " + admin + " role:tenant-admin tenants/acme", "allow " + admin + " role:user tenants/acme", "member " + ana + " team:t", "allow team:t role:user tenants/acme/users/ana"}
	w := authztest.New(t, lines...)
	team := authz.Membership{Member: authztest.Principal(t, ana), Team: authztest.Principal(t, "team:t")}
	id := find(t, w.Authorizer, admin, lines[3])
	other := authztest.New(t, lines...)
	for name, e := range map[string]authz.Editor{
		"another permission":  w.Edit(grant(t, w.Authorizer, admin, "users.write", "tenants/acme")),
		"another resource":    w.Edit(grant(t, w.Authorizer, admin, write, "tenants/acme/units")),
		"another house":       w.Edit(grant(t, other.Authorizer, admin, write, "tenants/acme")),
		"a grant to somebody": other.Edit(grant(t, w.Authorizer, admin, write, "tenants/acme")),
	} {
		_, err := e.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
		require.ErrorIs(t, err, authz.ErrDenied, name)
		require.ErrorIs(t, e.Revoke(t.Context(), id, ""), authz.ErrDenied, name)
		require.ErrorIs(t, e.Leave(t.Context(), team, ""), authz.ErrDenied, name)
		require.ErrorIs(t, e.Join(t.Context(), authz.Membership{Member: authztest.Principal(t, "user:idp/x"), Team: team.Team}, ""), authz.ErrDenied, name)
	}
	require.True(t, allowed(t, w.Authorizer, ana, "mailbox.items.read", "tenants/acme/users/ana"))
	require.False(t, allowed(t, w.Authorizer, "user:idp/x", "mailbox.items.read", "tenants/acme/users/ana"))

	e := editor(t, w, admin, "tenants/acme")
	require.ErrorIs(t, e.Revoke(t.Context(), uuid.New(), ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Leave(t.Context(), authz.Membership{Member: authztest.Principal(t, "user:idp/x"), Team: team.Team}, ""), authz.ErrUnknown)
	for what, x := range map[string]authz.Authorization{
		"principal: missing":  {Role: authz.MustRole("role:user"), Effect: authz.Allow},
		"role: missing":       {Principal: team.Member, Effect: authz.Allow},
		"effect: want allow":  {Principal: team.Member, Role: authz.MustRole("role:user")},
		"until: not after":    {Principal: team.Member, Role: authz.MustRole("role:user"), Effect: authz.Allow, From: start, Until: start},
		"reason: 1025 bytes":  {Principal: team.Member, Role: authz.MustRole("role:user"), Effect: authz.Allow, Reason: strings.Repeat("x", 1025)},
		"unknown to the poli": {Principal: team.Member, Role: authz.MustRole("role:emperor"), Effect: authz.Allow},
	} {
		x.Resource = authztest.Resource(t, "tenants/acme")
		_, err := e.Assign(t.Context(), x)
		require.ErrorContains(t, err, what)
	}
	require.ErrorContains(t, e.Revoke(t.Context(), id, strings.Repeat("x", 1025)), "1024 at most")
	for _, m := range []authz.Membership{{}, {Member: team.Member}, {Team: team.Team}, {Member: team.Member, Team: team.Member}, {Member: team.Team, Team: team.Team}} {
		require.ErrorContains(t, e.Join(t.Context(), m, ""), "want a member and another team")
	}
}

// The way to more must not lead over taking away: a deny, one's own first of
// all, is lifted by those who could give what it takes.
func TestEndingADenyIsGiving(t *testing.T) {
	const deny = "deny " + admin + " role:user tenants/acme"
	w := authztest.New(t, "allow "+admin+" role:tenant-admin tenants/acme", "allow "+admin+" role:user tenants/acme", deny,
		"allow user:idp/second role:tenant-admin tenants/acme", "member "+admin+" team:quiet", "deny team:quiet role:crm-user tenants/acme", "allow "+admin+" role:crm-user tenants/acme")
	own, second := editor(t, w, admin, "tenants/acme"), editor(t, w, "user:idp/second", "tenants/acme")
	id := find(t, w.Authorizer, admin, deny)
	require.ErrorIs(t, own.Revoke(t.Context(), id, "me"), authz.ErrDenied)
	require.False(t, allowed(t, w.Authorizer, admin, "mailbox.items.read", "tenants/acme"))
	quiet := authz.Membership{Member: authztest.Principal(t, admin), Team: authztest.Principal(t, "team:quiet")}
	require.ErrorIs(t, own.Leave(t.Context(), quiet, ""), authz.ErrDenied, "leaving a team that is denied something")
	require.False(t, allowed(t, w.Authorizer, admin, "crm.items.read", "tenants/acme"))
	require.NoError(t, second.Revoke(t.Context(), id, "may hand out role:user"))
	require.True(t, allowed(t, w.Authorizer, admin, "mailbox.items.read", "tenants/acme"))
	require.NoError(t, second.Leave(t.Context(), quiet, ""))
	require.True(t, allowed(t, w.Authorizer, admin, "crm.items.read", "tenants/acme"))
}

// Two steps must not do what one may not: give a role to a team, then join it.
func TestTeamsAreNoWayAround(t *testing.T) {
	w := authztest.New(t, "allow "+admin+" role:tenant-admin tenants/acme", "allow team:far role:user tenants/beta", "member team:near team:far", "member "+ana+" team:anas")
	e := editor(t, w, admin, "tenants/acme")
	_, err := e.Assign(t.Context(), parse(t, "allow team:mail role:user tenants/acme"))
	require.NoError(t, err)
	join := func(member, team string) error {
		return e.Join(t.Context(), authz.Membership{Member: authztest.Principal(t, member), Team: authztest.Principal(t, team)}, "")
	}
	require.ErrorIs(t, join(admin, "team:mail"), authz.ErrDenied)
	require.NoError(t, join(admin, "team:empty"))
	require.ErrorIs(t, join("team:empty", "team:mail"), authz.ErrDenied, "through a team of one's own")
	_, err = e.Assign(t.Context(), parse(t, "allow team:empty role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
	require.False(t, allowed(t, w.Authorizer, admin, "mailbox.items.read", "tenants/acme"))

	require.NoError(t, join(ana, "team:mail"))
	require.True(t, allowed(t, w.Authorizer, ana, "mailbox.items.read", "tenants/acme"))
	require.ErrorIs(t, join(ana, "team:far"), authz.ErrDenied, "what it holds lies outside the Grant")
	require.ErrorIs(t, join(ana, "team:near"), authz.ErrDenied, "and what it holds through another team")
}

func TestTeamsAreNoCirclesAndNotTooDeep(t *testing.T) {
	w := authztest.New(t, "allow "+admin+" role:tenant-admin tenants")
	e := editor(t, w, admin, "tenants")
	team := func(i int) authz.Principal { return authztest.Principal(t, fmt.Sprintf("team:t%d", i)) }
	join := func(a, b authz.Principal) error {
		return e.Join(t.Context(), authz.Membership{Member: a, Team: b}, "")
	}
	for i := range 9 {
		require.NoError(t, join(team(i), team(i+1)))
	}
	require.ErrorContains(t, join(team(9), team(0)), "circle")
	require.ErrorContains(t, join(team(3), team(2)), "circle")
	require.NoError(t, join(authztest.Principal(t, ana), team(0)), "ten teams above")
	_, err := e.Assign(t.Context(), parse(t, "allow team:t9 role:sales tenants"))
	require.NoError(t, err)
	require.True(t, allowed(t, w.Authorizer, ana, "tenants.read", "tenants/acme"), "held by the tenth team")
	require.ErrorContains(t, join(team(9), team(10)), "deeper than 10")
	require.NoError(t, join(team(11), team(0)))
	require.ErrorContains(t, join(authztest.Principal(t, ana), team(11)), "deeper than 10")

	// What cannot be written is not loaded either.
	for name, ms := range map[string][]authz.Membership{
		"circle":     {{Member: team(0), Team: team(1)}, {Member: team(1), Team: team(2)}, {Member: team(2), Team: team(0)}},
		"want a mem": {{Member: team(0), Team: authztest.Principal(t, ana)}},
	} {
		_, err := authz.New(t.Context(), policy.Files(), &authz.Options{SeedMembers: ms})
		require.ErrorContains(t, err, name)
	}
	x := parse(t, "allow "+ana+" role:user tenants")
	x.ID = uuid.New()
	_, err = authz.New(t.Context(), policy.Files(), &authz.Options{Seed: []authz.Authorization{x, x}})
	require.ErrorContains(t, err, "used twice")
	x.Role = authz.MustRole("role:emperor")
	_, err = authz.New(t.Context(), policy.Files(), &authz.Options{Seed: []authz.Authorization{x}})
	require.ErrorIs(t, err, authz.ErrUnknown)
}

// A powerful program that edits on behalf of a person gives what both can give.
func TestGivingOnBehalfOf(t *testing.T) {
	const console = "service:console"
	w := authztest.New(t, "allow "+console+" role:tenant-admin tenants", "allow "+console+" role:connection tenants", "allow "+admin+" role:tenant-admin tenants/acme")
	req := ask(t, console, write, "tenants/acme")
	req.OnBehalfOf = authztest.Principal(t, admin)
	g, err := w.Authorize(t.Context(), req)
	require.NoError(t, err)
	e := w.Edit(g)
	_, err = e.Assign(t.Context(), parse(t, "allow service:c role:connection tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = e.Assign(t.Context(), parse(t, "allow "+admin+" role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = e.Assign(t.Context(), parse(t, "allow "+console+" role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = e.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
	require.NoError(t, err)
}

// evidence: I8
func TestEveryChangeIsRecorded(t *testing.T) {
	k := &clock{t: start}
	w := authztest.NewAt(t, k.now, "allow "+admin+" role:tenant-admin tenants/acme")
	g := grant(t, w.Authorizer, admin, write, "tenants/acme")
	e := w.Edit(g)
	x := parse(t, "allow "+ana+" role:user tenants/acme/users/ana")
	x.Reason = "a new colleague"
	id, err := e.Assign(t.Context(), x)
	require.NoError(t, err)
	m := authz.Membership{Member: authztest.Principal(t, ana), Team: authztest.Principal(t, "team:acme")}
	require.NoError(t, e.Join(t.Context(), m, ""))
	require.NoError(t, e.Leave(t.Context(), m, ""))
	require.NoError(t, e.Revoke(t.Context(), id, "gone"))
	rs := w.Audit.Records()
	require.Len(t, rs, 5)
	for i, want := range []string{
		"",
		"; assigns allow role:user to user:idp/ana on tenants/acme/users/ana as " + id.String(),
		"; user:idp/ana joins team:acme",
		"; user:idp/ana leaves team:acme",
		"; revokes allow role:user of user:idp/ana on tenants/acme/users/ana, " + id.String(),
	} {
		require.Equal(t, "user:idp/admin holds role:tenant-admin on tenants/acme"+want, rs[i].Reason)
		require.Equal(t, write, rs[i].Permission.String())
		require.Equal(t, admin, rs[i].Principal.String())
		require.True(t, rs[i].Allowed)
		require.Equal(t, start, rs[i].Time)
		if i > 0 {
			require.Equal(t, g.Decision().ID, rs[i].Cause, "what led to the change")
			require.Equal(t, uint64(i), rs[i].Revision, "decided under the revision before")
		}
	}
	for i := range rs {
		for j := range i {
			require.NotEqual(t, rs[i].Decision, rs[j].Decision)
		}
	}

	list, err := w.Authorizations(grant(t, w.Authorizer, admin, "authz.authorizations.read", "tenants/acme"), authztest.Resource(t, "tenants/acme"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	other := authztest.New(t, "allow "+admin+" role:tenant-admin tenants/acme")
	_, err = w.Authorizations(grant(t, other.Authorizer, admin, "authz.authorizations.read", "tenants/acme"), authztest.Resource(t, "tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied, "a grant of another house")
	_, err = w.Authorizations(g, authztest.Resource(t, "tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied, "to write is not to read")
	_, err = w.Authorizations(grant(t, w.Authorizer, admin, "authz.authorizations.read", "tenants/acme"), authztest.Resource(t, "tenants"))
	require.ErrorIs(t, err, authz.ErrDenied)
}

// faultyStore fails as told, before or after it kept the change.
type faultyStore struct {
	authz.Assignments
	Authorizations []authz.Authorization
	history        []authz.Change
	loads          int
	before, after  error
	apply          func()
}

func (s *faultyStore) Load(_ context.Context, each func(authz.Authorization) error) (authz.Assignments, error) {
	s.loads++
	for _, x := range s.Authorizations {
		if err := each(x); err != nil {
			return authz.Assignments{}, err
		}
	}
	return s.Assignments, nil
}

func (s *faultyStore) Changes(_ context.Context, after uint64) iter.Seq2[authz.Change, error] {
	return func(yield func(authz.Change, error) bool) {
		for _, c := range s.history[after:] {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (s *faultyStore) Apply(_ context.Context, c authz.Change) error {
	if s.apply != nil {
		s.apply()
	}
	if s.before != nil {
		return s.before
	}
	if c.Revision != s.Revision+1 {
		return authz.ErrConflict
	}
	s.Revision = c.Revision
	s.history = append(s.history, c)
	s.Authorizations = append(s.Authorizations, c.Add...)
	for _, gone := range c.Remove {
		for i, x := range s.Authorizations {
			if x.ID == gone.ID {
				s.Authorizations = append(s.Authorizations[:i:i], s.Authorizations[i+1:]...)
				break
			}
		}
	}
	return s.after
}

func TestStoreFirst(t *testing.T) {
	st := &faultyStore{}
	audit := authz.NewMemory(0)
	a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Store: st, Audit: audit, Seed: []authz.Authorization{parse(t, "allow "+admin+" role:tenant-admin tenants/acme")}})
	require.NoError(t, err)
	e := a.Edit(grant(t, a, admin, write, "tenants/acme"))
	give := parse(t, "allow "+ana+" role:user tenants/acme")
	canRead := func() bool { return allowed(t, a, ana, "mailbox.items.read", "tenants/acme") }

	// A store that holds anything is left alone: a seed would bring back who was removed.
	again, err := authz.New(t.Context(), policy.Files(), &authz.Options{Store: st, Seed: []authz.Authorization{parse(t, "allow "+ana+" role:user tenants/acme")},
		SeedMembers: []authz.Membership{{Member: authztest.Principal(t, ana), Team: authztest.Principal(t, "team:t")}}})
	require.NoError(t, err)
	require.False(t, allowed(t, again, ana, "mailbox.items.read", "tenants/acme"))
	require.True(t, allowed(t, again, admin, "users.read", "tenants/acme"))

	// From here on nothing is loaded: the history tells what the store knows better.
	loads := st.loads
	defer func() { require.Equal(t, loads, st.loads) }()

	// Not stored: does not count.
	st.before = errors.New("disk full")
	_, err = e.Assign(t.Context(), give)
	require.ErrorIs(t, err, st.before)
	require.False(t, canRead())

	// When the store is asked, the change is on record and counts for nobody yet.
	st.before = nil
	st.apply = func() {
		rs := audit.Records()
		require.Contains(t, rs[len(rs)-1].Reason, "assigns allow role:user")
		require.False(t, canRead())
	}
	id, err := e.Assign(t.Context(), give)
	require.NoError(t, err)
	require.True(t, canRead())
	st.apply = nil

	// Kept although it failed: the revocation counts.
	st.after = errors.New("connection lost after commit")
	require.ErrorIs(t, e.Revoke(t.Context(), id, ""), st.after)
	require.False(t, canRead())
	st.after = nil

	// Changed by another process: refused once, and then from what is stored.
	x := give
	x.ID = uuid.New()
	require.NoError(t, st.Apply(t.Context(), authz.Change{Revision: st.Revision + 1, Add: []authz.Authorization{x}}))
	_, err = e.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrConflict)
	require.True(t, canRead())
	_, err = e.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
	require.NoError(t, err)
}

// refusing keeps nothing.
type refusing struct{ *authz.Memory }

func (refusing) Append(context.Context, []authz.AuditRecord) error { return errors.New("no") }

func TestNoChangeWithoutARecord(t *testing.T) {
	sink := &switchable{Sink: authz.NewMemory(0)}
	st := &faultyStore{}
	a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Store: st, Audit: sink, Seed: []authz.Authorization{parse(t, "allow "+admin+" role:tenant-admin tenants/acme")}})
	require.NoError(t, err)
	e := a.Edit(grant(t, a, admin, write, "tenants/acme"))
	sink.set(refusing{authz.NewMemory(0)})
	revision := st.Revision
	_, err = e.Assign(t.Context(), parse(t, "allow "+ana+" role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrAuditUnavailable)
	require.Equal(t, revision, st.Revision)
	require.False(t, allowed(t, a, ana, "mailbox.items.read", "tenants/acme"))
}

// switchable is a sink that can be exchanged.
type switchable struct {
	mu sync.Mutex
	authz.Sink
}

func (s *switchable) set(to authz.Sink) { s.mu.Lock(); defer s.mu.Unlock(); s.Sink = to }

func (s *switchable) Append(ctx context.Context, rs []authz.AuditRecord) error {
	s.mu.Lock()
	to := s.Sink
	s.mu.Unlock()
	return to.Append(ctx, rs)
}

func (s *switchable) Head(ctx context.Context) (uint64, authz.Hash, error) {
	s.mu.Lock()
	to := s.Sink
	s.mu.Unlock()
	return to.Head(ctx)
}

// Somebody who loses the right to give while giving: whatever order the two
// changes take, nothing is given after the loss.
func TestNothingIsGivenAfterTheRightIsGone(t *testing.T) {
	for range 50 {
		w := authztest.New(t, "allow "+admin+" role:tenant-admin tenants", "allow user:idp/second role:tenant-admin tenants/acme")
		first, second := editor(t, w, admin, "tenants"), editor(t, w, "user:idp/second", "tenants/acme")
		id := find(t, w.Authorizer, admin, "allow user:idp/second role:tenant-admin tenants/acme")
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := first.Revoke(t.Context(), id, ""); err != nil {
				t.Error(err)
			}
		})
		_, given := second.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
		wg.Wait()
		var revoked, assigned uint64
		for _, r := range w.Audit.Records() {
			if strings.Contains(r.Reason, "; revokes") {
				revoked = r.Sequence
			}
			if strings.Contains(r.Reason, "; assigns") {
				assigned = r.Sequence
			}
		}
		require.NotZero(t, revoked)
		require.Equal(t, given == nil, assigned != 0)
		require.True(t, assigned == 0 || assigned < revoked, "given after the right was gone")
		_, err := second.Assign(t.Context(), parse(t, "allow user:idp/x role:user tenants/acme"))
		require.ErrorIs(t, err, authz.ErrDenied)
	}
}

// A deny hinders giving from when it is written to when it ends: who will be
// denied tomorrow does not give today what lasts.
func TestDeniesOfOtherTimes(t *testing.T) {
	for name, c := range map[string]struct {
		from, until time.Duration
		ok          bool
	}{"to come": {time.Hour, 2 * time.Hour, false}, "now": {-time.Hour, time.Hour, false}, "over": {-2 * time.Hour, -time.Hour, true}, "just over": {-time.Hour, 0, true}} {
		k := &clock{t: start}
		deny := parse(t, "deny "+admin+" role:connection tenants/acme")
		deny.From, deny.Until = start.Add(c.from), start.Add(c.until)
		a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Clock: k.now, Seed: []authz.Authorization{
			parse(t, "allow "+admin+" role:tenant-admin tenants/acme"), parse(t, "allow "+admin+" role:connection tenants/acme"), deny}})
		require.NoError(t, err)
		_, err = a.Edit(grant(t, a, admin, write, "tenants/acme")).Assign(t.Context(), parse(t, "allow service:c role:connection tenants/acme"))
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
	}
}

// An editor's Grant ends like any other.
func TestEditorEndsWithItsGrant(t *testing.T) {
	k := &clock{t: start}
	w := authztest.NewAt(t, k.now, "allow "+admin+" role:tenant-admin tenants/acme")
	e := editor(t, w, admin, "tenants/acme")
	k.add(10 * time.Minute)
	_, err := e.Assign(t.Context(), parse(t, "allow "+ana+" role:user tenants/acme"))
	require.ErrorIs(t, err, authz.ErrDenied)
}
