package pgtest

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDatabasesAreApartAndNothingStays(t *testing.T) {
	var dir string
	t.Run("server", func(t *testing.T) {
		s := Start(t)
		dir = s.dir
		for range 2 {
			db, err := sql.Open("pgx", s.Database(t))
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), "CREATE TABLE once (x INTEGER)")
			require.NoError(t, err)
			// One connection is left open: stopping does not wait for it.
			t.Cleanup(func() { require.NoError(t, db.Close()) })
		}
	})
	if dir == "" {
		t.SkipNow()
	}
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestNewestVersionIsTaken(t *testing.T) {
	bin, err := programs()
	if err != nil {
		require.ErrorIs(t, err, ErrAbsent)
		return
	}
	require.FileExists(t, bin+"/postgres")
}
