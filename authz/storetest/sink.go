package storetest

import (
	"context"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
)

// Reader is a Sink that returns its records, those after a sequence number and
// oldest first or all and newest first. Of one that does, the suites read what
// they wrote.
type Reader interface {
	Records(ctx context.Context, after uint64, newestFirst bool) iter.Seq2[authz.AuditRecord, error]
}

// RunSink proves the contract of authz.Sink. Each call of open returns an empty
// sink that no other call returned.
func RunSink(t *testing.T, open func(t *testing.T) authz.Sink) {
	for name, f := range map[string]func(*testing.T, authz.Sink){
		"empty":     sinkEmpty,
		"order":     sinkOrder,
		"many":      sinkMany,
		"cancelled": sinkCancelled,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

// records are those of n real decisions about hostile names.
func records(t testing.TB, n int) []authz.AuditRecord {
	t.Helper()
	w, d := authztest.New(t, "allow user:idp/ana role:user tenants/acme"), newDrawer(t, uint64(n))
	for i := range n {
		req := authz.Request{Principal: d.principal(), Permission: authz.MustPermission("mailbox.items.read"), Resource: d.resource()}
		switch i % 3 {
		case 1:
			req.Principal, req.Resource = authztest.Principal(t, "user:idp/ana"), authztest.Resource(t, "tenants/acme/x")
		case 2:
			req = authz.Request{OnBehalfOf: d.principal()} // recorded too, although it asks nothing
		}
		_, _ = w.Authorize(t.Context(), req)
	}
	rs := w.Audit.Records()
	require.Len(t, rs, n)
	return rs
}

// ends demands what a sink holds: the first records, and no other.
func ends(t testing.TB, s authz.Sink, want []authz.AuditRecord) {
	t.Helper()
	seq, hash, err := s.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(len(want)), seq, "the last sequence")
	if len(want) == 0 {
		require.Zero(t, hash)
	} else {
		require.Equal(t, want[len(want)-1].Hash, hash)
	}
	r, ok := s.(Reader)
	if !ok {
		return
	}
	read := 0
	for got, err := range r.Records(t.Context(), 0, false) {
		require.NoError(t, err)
		require.Less(t, read, len(want), "more records than were appended")
		require.True(t, want[read].Time.Equal(got.Time))
		got.Time = want[read].Time
		require.Equal(t, want[read], got)
		read++
	}
	require.Equal(t, len(want), read)
	_, _, err = authz.Verify(r.Records(t.Context(), 0, false))
	require.NoError(t, err)
	for got, err := range r.Records(t.Context(), 0, true) {
		require.NoError(t, err)
		read--
		require.Equal(t, want[read].Sequence, got.Sequence)
	}
	require.Zero(t, read)
}

func sinkEmpty(t *testing.T, s authz.Sink) {
	ends(t, s, nil)
	require.NoError(t, s.Append(t.Context(), nil), "no records are no error")
	ends(t, s, nil)
}

func sinkOrder(t *testing.T, s authz.Sink) {
	rs := records(t, 40)
	for i := 0; i < len(rs); {
		n := min(1+i%5, len(rs)-i)
		require.NoError(t, s.Append(t.Context(), rs[i:i+n]))
		i += n
		ends(t, s, rs[:i])
	}
}

func sinkMany(t *testing.T, s authz.Sink) {
	rs := records(t, 1203)
	require.NoError(t, s.Append(t.Context(), rs[:1]))
	require.NoError(t, s.Append(t.Context(), rs[1:]))
	ends(t, s, rs)
}

// Cancelled at whatever point, all records of a call are kept or none.
func sinkCancelled(t *testing.T, s authz.Sink) {
	rs, kept := records(t, 3*105), 0
	for looks := 0; looks < 5000 && kept < 3*105; looks += 1 + looks/6 {
		ctx, cancel := cancelledAfter(t.Context(), looks)
		err := s.Append(ctx, rs[kept:kept+105])
		cancel()
		seq, _, headErr := s.Head(t.Context())
		require.NoError(t, headErr)
		if err == nil || seq == uint64(kept+105) {
			kept += 105
		}
		require.Equal(t, uint64(kept), seq, "cancelled at look %d: %v", looks, err)
	}
	require.Positive(t, kept, "nothing was ever kept")
	ends(t, s, rs[:kept])
}
