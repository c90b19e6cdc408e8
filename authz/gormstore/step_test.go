package gormstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
)

// Assignments come the same whether the driver is asked row by row or packs
// them, and package sqlite's is asked row by row.
func TestTwoWaysToLoadAreOne(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "house.db"), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	s, err := NewStore(t.Context(), g)
	require.NoError(t, err)

	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := authz.Change{Revision: 1, Time: time.Unix(1, 0).UTC()}
	for i := range 2*loadPage + 7 {
		user := func(n int) authz.Principal {
			p, err := authz.User("i d/p", fmt.Sprintf("ü %d", n))
			require.NoError(t, err)
			return p
		}
		r, err := authz.NewResource("tenants", fmt.Sprintf("t,%d", i%7), fmt.Sprint(i))
		require.NoError(t, err)
		x := authz.Authorization{ID: uuid.New(), Principal: user(i % 13), Role: authz.MustRole("role:user"), Resource: r, Effect: authz.Effect(1 + rnd.IntN(2))}
		if rnd.IntN(2) == 0 {
			x.GrantedBy = user(rnd.IntN(3))
		}
		if rnd.IntN(2) == 0 {
			x.From, x.Until = time.Unix(int64(i), int64(i)).UTC(), time.Unix(int64(3*i+1), 0).UTC()
			x.Pending, x.ApprovedBy = rnd.IntN(2) == 0, user(rnd.IntN(3))
		}
		if rnd.IntN(2) == 0 {
			x.Reason, x.Condition = "a\x1f\x1e,\nü"[:rnd.IntN(6)], "hour == 1"
		}
		c.Add = append(c.Add, x)
	}
	require.NoError(t, s.Apply(t.Context(), c))
	want := map[uuid.UUID]authz.Authorization{}
	for _, x := range c.Add {
		want[x.ID] = x
	}
	collect := func(got map[uuid.UUID]authz.Authorization) func(authz.Authorization) error {
		return func(x authz.Authorization) error { got[x.ID] = x; return nil }
	}
	stepped, packed := map[uuid.UUID]authz.Authorization{}, map[uuid.UUID]authz.Authorization{}
	require.NoError(t, s.snapshot(t.Context(), func(tx transaction) error {
		can, err := tx.step(newParser(), collect(stepped))
		require.True(t, can, "the driver of package sqlite shows its columns")
		return err
	}))
	require.Equal(t, want, stepped)
	require.NoError(t, g.Transaction(func(tx *gorm.DB) error {
		within, err := NewStore(t.Context(), tx)
		require.NoError(t, err)
		return within.snapshot(t.Context(), func(tx transaction) error {
			require.Nil(t, tx.under)
			return tx.assignments(s.dialect, collect(packed))
		})
	}))
	require.Equal(t, want, packed)

	// It ends when it is told to, and leaves the connection to others.
	no, n := errors.New("no"), 0
	_, err = s.Load(t.Context(), func(authz.Authorization) error { n++; return no })
	require.ErrorIs(t, err, no)
	require.Equal(t, 1, n)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.Load(ctx, func(authz.Authorization) error { n++; cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, n, len(want))
	require.NoError(t, g.Exec("UPDATE authz_assignments SET role = 'x' WHERE id = ?", c.Add[0].ID.String()).Error)
	_, err = s.Load(t.Context(), func(authz.Authorization) error { return nil })
	require.ErrorContains(t, err, c.Add[0].ID.String())
}
