package gormstore_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a store on an encrypted file and returns how to close it.
func open(t *testing.T, path string) (*gormstore.Store, func()) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, bytes.Repeat([]byte{3}, sqlite.KeySize))
	require.NoError(t, err)
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	s, err := gormstore.New(t.Context(), g)
	require.NoError(t, err)
	return s, func() { require.NoError(t, db.Close()) }
}

func TestStore(t *testing.T) {
	secretstest.RunStore(t, func(t *testing.T) secrets.Store {
		s, closeStore := open(t, filepath.Join(t.TempDir(), "a.db"))
		t.Cleanup(closeStore)
		return s
	})
}

// A saved row outlives the process: what one connection saved, another that
// opens the file later loads, lists and saves over.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := secrets.Row{Name: "tenants/acme/secrets/a", Tenant: "acme", Kind: secrets.Bearer, Version: 1, Created: at, Expires: at.Add(time.Hour), Sealed: []byte("sealed")}
	for v := uint64(1); v <= 3; v++ {
		s, closeStore := open(t, path)
		if v > 1 {
			got, err := s.Load(t.Context(), want.Name)
			require.NoError(t, err)
			require.Equal(t, want, got)
			rows, err := s.List(t.Context(), "tenants/", "", 10)
			require.NoError(t, err)
			require.Len(t, rows, 1)
			require.ErrorIs(t, s.Save(t.Context(), want, 0), secrets.ErrConflict)
		}
		want.Version = v
		require.NoError(t, s.Save(t.Context(), want, v-1))
		closeStore()
	}
}

// evidence: P28
func TestFileShowsNeitherNamesNorContent(t *testing.T) {
	dir := t.TempDir()
	s, closeStore := open(t, filepath.Join(dir, "a.db"))
	require.NoError(t, s.Save(t.Context(), secrets.Row{Name: "tenants/MARKER-one/secrets/x", Tenant: "MARKER-one", Kind: secrets.Basic, Version: 1, Sealed: []byte("MARKER-two")}, 0))
	look := func() {
		files, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, f := range files {
			b, err := os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
			require.False(t, bytes.Contains(b, []byte("MARKER")), f.Name())
		}
	}
	look()
	closeStore()
	look()
}

func TestCancelledAndClosed(t *testing.T) {
	s, closeStore := open(t, filepath.Join(t.TempDir(), "a.db"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := secrets.Row{Name: "tenants/acme/secrets/a", Tenant: "acme", Kind: secrets.Basic, Version: 1, Sealed: []byte{1}}
	require.ErrorIs(t, s.Save(ctx, r, 0), context.Canceled)
	_, err := s.Load(ctx, r.Name)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.List(ctx, "", "", 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.Load(t.Context(), r.Name)
	require.ErrorIs(t, err, secrets.ErrNotFound, "the cancelled save saved nothing")
	closeStore()
	require.Error(t, s.Save(t.Context(), r, 0))
	require.Error(t, s.Save(t.Context(), r, 1))
	_, err = s.Load(t.Context(), r.Name)
	require.Error(t, err)
	require.NotErrorIs(t, err, secrets.ErrNotFound, "a broken database is not an empty one")
}
