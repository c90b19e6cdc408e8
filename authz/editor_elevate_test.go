package authz_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

func elevation(t testing.TB, who, role, on string, d time.Duration) authz.Elevation {
	return authz.Elevation{Principal: authztest.Principal(t, who), Role: authz.MustRole(role), Resource: authztest.Resource(t, on), For: d, Reason: "the house is on fire"}
}

var elevationLines = []string{"allow " + boss + " role:boss office", "allow " + ana + " role:reader office", "allow " + admin + " role:admin office", "allow " + cara + " role:boss office"}

func waiting(t testing.TB, w *office) (out []uuid.UUID) {
	t.Helper()
	list, err := w.Elevations(grant(t, w.Authorizer, boss, read, "office"))
	require.NoError(t, err)
	for _, x := range list {
		out = append(out, x.ID)
	}
	return out
}

func TestAskAndApprove(t *testing.T) {
	w := newOffice(t, elevationLines...)
	id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office/x", time.Hour))
	require.NoError(t, err)
	require.True(t, w.last().Allowed)
	require.Equal(t, ana, w.last().Principal.String())
	require.Equal(t, "user:idp/ana holds role:reader on office; assigns allow role:writer to user:idp/ana on office/x as "+id.String(), w.last().Reason)
	require.False(t, w.can(ana, "a.write", "office/x"), "a pending one gives nothing")
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))

	w.clock.add(30 * time.Minute)
	w.refused(w.as(admin, "office").Approve(t.Context(), id, ""), "does not hold a.read")
	require.NoError(t, w.as(boss, "office").Approve(t.Context(), id, "go ahead"))
	require.Contains(t, w.last().Reason, "until 2030-01-01T13:30:00Z, with consent of user:idp/boss")
	require.Empty(t, waiting(t, w))
	require.True(t, w.can(ana, "a.write", "office/x"))
	require.False(t, w.can(ana, "a.write", "office/y"))
	g := grant(t, w.Authorizer, ana, "a.write", "office/x")
	list, err := w.Authorizations(grant(t, w.Authorizer, boss, read, "office/x"), authztest.Resource(t, "office/x"))
	require.NoError(t, err)
	x := list[len(list)-1]
	require.Equal(t, boss, x.ApprovedBy.String())
	require.Equal(t, "the house is on fire", x.Reason)
	require.ErrorIs(t, w.as(boss, "office").Approve(t.Context(), id, ""), authz.ErrUnknown)
	w.clock.add(time.Hour - 1)
	require.True(t, w.can(ana, "a.write", "office/x"))
	w.clock.add(1)
	require.False(t, w.can(ana, "a.write", "office/x"))
	require.ErrorIs(t, covers(t, g, "a.write", "office/x"), authz.ErrDenied)
}

func TestWhoMayAsk(t *testing.T) {
	for name, c := range map[string]struct {
		el   authz.Elevation
		also string
		ok   bool
	}{
		"on the resource":         {elevation(t, ana, "role:writer", "office", time.Hour), "", true},
		"for a day":               {elevation(t, ana, "role:writer", "office", 24*time.Hour), "", true},
		"in a team":               {elevation(t, ben, "role:writer", "office", time.Hour), "member " + ben + " team:t", true},
		"above":                   {elevation(t, ana, "role:writer", "yard", time.Hour), "", false},
		"another role":            {elevation(t, ana, "role:payer", "office", time.Hour), "", false},
		"a role for emergencies":  {elevation(t, ana, "role:boss", "office", time.Hour), "", false},
		"without a role":          {elevation(t, ben, "role:writer", "office", time.Hour), "", false},
		"one that was denied":     {elevation(t, ana, "role:writer", "office/x", time.Hour), "deny " + ana + " role:reader office", false},
		"one that has ended":      {elevation(t, ben, "role:writer", "office", time.Hour), "allow " + ben + " role:reader office until 1ns", false},
		"one that includes it":    {elevation(t, ben, "role:writer", "office", time.Hour), "allow " + ben + " role:writer office", false},
		"the same of someone":     {elevation(t, cara, "role:writer", "office", time.Hour), "", false},
		"with a deny of a writer": {elevation(t, ana, "role:writer", "office/x", time.Hour), "deny " + ana + " role:writer office", true}, // and will not help
	} {
		lines := append(elevationLines[:4:4], "allow team:t role:reader office")
		if c.also != "" {
			lines = append(lines, c.also)
		}
		w := newOffice(t, lines...)
		w.clock.add(1)
		_, err := w.Ask(t.Context(), c.el)
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
		if !c.ok {
			w.refused(err, "holds no role that leads to it")
		}
	}
	w := newOffice(t, elevationLines...)
	good := elevation(t, ana, "role:writer", "office", time.Hour)
	for name, bad := range map[string]func(*authz.Elevation){
		"for no time":    func(e *authz.Elevation) { e.For = 0 },
		"for too long":   func(e *authz.Elevation) { e.For = 24*time.Hour + 1 },
		"want a user":    func(e *authz.Elevation) { e.Principal = authztest.Principal(t, "team:t") },
		"and a reason":   func(e *authz.Elevation) { e.Reason = " " },
		"principal: mis": func(e *authz.Elevation) { e.Principal = authz.Principal{} },
		"unknown to the": func(e *authz.Elevation) { e.Role = authz.MustRole("role:emperor") },
		"resource: miss": func(e *authz.Elevation) { e.Resource = authz.Resource{} },
		"1024 at most":   func(e *authz.Elevation) { e.Reason = strings.Repeat("x", 1025) },
	} {
		el := good
		bad(&el)
		_, err := w.Ask(t.Context(), el)
		require.Error(t, err, name)
		if !strings.HasPrefix(name, "for") {
			require.ErrorContains(t, err, name)
		}
	}
	for range 10 {
		_, err := w.Ask(t.Context(), good)
		require.NoError(t, err)
	}
	_, err := w.Ask(t.Context(), good)
	w.refused(err, "10 at most")
	for _, zero := range []*authz.Authorizer{nil, {}} {
		_, err = zero.Ask(t.Context(), good)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = zero.BreakGlass(t.Context(), good)
		require.ErrorIs(t, err, authz.ErrDenied)
		_, err = zero.Elevations(authz.Grant{})
		require.ErrorIs(t, err, authz.ErrDenied)
	}
}

func TestWhoMayApprove(t *testing.T) {
	const approve = "authz.elevations.approve"
	for name, c := range map[string]struct {
		by, on string
		also   string
		wait   time.Duration
		before func(w *office)
		ok     bool
	}{
		"who may give it":                    {by: boss, on: "office", ok: true},
		"who may give it, on another":        {by: boss, on: "office/y"},
		"who may neither":                    {by: admin, on: "office"},
		"who may approve":                    {by: admin, on: "office", also: "allow " + admin + " role:approver office", ok: true},
		"who may approve elsewhere":          {by: admin, on: "office", also: "allow " + admin + " role:approver yard"},
		"who asked, and could give it":       {by: ana, on: "office", also: "allow " + ana + " role:boss office"},
		"who holds it not so long":           {by: ben, on: "office", also: "allow " + ben + " role:boss office until 10m"},
		"in time":                            {by: boss, on: "office", wait: 24*time.Hour - 1, ok: true},
		"too late":                           {by: boss, on: "office", wait: 24 * time.Hour},
		"after who asked has lost the right": {by: boss, on: "office", before: func(w *office) { require.NoError(w.t, w.as(boss, "office").Revoke(w.t.Context(), w.ids[1], "")) }},
	} {
		lines := elevationLines[:4:4]
		if c.also != "" {
			lines = append(lines, c.also)
		}
		w := newOfficeWith(t, authz.Options{}, approve+", be the second person\n", "p, role:approver, "+approve+"\n", lines...)
		id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office/x", time.Hour))
		require.NoError(t, err)
		w.clock.add(c.wait)
		if c.before != nil {
			c.before(w)
		}
		err = w.as(c.by, c.on).Approve(t.Context(), id, "")
		require.Equal(t, c.ok, err == nil, "%s: %v", name, err)
		if !c.ok {
			w.refused(err)
			require.Equal(t, c.also != "" && c.by == ana, w.can(ana, "a.write", "office/x"))
		}
	}

	// Of who approves for another, neither may be who asked, and both must be able to.
	w := newOfficeWith(t, authz.Options{}, approve+", be the second person\n", "p, role:approver, "+approve+"\n", append(elevationLines, "allow service:console role:boss office", "allow "+ana+" role:boss office", "allow service:console role:approver office", "allow service:bot role:admin office")...)
	id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office/x", time.Hour))
	require.NoError(t, err)
	for behalf, ok := range map[string]bool{ana: false, "service:bot": false, cara: true} {
		req := ask(t, "service:console", write, "office")
		req.OnBehalfOf = authztest.Principal(t, behalf)
		g, err := w.Authorize(t.Context(), req)
		require.NoError(t, err)
		if !ok {
			w.refused(w.Edit(g).Approve(t.Context(), id, ""))
			continue
		}
		defer func() { require.NoError(t, w.Edit(g).Approve(t.Context(), id, "")) }()
	}
}

func TestRejectAndWithdraw(t *testing.T) {
	w := newOffice(t, elevationLines...)
	askOnce := func() uuid.UUID {
		id, err := w.Ask(t.Context(), elevation(t, ana, "role:writer", "office/x", time.Hour))
		require.NoError(t, err)
		return id
	}
	id := askOnce()
	e := w.as(admin, "office")
	w.refused(w.as(admin, "office/y").Reject(t.Context(), id, ""))
	require.ErrorContains(t, e.Expire(t.Context(), id, start.Add(9*time.Hour), ""), "pending")
	require.NoError(t, e.Reject(t.Context(), id, "no"), "whoever may take away may say no")
	require.Empty(t, waiting(t, w))
	require.ErrorIs(t, e.Reject(t.Context(), id, ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Reject(t.Context(), w.ids[1], ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Approve(t.Context(), w.ids[1], ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Review(t.Context(), w.ids[1], ""), authz.ErrUnknown)
	require.ErrorIs(t, e.Review(t.Context(), id, ""), authz.ErrUnknown)
	askOnce()
	w.clock.add(24 * time.Hour)
	require.Empty(t, waiting(t, w), "lapsed")

	// A rollback is no way to approve.
	id = askOnce()
	asked := w.Revision()
	require.NoError(t, w.as(boss, "office").Approve(t.Context(), id, ""))
	approved := w.Revision()
	require.NoError(t, w.as(admin, "office").Rollback(t.Context(), asked, ""))
	require.False(t, w.can(ana, "a.write", "office/x"))
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))
	w.refused(w.as(admin, "office").Rollback(t.Context(), approved, ""))
	require.NoError(t, w.as(cara, "office").Rollback(t.Context(), approved, ""))
	require.True(t, w.can(ana, "a.write", "office/x"))
}

// evidence: P24
func TestBreakGlass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alarms := make(chan authz.AuditRecord, 9)
		w := newOfficeWith(t, authz.Options{Clock: time.Now, Alarm: func(r authz.AuditRecord) {
			if alarms <- r; len(alarms) > 1 {
				panic("an alarm that fails")
			}
			time.Sleep(time.Hour) // and one that hangs
		}}, "", "", elevationLines...)
		begin := time.Now()
		id, err := w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office", 0))
		require.NoError(t, err)
		require.Equal(t, begin, time.Now())
		require.True(t, w.can(ana, "b.read", "office"))
		require.Equal(t, "break-glass: user:idp/ana holds role:reader on office; assigns allow role:boss to user:idp/ana on office as "+id.String(), w.last().Reason)
		require.True(t, w.last().Allowed)
		synctest.Wait()
		r := <-alarms
		require.Equal(t, w.last().Decision, r.Decision)
		require.Equal(t, w.last().Reason, r.Reason)
		list, err := w.Elevations(grant(t, w.Authorizer, boss, read, "office"))
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "break-glass: the house is on fire", list[0].Reason)
		require.Equal(t, time.Hour, list[0].Until.Sub(begin))
		require.NotEmpty(t, history(t, w, grant(t, w.Authorizer, boss, read, "office"), 1)[0].Reason)

		alarms <- r // the next one fails
		_, err = w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office/x", time.Minute))
		require.NoError(t, err)
		synctest.Wait()
		require.Len(t, alarms, 2)
		time.Sleep(time.Hour)
		require.False(t, w.can(ana, "b.read", "office"))
		require.Len(t, waiting(t, w), 2, "listed when it is over")
	})
}

func TestBreakGlassIsReviewedByAnother(t *testing.T) {
	w := newOffice(t, append(elevationLines, "allow "+ben+" role:reader office/y")...)
	id, err := w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office", 30*time.Minute))
	require.NoError(t, err)
	own, e := w.as(ana, "office"), w.as(boss, "office")
	before := w.Revision()

	// What one has for half an hour one cannot make last.
	_, err = own.Assign(t.Context(), w.line("allow "+ana+" role:clerk office"))
	w.refused(err, "as long and as freely")
	_, err = own.Assign(t.Context(), w.line("allow "+ben+" role:clerk office until 31m"))
	w.refused(err)
	w.refused(own.Review(t.Context(), id, ""), "takes a second person")
	w.refused(own.Expire(t.Context(), id, start.Add(time.Hour), ""), "does not grow")
	w.refused(e.Expire(t.Context(), id, time.Time{}, ""), "does not grow")
	require.NoError(t, e.Expire(t.Context(), id, start.Add(20*time.Minute), "enough"))
	w.refused(e.Expire(t.Context(), id, start.Add(21*time.Minute), ""), "does not grow")

	// It ends when revoked, and cannot be made to go away.
	require.NoError(t, e.Revoke(t.Context(), id, "stop"))
	require.False(t, w.can(ana, "b.read", "office"))
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))
	w.refused(e.Revoke(t.Context(), id, ""), "waits for its review")
	require.NoError(t, e.Rollback(t.Context(), before-1, ""))
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))
	require.False(t, w.can(ana, "b.read", "office"))
	require.NoError(t, e.Rollback(t.Context(), before, "it does not grow again"))
	require.False(t, w.can(ana, "b.read", "office"))
	require.Equal(t, []uuid.UUID{id}, waiting(t, w))

	list, err := w.Elevations(grant(t, w.Authorizer, boss, read, "office/y"))
	require.NoError(t, err)
	require.Empty(t, list, "it stands above")
	_, err = w.Elevations(grant(t, w.Authorizer, boss, write, "office"))
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = w.Elevations(grant(t, newOffice(t, elevationLines...).Authorizer, boss, read, "office"))
	require.ErrorIs(t, err, authz.ErrDenied)

	w.refused(w.as(admin, "office/y").Review(t.Context(), id, ""))
	require.NoError(t, w.as(admin, "office").Review(t.Context(), id, "looked at"))
	require.Empty(t, waiting(t, w))
	require.NoError(t, e.Revoke(t.Context(), id, "done"))

	// Not for everybody, not for longer, not past what the policy keeps apart.
	_, err = w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office", time.Hour+1))
	require.ErrorContains(t, err, "1h0m0s at most")
	_, err = w.BreakGlass(t.Context(), elevation(t, ana, "role:boss", "office", -1))
	require.Error(t, err)
	_, err = w.BreakGlass(t.Context(), elevation(t, ana, "role:writer", "office", time.Hour))
	w.refused(err, "holds no role that leads to it")
	_, err = w.BreakGlass(t.Context(), elevation(t, ben, "role:boss", "office", time.Hour))
	w.refused(err)
	for range 10 {
		_, err = w.BreakGlass(t.Context(), elevation(t, ben, "role:boss", "office/y", time.Minute))
		require.NoError(t, err)
	}
	_, err = w.BreakGlass(t.Context(), elevation(t, ben, "role:boss", "office/y", time.Minute))
	w.refused(err, "10 at most")
}
