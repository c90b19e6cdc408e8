package authz_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/policy"
)

// evidence: P21
func TestUseIsOnRecordBeforeItReturns(t *testing.T) {
	w := authztest.New(t, "allow "+ana+" role:user tenants/acme/users/ana", "deny "+ana+" role:user tenants/acme/users/ana/private")
	g := grant(t, w.Authorizer, ana, "sync.run", "tenants/acme/users/ana")
	p, at := authz.MustPermission("sync.run"), authztest.Resource(t, "tenants/acme/users/ana/mailbox")
	before := len(w.Audit.Records())
	require.NoError(t, g.Use(t.Context(), p, at, "put:7"))
	rs := w.Audit.Records()[before:]
	require.Len(t, rs, 1)
	r := rs[0]
	require.True(t, r.Allowed)
	require.Equal(t, at, r.Resource)
	require.Equal(t, p, r.Permission)
	require.Equal(t, ana, r.Principal.String())
	require.Equal(t, g.Decision().ID, r.Cause, "it names the decision that it follows from")
	require.NotEqual(t, uuid.Nil, r.Decision)
	require.True(t, strings.HasPrefix(r.Reason, "put:7: user:idp/ana holds role:user"), r.Reason)
	// A refusal that was decided is recorded.
	private := authztest.Resource(t, "tenants/acme/users/ana/private")
	require.ErrorIs(t, g.Use(t.Context(), p, private, "put"), authz.ErrDenied)
	rs = w.Audit.Records()[before+1:]
	require.Len(t, rs, 1)
	require.False(t, rs[0].Allowed)
	require.Equal(t, private, rs[0].Resource)
	// What is no question of this Grant, is refused without.
	require.ErrorIs(t, g.Use(t.Context(), authz.MustPermission("sync.pause"), at, "put"), authz.ErrDenied)
	require.ErrorIs(t, g.Use(t.Context(), p, authztest.Resource(t, "tenants/beta"), "put"), authz.ErrDenied)
	require.ErrorIs(t, authz.Grant{}.Use(t.Context(), p, at, "put"), authz.ErrDenied)
	for _, bad := range []string{"", "two words", "a\nb", "a/b", "päss", strings.Repeat("x", 65)} {
		require.ErrorIs(t, g.Use(t.Context(), p, at, bad), authz.ErrDenied, bad)
	}
	require.Len(t, w.Audit.Records(), before+2)
}

// Each use asks anew: what was revoked meanwhile is refused, and so is a Grant
// that has ended.
func TestUseAsksAnew(t *testing.T) {
	c := &clock{t: start}
	w := authztest.NewAt(t, c.now, "allow "+ana+" role:user tenants/acme/users/ana")
	g := grant(t, w.Authorizer, ana, "sync.run", "tenants/acme/users/ana")
	p, at := authz.MustPermission("sync.run"), authztest.Resource(t, "tenants/acme/users/ana")
	require.NoError(t, g.Use(t.Context(), p, at, "run"))
	c.add(11 * time.Minute)
	require.ErrorIs(t, g.Use(t.Context(), p, at, "run"), authz.ErrDenied)
}

// moody is a sink that fails or hangs when told to.
type moody struct {
	authz.Sink
	err  error
	hang chan struct{}
}

func (m *moody) Append(ctx context.Context, rs []authz.AuditRecord) error {
	if m.hang != nil {
		<-m.hang
	}
	if m.err != nil {
		return m.err
	}
	return m.Sink.Append(ctx, rs)
}

// evidence: T13
func TestWithoutARecordNothingIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &moody{Sink: authz.NewMemory(0)}
		a, err := authz.New(t.Context(), policy.Files(), &authz.Options{Audit: sink, AuditTimeout: time.Second,
			Seed: []authz.Authorization{{Principal: authztest.Principal(t, ana), Role: authz.MustRole("role:user"), Resource: authztest.Resource(t, "tenants/acme/users/ana"), Effect: authz.Allow}}})
		require.NoError(t, err)
		g := grant(t, a, ana, "sync.run", "tenants/acme/users/ana")
		p, at := authz.MustPermission("sync.run"), authztest.Resource(t, "tenants/acme/users/ana")
		require.NoError(t, g.Use(t.Context(), p, at, "run"))
		sink.err = errors.New("disk full")
		require.ErrorIs(t, g.Use(t.Context(), p, at, "run"), authz.ErrAuditUnavailable)
		sink.err, sink.hang = nil, make(chan struct{})
		began := time.Now()
		err = g.Use(t.Context(), p, at, "run")
		require.ErrorIs(t, err, authz.ErrAuditUnavailable)
		require.ErrorIs(t, err, authz.ErrDenied)
		require.Equal(t, time.Second, time.Since(began), "it waits as long as it may and no longer")
		close(sink.hang)
		synctest.Wait()
		sink.hang = nil
		require.NoError(t, g.Use(t.Context(), p, at, "run"))
	})
}
