//go:build unix

package authz

import (
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A disk that is full in the middle of a record takes it back, and goes on with
// whole lines once there is room.
func TestHalfARecordIsTakenBack(t *testing.T) {
	j, path := opened(t)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	signal.Ignore(syscall.SIGXFSZ) // the error is enough
	defer signal.Reset(syscall.SIGXFSZ)
	var room syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &room))
	full := room
	full.Cur = uint64(len(before)) + 20
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full))
	err = j.Append(t.Context(), follows(t, j))
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &room))
	require.ErrorIs(t, err, syscall.EFBIG)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	require.NoError(t, j.Append(t.Context(), follows(t, j)))
	require.NoError(t, j.Append(t.Context(), follows(t, j)))
	verified(t, path, 5)
}
