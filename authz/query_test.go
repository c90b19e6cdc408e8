package authz_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

func TestCheckBatchAnswersAsCheckDoes(t *testing.T) {
	w := authztest.New(t, "allow "+ana+" role:user tenants/acme", "deny "+ana+" role:user tenants/acme/x")
	reqs := []authz.Request{
		ask(t, ana, "mailbox.items.read", "tenants/acme"), ask(t, ana, "mailbox.items.read", "tenants/acme/x"), ask(t, ana, "mailbox.items.read", "tenants/beta"),
		ask(t, ana, "no.such", "tenants/acme"), {}, {OnBehalfOf: authztest.Principal(t, ana)},
	}
	for len(reqs) < 1000 {
		reqs = append(reqs, reqs[len(reqs)%6])
	}
	out := make([]authz.Decision, len(reqs))
	require.NoError(t, w.CheckBatch(t.Context(), reqs, out))
	for i := range reqs {
		d, _ := w.Check(t.Context(), reqs[i])
		require.Equal(t, d, out[i])
	}
	require.Equal(t, []authz.Code{authz.AllowedBy, authz.DeniedBy, authz.NothingHeld, authz.UnknownPermission, authz.BadRequest, authz.BadRequest},
		[]authz.Code{out[0].Code, out[1].Code, out[2].Code, out[3].Code, out[4].Code, out[5].Code})
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(20, func() { _ = w.CheckBatch(ctx, reqs, out) }))
	require.Empty(t, w.Audit.Records(), "asking leaves no record")
	require.NoError(t, w.CheckBatch(t.Context(), nil, nil))

	// Whatever is wrong, no older answer stays.
	require.NoError(t, w.CheckBatch(t.Context(), reqs, out))
	require.ErrorContains(t, w.CheckBatch(t.Context(), reqs[:3], out), "3 requests and room for 1000")
	require.False(t, out[0].Allowed)
	require.NoError(t, w.CheckBatch(t.Context(), reqs, out))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, w.CheckBatch(ended, reqs, out), context.Canceled)
	require.False(t, out[0].Allowed)
	for _, a := range []*authz.Authorizer{nil, {}} {
		out[0].Allowed = true
		require.ErrorIs(t, a.CheckBatch(t.Context(), reqs, out), authz.ErrDenied)
		require.False(t, out[0].Allowed)
	}
	// One that ends while it answers leaves nothing half answered.
	require.ErrorIs(t, w.CheckBatch(&endsAfter{ctx, 2}, reqs, out), context.Canceled)
	for _, d := range out {
		require.Equal(t, authz.Decision{}, d)
	}
}

// endsAfter is a context that ends after it was asked a few times.
type endsAfter struct {
	context.Context
	left int
}

func (e *endsAfter) Err() error {
	if e.left--; e.left < 0 {
		return context.Canceled
	}
	return nil
}
