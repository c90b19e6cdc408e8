package c4c_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// What a thousand records cost in requests, where the system gives 100 with what
// stands below them in one answer, 1,000 without, and takes 100 in one batch.
// README.md has these figures.
// feature: F27
func TestRequestsPerThousand(t *testing.T) {
	const n = 1000
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tick := func() time.Time { now = now.Add(time.Second); return now }
	for k, want := range map[connectors.Kind]struct{ create, list, changes, get, quiet int64 }{
		connectors.KindContact: {create: 12, list: 12, changes: 1, get: 10, quiet: 1},
		connectors.KindTask:    {create: 11, list: 23, changes: 1, get: 11, quiet: 1},
	} {
		s, c := emulator(t, c4ctest.Options{Now: tick}, map[string]string{"overlap": "0s"})
		ctx := t.Context()
		cost := func(what string, want int64, do func()) {
			before := s.RequestCount()
			do()
			assert.LessOrEqual(t, s.RequestCount()-before, want, "%s: %s", k, what)
		}
		_, empty := drain(t, c, k, "", n)
		var ids []string
		cost("create", want.create, func() {
			var ds []connectors.Draft
			for i := range n {
				r := connectors.NewRecord(k)
				r.SetText(connectors.FieldFamilyName, fmt.Sprint("n", i))
				r.SetText(connectors.FieldSubject, fmt.Sprint("n", i))
				ds = append(ds, connectors.Draft{Record: r, Key: fmt.Sprint("k", i)})
			}
			ws, err := c.Create(ctx, k, ds)
			require.NoError(t, err)
			for _, w := range ws {
				require.NoError(t, w.Err)
				ids = append(ids, w.ID)
			}
		})
		var cursor string
		cost("changes", want.changes, func() {
			p, err := c.Changes(ctx, k, empty, n)
			require.NoError(t, err)
			require.Len(t, p.Changes, n)
		})
		cost("get", want.get, func() {
			rs, err := c.Get(ctx, k, ids)
			require.NoError(t, err)
			for _, r := range rs {
				require.NoError(t, r.Err)
			}
		})
		cost("list", want.list, func() {
			var all map[string]connectors.Change
			all, cursor = drain(t, c, k, "", 100)
			require.Len(t, all, n)
		})
		_, cursor = drain(t, c, k, cursor, n)
		cost("quiet", want.quiet, func() {
			some, _ := drain(t, c, k, cursor, n)
			assert.Empty(t, some)
		})
	}
}
