package c4c

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// signer adds a password to requests, where tests go around the safe.
type signer struct{ next http.RoundTripper }

func (s signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth("eva", "pw")
	return s.next.RoundTrip(r)
}

// Whoever walks the changes to the end knows the newest revision of every
// record, whatever people change between the pages and however many records
// share one instant.
func TestNoChangeIsMissed(t *testing.T) {
	// People's changes come in bursts that share an instant, and some can be read
	// only long after they were stamped, though within the overlap.
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{"eva": {Password: "pw"}}, PageSize: 7, Now: func() time.Time { return now }})
	s.Start()
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL())
	require.NoError(t, err)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	d, err := open(connectors.Settings{URL: u, Options: map[string]string{OptionOverlap: "1s"}}, func() time.Time { return now })
	require.NoError(t, err)
	c := d.session(&http.Client{Transport: signer{tr}})
	k := connectors.KindContact
	rapid.Check(t, func(rt *rapid.T) {
		require.NoError(t, s.Load([]byte(`{"version":1}`)))
		var ids []string
		add := func() {
			p := c4ctest.Props{"LastName": fmt.Sprint("n", len(ids))}
			if rapid.Bool().Draw(rt, "late") {
				p["EntityLastChangedOn"] = now.Add(-time.Duration(rapid.IntRange(0, 900).Draw(rt, "by")) * time.Millisecond)
			}
			id, err := s.Seed("ContactCollection", p)
			require.NoError(t, err)
			ids = append(ids, id)
		}
		for range rapid.IntRange(0, 25).Draw(rt, "start") {
			add()
		}
		known, gone := map[string]string{}, map[string]bool{}
		cursor := ""
		act := func() {
			for range rapid.IntRange(0, 6).Draw(rt, "acts") {
				switch n := rapid.IntRange(0, 9).Draw(rt, "act"); {
				case n < 3 || len(ids) == 0:
					add()
				case n < 4:
					now = now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
				case n < 5:
					require.NoError(t, s.Edit("ContactCollection", rapid.SampledFrom(ids).Draw(rt, "obsolete"), c4ctest.Props{"StatusCode": "4"}))
				default:
					require.NoError(t, s.Edit("ContactCollection", rapid.SampledFrom(ids).Draw(rt, "id"), c4ctest.Props{"FirstName": fmt.Sprint(n)}))
				}
			}
		}
		step := func(limit int) bool {
			p, err := c.changes(t.Context(), k, cursor, limit)
			require.NoError(t, err)
			for _, ch := range p.Changes {
				known[ch.ID], gone[ch.ID] = ch.Rev, ch.Gone
			}
			cursor = p.Cursor
			return p.More
		}
		for range rapid.IntRange(1, 12).Draw(rt, "pages") {
			step(rapid.IntRange(1, 9).Draw(rt, "limit"))
			act()
		}
		for n := 0; step(5); n++ {
			require.Less(t, n, 500, "changes without end")
		}
		if rapid.Bool().Draw(rt, "quiet") {
			// Twice later than the overlap: then nothing is read any more.
			for range 2 {
				now = now.Add(1500 * time.Millisecond)
				for step(5) {
				}
			}
			before := s.RequestCount()
			if p, err := c.changes(t.Context(), k, cursor, 5); err != nil || len(p.Changes) > 0 || p.More || s.RequestCount() != before+1 {
				rt.Fatalf("a quiet round reads %d changes, more %v, in %d requests: %v", len(p.Changes), p.More, s.RequestCount()-before, err)
			}
			act()
		}
		for n := 0; step(5); n++ {
			require.Less(t, n, 500, "changes without end")
		}
		for _, id := range ids {
			rs, err := c.records(t.Context(), k, []string{id})
			require.NoError(t, err)
			if rs[0].Err != nil {
				if rev, ok := known[id]; ok && !gone[id] {
					rt.Fatalf("%s is gone and nobody said so, last seen as %s", id, rev)
				}
				continue
			}
			if known[id] != rs[0].Record.Rev {
				rt.Fatalf("%s: newest revision %s, reported %s", id, rs[0].Record.Rev, known[id])
			}
		}
	})
}
