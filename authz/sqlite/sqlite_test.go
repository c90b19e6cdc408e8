package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evidence: P28
func TestEncryptedFileHoldsNoTextAndWantsItsKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	key := bytes.Repeat([]byte{7}, KeySize)
	db, err := Open(t.Context(), path, key)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE t(x TEXT); INSERT INTO t VALUES ('MARKER-7e1c')")
	require.NoError(t, err)
	for _, p := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		require.NotContains(t, string(b), "MARKER-7e1c")
		require.NotContains(t, string(b), "SQLite format 3")
	}
	require.NoError(t, db.Close())

	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())

	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = Open(t.Context(), path, bytes.Repeat([]byte{8}, KeySize))
	require.ErrorIs(t, err, ErrWrongKey)
	_, err = Open(t.Context(), path, nil)
	require.ErrorIs(t, err, ErrWrongKey)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after, "a wrong key must change nothing")

	db, err = Open(t.Context(), path, key)
	require.NoError(t, err)
	g, err := Gorm(db)
	require.NoError(t, err)
	var x string
	require.NoError(t, g.Raw("SELECT x FROM t").Scan(&x).Error)
	require.Equal(t, "MARKER-7e1c", x)
	require.NoError(t, db.Close())
}

func TestBadArguments(t *testing.T) {
	_, err := Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), []byte("short"))
	require.ErrorContains(t, err, "want 32")
	_, err = Open(t.Context(), filepath.Join(t.TempDir(), "missing", "a.db"), nil)
	require.Error(t, err)
	_, err = Open(t.Context(), "a?b.db", nil)
	require.Error(t, err)
}
