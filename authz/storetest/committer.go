package storetest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// RunCommitter proves the contract of authz.Committer, and with it those of
// authz.Store and authz.Sink. Each call of open returns an empty store that no
// other call returned.
func RunCommitter(t *testing.T, open func(t *testing.T) authz.Committer) {
	RunStore(t, func(t *testing.T) authz.Store { return open(t) })
	t.Run("sink", func(t *testing.T) { RunSink(t, func(t *testing.T) authz.Sink { return open(t) }) })
	for name, f := range map[string]func(*testing.T, authz.Committer){
		"commit":           commitBoth,
		"commit-conflict":  commitConflict,
		"commit-cancelled": commitCancelled,
	} {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
}

// Commit, Append and Apply write one trail and one history.
func commitBoth(t *testing.T, s authz.Committer) {
	d, want, rs := newDrawer(t, 20), empty(), records(t, 30)
	var made []authz.Change
	kept := 0
	for i := 0; kept < len(rs); i++ {
		c, n := d.change(want), min(i%3, len(rs)-kept)
		switch i % 4 {
		case 0:
			require.NoError(t, s.Append(t.Context(), rs[kept:kept+n]))
			kept += n
			continue
		case 1:
			require.NoError(t, s.Apply(t.Context(), c))
		default:
			require.NoError(t, s.Commit(t.Context(), rs[kept:kept+n], c))
			kept += n
		}
		want, made = want.after(c), append(made, c)
		ends(t, s, rs[:kept])
	}
	holds(t, s, want, made)
}

// Neither the records nor the change, whichever of them cannot be.
func commitConflict(t *testing.T, s authz.Committer) {
	d, rs := newDrawer(t, 21), records(t, 4)
	c := authz.Change{Revision: 1, Add: []authz.Authorization{d.authorization()}}
	require.NoError(t, s.Commit(t.Context(), rs[:2], c))
	want, made := empty().after(c), []authz.Change{c}
	for _, wrong := range []uint64{0, 1, 3, 1<<64 - 1} {
		require.ErrorIs(t, s.Commit(t.Context(), rs[2:], authz.Change{Revision: wrong, Add: []authz.Authorization{d.authorization()}}), authz.ErrConflict)
		ends(t, s, rs[:2])
		holds(t, s, want, made)
	}
}

func commitCancelled(t *testing.T, s authz.Committer) {
	rs := records(t, 100)
	revision, kept := uint64(0), 0
	cancelled(t, s, func(ctx context.Context, c authz.Change) error {
		require.Less(t, kept, len(rs), "too few records in the test")
		err := s.Commit(ctx, rs[kept:kept+1], c)
		rest, loadErr := s.Load(t.Context(), func(authz.Authorization) error { return nil })
		require.NoError(t, loadErr)
		if rest.Revision == revision+1 {
			revision, kept = revision+1, kept+1
		}
		ends(t, s, rs[:kept])
		return err
	})
}
