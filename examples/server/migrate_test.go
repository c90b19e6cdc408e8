package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// The right to move keys is in the process that moves them, is on record, and is
// nobody's afterwards.
//
// evidence: T13
func TestNobodyHoldsTheRightToMoveKeys(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	h := houseIn(t, data)
	defer h.end()
	move := authz.Request{Principal: h.mover, Permission: authz.MustPermission("secrets.rotate"), Resource: h.all}
	_, err := h.az.Authorize(t.Context(), move)
	require.ErrorIs(t, err, authz.ErrDenied)
	g, err := h.moving(t.Context())
	require.NoError(t, err)
	require.NoError(t, g.Use(t.Context(), move.Permission, move.Resource, "move-keys"))
	require.ErrorIs(t, g.Covers(authz.MustPermission("secrets.erase"), h.all), authz.ErrDenied)
	_, err = h.az.Authorize(t.Context(), move)
	require.ErrorIs(t, err, authz.ErrDenied, "not even while it runs, in another place")
	said := 0
	for r, err := range h.audit.Records(t.Context(), 0, false) {
		require.NoError(t, err)
		if r.Principal == h.mover && r.Allowed && strings.Contains(r.Reason, "move-keys") {
			said++
		}
	}
	require.Equal(t, 1, said)
	_, _, err = authz.Verify(h.audit.Records(t.Context(), 0, false))
	require.NoError(t, err, "one trail")
}
