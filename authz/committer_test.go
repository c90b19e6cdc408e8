package authz

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bothInOne is a Store that is the Sink too, in memory.
type bothInOne struct {
	memoryStore
	Memory
	mu     sync.Mutex
	failed error
	alone  int // records that came without a change
}

func (b *bothInOne) Append(ctx context.Context, rs []AuditRecord) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last := b.Memory.Records(); len(last) > 0 && rs[0].Sequence != last[len(last)-1].Sequence+1 {
		return ErrConflict
	}
	b.alone += len(rs)
	return b.Memory.Append(ctx, rs)
}

func (b *bothInOne) Commit(ctx context.Context, rs []AuditRecord, c Change) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failed != nil {
		return b.failed
	}
	if last := b.Memory.Records(); len(last) > 0 && rs[0].Sequence != last[len(last)-1].Sequence+1 {
		return ErrConflict
	}
	if err := b.memoryStore.Apply(ctx, c); err != nil {
		return err
	}
	return b.Memory.Append(ctx, rs)
}

// A Store that is the Sink too keeps a change and its record together or keeps
// neither, and two processes that share one do not refuse each other's decisions.
func TestAChangeAndItsRecordAreOne(t *testing.T) {
	st := &bothInOne{Memory: *NewMemory(0)}
	boss, at := Principal{"user:idp/boss"}, Resource{"t"}
	seed := []Authorization{{Principal: boss, Role: Role{"role:tenant-admin"}, Resource: at, Effect: Allow}}
	open := func() (*Authorizer, Editor) {
		a, err := New(t.Context(), files(t, nil), &Options{Store: st, Seed: seed, AuditTimeout: time.Minute})
		require.NoError(t, err)
		g, err := a.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{writeAuthorizations}, Resource: at})
		require.NoError(t, err)
		return a, a.Edit(g)
	}
	a, e := open()
	b, f := open()
	give := Authorization{Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}
	alone := st.alone
	id, err := e.Assign(t.Context(), give)
	require.NoError(t, err)
	require.Equal(t, alone, st.alone, "a change goes with its record")
	rs := st.Memory.Records()
	require.Contains(t, rs[len(rs)-1].Reason, id.String())
	_, _, err = Verify(each(rs))
	require.NoError(t, err)

	// The other knows neither the change nor the record: it is refused once as
	// a conflict, which is no denial, and then knows.
	_, err = f.Assign(t.Context(), give)
	require.ErrorIs(t, err, ErrConflict)
	require.NotErrorIs(t, err, ErrDenied)
	require.Equal(t, a.Revision(), b.Revision())
	_, err = f.Assign(t.Context(), give)
	require.NoError(t, err)
	for range 3 { // decisions take turns
		for _, x := range []*Authorizer{a, b} {
			_, err = x.Authorize(t.Context(), Request{Principal: boss, Permission: Permission{"tenants.read"}, Resource: at})
			require.NoError(t, err)
		}
	}
	_, _, err = Verify(each(st.Memory.Records()))
	require.NoError(t, err)

	// Neither is kept.
	_, err = a.Refresh(t.Context())
	require.NoError(t, err)
	before, revision := len(st.Memory.Records()), st.rest.Revision
	st.failed = errors.New("disk full")
	_, err = e.Assign(t.Context(), give)
	require.ErrorIs(t, err, st.failed)
	require.Equal(t, before, len(st.Memory.Records()))
	require.Equal(t, revision, st.rest.Revision)
	require.Equal(t, revision, a.Revision())
	st.failed = nil
	_, err = e.Assign(t.Context(), give)
	require.NoError(t, err)
}
