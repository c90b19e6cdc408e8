package gormstate

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/statetest"
)

func keyring(t testing.TB) *local.Keyring {
	k, err := local.Create(filepath.Join(t.TempDir(), "ring"), nil)
	require.NoError(t, err)
	return k
}

func TestConformance(t *testing.T) {
	for _, idle := range []int{0, 1, 10} {
		t.Run(fmt.Sprint("idle ", idle), func(t *testing.T) {
			statetest.Run(t, func(t *testing.T) lksync.StateStore {
				s, err := New(filepath.Join(t.TempDir(), "state"), keyring(t), &Options{Idle: idle})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				return s
			})
		})
	}
}

func TestSharedConformance(t *testing.T) {
	statetest.RunShared(t, func(t *testing.T) (lksync.MeetingStore, lksync.StopStore) {
		s, err := New(filepath.Join(t.TempDir(), "state"), keyring(t), nil)
		require.NoError(t, err)
		shared, err := s.Tenants(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, shared.Close()) })
		return shared, shared
	})
}

// What mailboxes share is durable, encrypted, and seen by another process.
func TestWhatIsSharedLasts(t *testing.T) {
	dir, ring := t.TempDir(), keyring(t)
	s, err := New(dir, ring, nil)
	require.NoError(t, err)
	a, err := s.Tenants(t.Context())
	require.NoError(t, err)
	b, err := s.Tenants(t.Context())
	require.NoError(t, err)
	crm := authztest.Resource(t, "tenants/acme/crm")
	require.NoError(t, a.SetStop(t.Context(), crm, true))
	stops, err := b.Stops(t.Context())
	require.NoError(t, err)
	require.Equal(t, []authz.Resource{crm}, stops)
	ka, err := a.MeetingKey(t.Context(), crm)
	require.NoError(t, err)
	kb, err := b.MeetingKey(t.Context(), crm)
	require.NoError(t, err)
	require.Equal(t, ka, kb)
	for _, x := range []*Tenants{a, b} {
		require.NoError(t, x.Close())
	}
	require.NotContains(t, fmt.Sprint(snapshot(t, dir)), "tenants/acme")
	other, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	_, err = other.Tenants(t.Context())
	require.ErrorIs(t, err, lksync.ErrState)
}

// A state of the first form is brought up to date and loses nothing.
func TestOlderStatesAreMigrated(t *testing.T) {
	dir := t.TempDir()
	s, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	l := lksync.Link{Kind: connectors.KindContact, ID: [2]string{"l", "r"}, Rev: [2]string{"1", "2"}, Origin: lksync.Left, State: lksync.Linked}
	require.NoError(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{l}, Begin: []lksync.Intent{{Key: "k", Kind: l.Kind, Side: lksync.Left}}}))
	var more lksync.Batch
	for i := range 2500 { // more than are hashed at once
		m := l
		m.Kind, m.ID = connectors.KindAppointment, [2]string{fmt.Sprint("l", i), fmt.Sprint("r", i)}
		more.Put = append(more.Put, m)
	}
	require.NoError(t, h.Commit(t.Context(), more))
	_, err = h.(*state).db.ExecContext(t.Context(), `DROP INDEX link_waiting; DROP TABLE self;
		DROP TRIGGER link_came; DROP TRIGGER link_went; DROP TRIGGER link_turned; DROP TABLE tally;
		ALTER TABLE link DROP COLUMN role; ALTER TABLE link DROP COLUMN apart; ALTER TABLE link DROP COLUMN base; ALTER TABLE link DROP COLUMN loop; ALTER TABLE link DROP COLUMN since; ALTER TABLE link DROP COLUMN files;
		DROP INDEX link_left; DROP INDEX link_right; ALTER TABLE link DROP COLUMN left_hash; ALTER TABLE link DROP COLUMN right_hash;
		CREATE UNIQUE INDEX link_left ON link (kind, left_id) WHERE left_id <> '';
		CREATE UNIQUE INDEX link_right ON link (kind, right_id) WHERE right_id <> '';
		ALTER TABLE intent DROP COLUMN proof; ALTER TABLE intent RENAME COLUMN missed TO made; UPDATE intent SET made = 1; UPDATE meta SET value = 1 WHERE name = 'schema'`)
	require.NoError(t, err)
	require.NoError(t, h.Close())
	for range 2 {
		h, err = s.Open(t.Context(), "a")
		require.NoError(t, err)
		got, ok, err := h.Find(t.Context(), l.Kind, lksync.Left, "l")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, "2", got.Rev[1])
		_, ok, err = h.Find(t.Context(), l.Kind, lksync.Right, "r")
		require.NoError(t, err)
		require.True(t, ok)
		require.Error(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{{Kind: l.Kind, ID: [2]string{"l", "other"}}}}), "an id is linked once")
		for _, m := range []lksync.Link{more.Put[0], more.Put[1200], more.Put[2499]} {
			got, ok, err := h.Find(t.Context(), m.Kind, lksync.Right, m.ID[1])
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, m.ID, got.ID)
		}
		require.NoError(t, h.Close())
		h, err = s.Open(t.Context(), "a")
		require.NoError(t, err)
		ins, err := h.Intents(t.Context())
		require.NoError(t, err)
		require.Len(t, ins, 1)
		require.Zero(t, ins[0].Missed, "when it was made is not when it was looked for")
		_, err = h.Key(t.Context())
		require.NoError(t, err)
		n, err := h.Count(t.Context(), l.Kind)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.NoError(t, h.Close())
	}
	h, err = s.Open(t.Context(), "a")
	require.NoError(t, err)
	_, err = h.(*state).db.ExecContext(t.Context(), "UPDATE meta SET value = 6 WHERE name = 'schema'")
	require.NoError(t, err)
	require.NoError(t, h.Close())
	_, err = s.Open(t.Context(), "a")
	require.ErrorIs(t, err, lksync.ErrState, "a newer one is left alone")
}

// Two ids whose hashes are the same are two: neither is found under the other's
// name, and the second is refused.
func TestHashesThatCollideMergeNothing(t *testing.T) {
	s, err := New(t.TempDir(), keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	k := connectors.KindContact
	link := func(l, r string) lksync.Link {
		return lksync.Link{Kind: k, ID: [2]string{l, r}, Origin: lksync.Left, State: lksync.Linked}
	}
	require.NoError(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{link("l", "r")}}))
	key, err := h.Key(t.Context())
	require.NoError(t, err)
	_, err = h.(*state).db.ExecContext(t.Context(), "UPDATE link SET right_hash = ?", hashed(key, "other"))
	require.NoError(t, err)
	_, ok, err := h.Find(t.Context(), k, lksync.Right, "other")
	require.NoError(t, err)
	require.False(t, ok)
	require.Error(t, h.Commit(t.Context(), lksync.Batch{Put: []lksync.Link{link("m", "other")}}))
	_, ok, err = h.Find(t.Context(), k, lksync.Left, "l")
	require.NoError(t, err)
	require.True(t, ok)
}

// What is counted on the way is what counting finds, whatever a link turns into.
func TestTheTallyIsTheCount(t *testing.T) {
	s, err := New(t.TempDir(), keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	defer h.Close()
	rnd := rand.New(rand.NewPCG(1, 2))
	kinds := []connectors.Kind{connectors.KindContact, connectors.KindAppointment}
	for i := range 300 {
		var b lksync.Batch
		for j := range rnd.IntN(4) {
			l := lksync.Link{Kind: kinds[rnd.IntN(2)], ID: [2]string{fmt.Sprint("l", i, ".", j), fmt.Sprint("r", i, ".", j)}, Origin: lksync.Left,
				State: lksync.LinkState(1 + rnd.IntN(5))}
			b.Put = append(b.Put, l)
		}
		ls, err := h.Links(t.Context(), kinds[rnd.IntN(2)], int64(rnd.IntN(i+1)), 3)
		require.NoError(t, err)
		for _, l := range ls {
			if rnd.IntN(4) == 0 {
				b.Drop = append(b.Drop, l.Number)
				continue
			}
			l.State = lksync.LinkState(1 + rnd.IntN(5))
			b.Put = append(b.Put, l)
		}
		require.NoError(t, h.Commit(t.Context(), b))
		for _, k := range kinds {
			n, err := h.Count(t.Context(), k)
			require.NoError(t, err)
			want := 0
			require.NoError(t, h.(*state).db.QueryRowContext(t.Context(), "SELECT count(*) FROM link WHERE kind = ? AND state IN (?, ?)", k, lksync.Linked, lksync.Conflicted).Scan(&want))
			require.Equal(t, want, n)
		}
	}
}

// The scratch of a round is a sealed file, and gone when it is closed.
func TestScratchLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	c, err := h.Scratch(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Add(t.Context(), []lksync.Seen{{Side: lksync.Left, ID: "MARKER-5d2a", Group: "g"}}))
	files, err := filepath.Glob(filepath.Join(dir, ".scratch-*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NotContains(t, string(b), "MARKER-5d2a")
	}
	require.NoError(t, c.Close())
	// What a crash left goes a day later.
	left := filepath.Join(dir, ".scratch-1")
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	require.NoError(t, os.Chtimes(left, time.Time{}, time.Now().Add(-25*time.Hour)))
	_, err = New(dir, keyring(t), nil)
	require.NoError(t, err)
	files, err = filepath.Glob(filepath.Join(dir, ".scratch-*"))
	require.NoError(t, err)
	require.Empty(t, files)
	require.NoError(t, h.Close())
}

// evidence: P33
func TestSwappedFilesWrongKeysAndMissingKeysAreRefused(t *testing.T) {
	dir := t.TempDir()
	ring := keyring(t)
	s, err := New(dir, ring, nil)
	require.NoError(t, err)
	for _, id := range []lksync.PairID{"a", "b"} {
		h, err := s.Open(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, h.Close())
	}
	before := snapshot(t, dir)
	other, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	_, err = other.Open(t.Context(), "a")
	require.ErrorIs(t, err, lksync.ErrState)
	require.Equal(t, before, snapshot(t, dir), "nothing was damaged")

	files, err := filepath.Glob(filepath.Join(dir, "*.state"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	swap := func(ext string) {
		a, b := strings.TrimSuffix(files[0], ".state")+ext, strings.TrimSuffix(files[1], ".state")+ext
		require.NoError(t, os.Rename(a, a+".tmp"))
		require.NoError(t, os.Rename(b, a))
		require.NoError(t, os.Rename(a+".tmp", b))
	}
	swap(".state")
	for _, id := range []lksync.PairID{"a", "b"} {
		_, err = s.Open(t.Context(), id)
		require.ErrorIs(t, err, lksync.ErrState)
	}
	swap(".key") // both files of one put in the place of the other's
	for _, id := range []lksync.PairID{"a", "b"} {
		_, err = s.Open(t.Context(), id)
		require.ErrorIs(t, err, lksync.ErrState)
	}
	swap(".state")
	swap(".key")
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.NoError(t, os.Remove(strings.TrimSuffix(files[0], ".state")+".key"))
	_, errA := s.Open(t.Context(), "a")
	_, errB := s.Open(t.Context(), "b")
	require.True(t, (errA == nil) != (errB == nil), "a state without its key is not begun anew")
}

func snapshot(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	es, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range es {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = string(b)
		i, err := e.Info()
		require.NoError(t, err)
		assert.Zero(t, i.Mode().Perm()&0o077, e.Name())
	}
	return out
}

// evidence: P4
func TestEveryColumnHasAClass(t *testing.T) {
	class := map[string]string{
		"meta.name": "constant", "meta.value": "counter",
		"link.number": "counter", "link.kind": "flag", "link.left_id": "id", "link.left_rev": "revision", "link.right_id": "id", "link.right_rev": "revision",
		"link.origin": "flag", "link.state": "flag", "link.seen": "date",
		"link.role": "flag", "link.apart": "flag", "link.base": "keyed digest, off by default", "link.loop": "counter", "link.since": "date", "link.files": "ids and revisions", "link.left_hash": "keyed hash of an id", "link.right_hash": "keyed hash of an id",
		"intent.proof": "keyed check of 16 bits", "self.name": "constant", "self.value": "id or key",
		"intent.key": "id", "intent.kind": "flag", "intent.side": "flag", "intent.source_id": "id", "intent.rev": "revision", "intent.missed": "date",
		"issue.number": "counter", "issue.kind": "flag", "issue.left_id": "id", "issue.right_id": "id", "issue.code": "flag", "issue.field": "flag",
		"issue.detail": "constant", "issue.name": "expiring name", "issue.first": "date", "issue.last": "date", "issue.next_try": "date", "issue.tries": "counter",
		"position.side": "flag", "position.kind": "flag", "position.cursor": "cursor", "position.swept": "date",
		"approval.kind": "flag", "approval.deletions": "counter",
		"tally.kind": "flag", "tally.links": "counter",
	}
	s, err := New(t.TempDir(), keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	defer h.Close()
	rows, err := h.(*state).db.QueryContext(t.Context(), "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
	require.NoError(t, err)
	defer rows.Close()
	seen := 0
	for rows.Next() {
		var c string
		require.NoError(t, rows.Scan(&c))
		assert.Contains(t, class, c, "a column that is no id, date, revision, cursor, counter, flag or expiring name")
		seen++
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, len(class), seen)
}

func TestSizeOfALink(t *testing.T) {
	for name, right := range map[string]string{"CalDAV": "lk-%032x.vcf", "EWS": "AAMkADk1ZTVjZTA0LTUyNzYtNDQzNi04OTU2LTY5OTc0ZWVmNzYzMABGAAAAAAAiQ8W967B7TKBjgx9rVEURBwAiIsqMbYjsT5e-T7KzowPTAAAAAAEOAAAiIsqMbYjsT5e-%016x"} {
		t.Run(name, func(t *testing.T) { sizeOfALink(t, right) })
	}
}

func sizeOfALink(t *testing.T, right string) {
	dir := t.TempDir()
	s, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	const n = 5000
	var b lksync.Batch
	for i := range n {
		b.Put = append(b.Put, lksync.Link{Kind: connectors.KindContact, Origin: lksync.Left, State: lksync.Linked,
			ID:  [2]string{fmt.Sprintf("00163E%026d", i), fmt.Sprintf(right, i)},
			Rev: [2]string{"W/\"datetimeoffset'2026-01-01T00%3A00%3A00.0000000Z'\"", `"` + strings.Repeat("f", 64) + `"`}})
	}
	require.NoError(t, h.Commit(t.Context(), b))
	require.NoError(t, h.Close())
	total := 0
	for _, f := range snapshot(t, dir) {
		total += len(f)
	}
	assert.LessOrEqual(t, total/n, 512, "bytes of state for one link")
	t.Logf("%d bytes of state for one link", total/n)
	require.False(t, bytes.Contains([]byte(fmt.Sprint(snapshot(t, dir))), []byte("00163E")))
}

// evidence: P28
func TestADamagedFileIsRefusedOrReadsRight(t *testing.T) {
	dir := t.TempDir()
	s, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	require.NoError(t, h.Close())
	files, err := filepath.Glob(filepath.Join(dir, "*.key"))
	require.NoError(t, err)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	for i := range b {
		flipped := bytes.Clone(b)
		flipped[i] ^= 1
		require.NoError(t, os.WriteFile(files[0], flipped, 0o600))
		_, err = s.Open(t.Context(), "a")
		require.ErrorIs(t, err, lksync.ErrState)
	}
}
