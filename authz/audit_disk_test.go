package authz

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// opened returns a file with three records, open to go on.
func opened(t *testing.T) (*JSONLines, string) {
	path := filepath.Join(t.TempDir(), "audit")
	j, err := OpenJSONLines(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	chain(t, j, 3)
	return j, path
}

// follows is a record that goes on from where a sink is.
func follows(t *testing.T, s Sink) []AuditRecord {
	seq, head, err := s.Head(t.Context())
	require.NoError(t, err)
	r := AuditRecord{Sequence: seq + 1, Time: time.Unix(1, 0).UTC(), Previous: head}
	r.Hash = r.sum()
	return []AuditRecord{r}
}

func verified(t *testing.T, path string, n uint64) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	seq, _, err := Verify(ReadJSONLines(f))
	require.NoError(t, err)
	require.Equal(t, n, seq)
}

// A record is acknowledged only if it was written and is on the disk. Where it is
// not known what the end of the file holds, nothing is written behind it, even
// once the disk works again.
func TestWhatIsNotOnTheDiskIsNotAcknowledged(t *testing.T) {
	j, path := opened(t)
	good := j.f
	for what, broken := range map[string]func() (*os.File, func()){
		"cannot be written": func() (*os.File, func()) {
			f, err := os.Open(path)
			require.NoError(t, err)
			return f, func() { _ = f.Close() }
		},
		"cannot be brought to the disk": func() (*os.File, func()) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			return w, func() { _, _ = r.Close(), w.Close() }
		},
	} {
		f, done := broken()
		j.f, j.torn = f, nil
		seq, head, err := j.Head(t.Context())
		require.NoError(t, err)
		require.Error(t, j.Append(t.Context(), follows(t, j)), what)
		done()
		j.f = good
		require.Error(t, j.Append(t.Context(), follows(t, j)), "%s: the end of the file is not known", what)
		s, h, err := j.Head(t.Context())
		require.NoError(t, err)
		require.True(t, s == seq && h == head, what)
		verified(t, path, 3)
	}
}

// A record that has no spelling, here for its year, is refused; what comes after
// is written.
func TestARecordThatCannotBeSpelledLeavesTheFileAsItWas(t *testing.T) {
	j, path := opened(t)
	bad := follows(t, j)
	bad[0].Time = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	require.ErrorContains(t, j.Append(t.Context(), bad), "year")
	require.NoError(t, j.Append(t.Context(), follows(t, j)))
	verified(t, path, 4)
}

// What is no file that grows and shrinks is refused before it takes a record.
func TestOnlyAFileKeepsRecords(t *testing.T) {
	_, err := OpenJSONLines(os.DevNull)
	require.ErrorContains(t, err, "authz: audit: truncate")
	_, err = OpenJSONLines(filepath.Join(t.TempDir(), "missing", "audit"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, path := opened(t)
	blind, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = completeLines(blind)
	require.Error(t, err, "where the last line ends is not known")
	require.NoError(t, blind.Close())
	_, err = completeLines(blind)
	require.ErrorIs(t, err, os.ErrClosed)
}
