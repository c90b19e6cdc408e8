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
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/lockkeeper/lockkeeper/authz/gormstore/pgtest"
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

func TestStoreOnPostgres(t *testing.T) {
	srv := pgtest.Start(t)
	secretstest.RunStore(t, func(t *testing.T) secrets.Store {
		db, err := gorm.Open(postgres.Open(srv.Database(t)), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		pool, err := db.DB()
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, pool.Close()) })
		s, err := gormstore.New(t.Context(), db)
		require.NoError(t, err)
		return s
	})
}

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func rows(number uint64) (secrets.Head, *secrets.Version) {
	return secrets.Head{Name: "tenants/MARKER-one/secrets/a", Tenant: "MARKER-one", Revision: number, Current: number, Oldest: 1, Kind: secrets.Bearer,
			Created: at, Changed: at, Expires: at.Add(time.Hour), MAC: []byte("mac")},
		&secrets.Version{Name: "tenants/MARKER-one/secrets/a", Tenant: "MARKER-one", Number: number, Kind: secrets.Bearer, Created: at, Expires: at.Add(time.Hour),
			KeyVersion: 1, Wrap: []byte("wrap"), Body: []byte("MARKER-two")}
}

// A saved row outlives the process: what one connection saved, another that
// opens the file later loads, lists and saves over.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	for n := uint64(1); n <= 3; n++ {
		s, closeStore := open(t, path)
		if n == 1 {
			require.NoError(t, s.SaveTenant(t.Context(), secrets.Tenant{Name: "MARKER-one", Generation: 1, HeadKey: []byte("key")}, 0))
		} else {
			h, v := rows(n - 1)
			got, err := s.Load(t.Context(), h.Tenant, h.Name, 0)
			require.NoError(t, err)
			require.Equal(t, h, got.Head)
			require.Equal(t, *v, got.Version)
			es, err := s.List(t.Context(), "tenants/", "", 10)
			require.NoError(t, err)
			require.Len(t, es, 1)
			require.ErrorIs(t, s.Save(t.Context(), h, v, 1), secrets.ErrConflict)
		}
		h, v := rows(n)
		require.NoError(t, s.Save(t.Context(), h, v, 1))
		closeStore()
	}
}

// evidence: P28
func TestFileShowsNeitherNamesNorContent(t *testing.T) {
	dir := t.TempDir()
	s, closeStore := open(t, filepath.Join(dir, "a.db"))
	require.NoError(t, s.SaveTenant(t.Context(), secrets.Tenant{Name: "MARKER-one", Generation: 1, HeadKey: []byte("MARKER-key")}, 0))
	h, v := rows(1)
	require.NoError(t, s.Save(t.Context(), h, v, 1))
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

func TestClosed(t *testing.T) {
	s, closeStore := open(t, filepath.Join(t.TempDir(), "a.db"))
	closeStore()
	h, v := rows(1)
	ctx := context.Background()
	_, err := s.Load(ctx, h.Tenant, h.Name, 0)
	require.Error(t, err, "a broken database is not an empty one")
	err = s.Save(ctx, h, v, 1)
	require.Error(t, err)
	require.NotErrorIs(t, err, secrets.ErrConflict)
	_, err = s.List(ctx, "", "", 1)
	require.Error(t, err)
	_, err = s.Scan(ctx, h.Tenant, "", secrets.AllKeys, secrets.At{}, 1)
	require.Error(t, err)
	_, err = s.Count(ctx, h.Tenant, 1)
	require.Error(t, err)
	_, err = s.Replace(ctx, h.Tenant, []secrets.Rewrap{{Name: h.Name, Number: 1}})
	require.Error(t, err)
	require.Error(t, s.Touch(ctx, h.Tenant, []string{h.Name}, at))
	_, err = s.Tenants(ctx, "", 1)
	require.Error(t, err)
	require.Error(t, s.SaveTenant(ctx, secrets.Tenant{Name: "x", Generation: 1}, 0))
	_, _, err = s.Erase(ctx, h.Tenant, at)
	require.Error(t, err)
}
