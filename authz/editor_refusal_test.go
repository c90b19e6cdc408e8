package authz_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

// evidence: I8
func TestEveryRefusalIsRecorded(t *testing.T) {
	w := newOffice(t, "allow "+boss+" role:admin office", "allow "+ana+" role:clerk office/x")
	g := grant(t, w.Authorizer, boss, write, "office")
	e := w.Edit(g)
	_, err := e.Assign(t.Context(), w.line("allow "+ana+" role:writer office/x"))
	w.refused(err)
	r := w.last()
	require.Equal(t, boss, r.Principal.String())
	require.Equal(t, "office/x", r.Resource.String(), "where it would have stood")
	require.Equal(t, g.Decision().ID, r.Cause)
	require.NotEqual(t, uuid.Nil, r.Decision)
	require.Equal(t, w.Revision(), r.Revision)
	require.Equal(t, start, r.Time)
	w.refused(e.Revoke(t.Context(), w.ids[0], ""), "nobody would hold")

	// A Grant of something else, and one that has ended.
	other := w.Edit(grant(t, w.Authorizer, boss, read, "office"))
	w.refused(other.Join(t.Context(), w.member(ana, "team:t"), ""), "grant is for "+read)
	require.Equal(t, "office", w.last().Resource.String())
	w.clock.add(10 * time.Minute)
	w.refused(e.Join(t.Context(), w.member(ana, "team:t"), ""), "has ended")

	// A mistake is no refusal.
	e = w.as(boss, "office")
	n := len(w.audit.Records())
	require.ErrorIs(t, e.Revoke(t.Context(), uuid.New(), ""), authz.ErrUnknown)
	require.ErrorIs(t, e.At(99).Revoke(t.Context(), w.ids[1], ""), authz.ErrConflict)
	require.Error(t, e.Join(t.Context(), authz.Membership{}, ""))
	_, err = w.Ask(t.Context(), authz.Elevation{})
	require.Error(t, err)
	require.Len(t, w.audit.Records(), n)
}

func TestARefusalThatCannotBeRecordedSaysSo(t *testing.T) {
	sink := &switchable{Sink: authz.NewMemory(0)}
	a, err := authz.New(t.Context(), officePolicy(t, "", ""), &authz.Options{Audit: sink, Seed: []authz.Authorization{parse(t, "allow "+boss+" role:admin office"), parse(t, "allow "+ana+" role:reader office")}})
	require.NoError(t, err)
	e := a.Edit(grant(t, a, boss, write, "office"))
	tries := &counting{}
	sink.set(tries)
	_, err = e.Assign(t.Context(), parse(t, "allow "+ana+" role:writer office"))
	require.ErrorIs(t, err, authz.ErrDenied)
	require.ErrorIs(t, err, authz.ErrAuditUnavailable)
	require.ErrorContains(t, err, "cannot give it")
	require.Equal(t, 1, tries.n)
	_, err = e.Assign(t.Context(), parse(t, "allow "+ana+" role:payer office"))
	require.ErrorIs(t, err, authz.ErrAuditUnavailable)
	require.Equal(t, 2, tries.n, "that it could not be recorded is not recorded")
	_, err = a.Ask(t.Context(), authz.Elevation{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:writer"), Resource: authztest.Resource(t, "office"), For: time.Hour, Reason: "x"})
	require.ErrorIs(t, err, authz.ErrAuditUnavailable)
	require.Equal(t, 3, tries.n)
}

// counting keeps nothing and counts.
type counting struct {
	authz.Memory
	n int
}

func (c *counting) Append(context.Context, []authz.AuditRecord) error { c.n++; return errors.New("no") }
