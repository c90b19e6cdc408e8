package google

import (
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
)

func everyKind() []connectors.Kind {
	return []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail}
}

// readings are the ways to read a kind.
func (w *world) readings(k connectors.Kind) map[string]func() error {
	id := map[connectors.Kind]string{connectors.KindContact: "c123", connectors.KindAppointment: "abcdef", connectors.KindTask: "MDk", connectors.KindMail: "1a"}[k]
	return map[string]func() error{
		"changes": func() error { _, err := w.conn.Changes(w.Context(), k, "", 10); return err },
		"list":    func() error { _, err := w.conn.List(w.Context(), k, "", 10); return err },
		"get": func() error {
			rs, err := w.conn.Get(w.Context(), k, []string{id})
			if err == nil {
				err = rs[0].Err
			}
			return err
		},
	}
}

// fault: F32, F33, F34, F35, F51: whatever a service answers instead of data has a
// class, is no empty listing, and calls nothing missing or gone that it does not.
func TestAnswersHaveAClass(t *testing.T) {
	text := func(status int, body string, header ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(header); i += 2 {
				rw.Header().Set(header[i], header[i+1])
			}
			rw.WriteHeader(status)
			_, _ = rw.Write([]byte(body))
		}
	}
	reason := func(s string) string { return fmt.Sprintf(`{"error":{"errors":[{"reason":%q}]}}`, s) }
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   error
		wait   time.Duration
	}{
		"401":                  {text(401, reason("authError")), connectors.ErrUnauthorized, 0},
		"403 of a mailbox":     {text(403, reason("delegationDenied")), connectors.ErrForbidden, 0},
		"scope missing":        {text(403, reason("insufficientPermissions")), connectors.ErrForbidden, 0},
		"403 by minute":        {text(403, reason("rateLimitExceeded"), "Retry-After", "90"), connectors.ErrThrottled, 90 * time.Second},
		"403 by user":          {text(403, reason("userRateLimitExceeded"), "Retry-After", "3600"), connectors.ErrThrottled, time.Hour},
		"403 by day":           {text(403, reason("dailyLimitExceeded")), connectors.ErrThrottled, time.Hour},
		"403 quota":            {text(403, reason("quotaExceeded")), connectors.ErrThrottled, time.Hour},
		"429 in seconds":       {text(429, "", "Retry-After", "120"), connectors.ErrThrottled, 2 * time.Minute},
		"429 without end":      {text(429, "", "Retry-After", "1000000000"), connectors.ErrThrottled, 24 * time.Hour},
		"501":                  {text(501, "no"), connectors.ErrUnavailable, 0},
		"page to sign in":      {text(200, "<html>sign in</html>", "Content-Type", "text/html"), connectors.ErrMalformed, 0},
		"nothing":              {text(200, ""), connectors.ErrMalformed, 0},
		"204":                  {text(204, ""), connectors.ErrMalformed, 0},
		"304":                  {text(304, ""), connectors.ErrMalformed, 0},
		"null":                 {text(200, "null"), connectors.ErrMalformed, 0},
		"error with 200":       {text(200, `{"error":{"code":500}}`), connectors.ErrMalformed, 0},
		"another kind of list": {text(200, `{"kind":"x","items":[],"messages":[]}`), connectors.ErrMalformed, 0},
		"deep":                 {text(200, strings.Repeat(`{"kind":`, 100_000)), connectors.ErrMalformed, 0},
		"huge numbers":         {text(200, `{"kind":1e999999,"resultSizeEstimate":1e999999,"historyId":1e999999,"connections":1e9,"id":1e9}`), connectors.ErrMalformed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, googletest.Options{})
			w.meet(func(rw http.ResponseWriter, r *http.Request) bool { c.answer(rw, r); return true })
			for _, k := range everyKind() {
				for verb, read := range w.readings(k) {
					err := read()
					if !assert.ErrorIs(t, err, c.want, "%s %s", k, verb) {
						continue
					}
					assert.NotErrorIs(t, err, connectors.ErrNotFound)
					var e *connectors.Error
					require.ErrorAs(t, err, &e)
					assert.Equal(t, c.wait, e.RetryAfter, "%s %s", k, verb)
				}
			}
		})
	}
}

// fault: F32, being told to wait a moment is waited for, whether with 403 or 429, alone
// or within a batch.
func TestAMomentIsWaitedFor(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	for i := range 3 {
		w.deliver(letterWith(fmt.Sprintf("m%d@x", i), "", "x"), inbox)
	}
	for _, status := range []int{403, 429} {
		for _, k := range everyKind() {
			w.g.TellToWait(googletest.Busy{Status: status}, googletest.Busy{Status: status, Reason: "rateLimitExceeded"})
			_, err := w.conn.Changes(t.Context(), k, "", 10)
			require.NoError(t, err, "%s %d", k, status)
		}
	}
	ids, err := w.conn.List(t.Context(), connectors.KindMail, "", 0)
	require.NoError(t, err)
	w.g.TellToWait(googletest.Busy{Status: 429}) // the first of a batch
	rs, err := w.conn.Get(t.Context(), connectors.KindMail, ids.IDs)
	require.NoError(t, err)
	for _, r := range rs {
		require.NoError(t, r.Err)
	}
}

// fault: F35, a mailbox that is not there any more is an error and no deletion.
func TestAMailboxThatIsGone(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	w.weekly()
	w.deliver(letterWith("m@x", "", "x"), inbox)
	cursors := map[connectors.Kind]string{}
	for _, k := range everyKind() {
		_, cursors[k] = w.all(k, "")
	}
	for _, status := range []int{403, 404} {
		w.meet(func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(status); return true })
		for _, k := range everyKind() {
			p, err := w.conn.Changes(t.Context(), k, cursors[k], 10)
			require.Error(t, err, k)
			require.Empty(t, p.Changes, k)
			if status == 404 && k == connectors.KindMail {
				require.ErrorIs(t, err, connectors.ErrCursorExpired)
				_, err = w.conn.Changes(t.Context(), k, "", 10)
				require.ErrorIs(t, err, connectors.ErrNotFound)
			}
			_, err = w.conn.List(t.Context(), k, "", 10)
			require.Error(t, err, k)
		}
	}
}

// fault: F50, what unpacks to more than any answer has is refused while it is read.
func TestAnswersThatUnpackWithoutEnd(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	w.meet(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		block := make([]byte, 1<<20)
		for range 40 {
			if _, err := z.Write(block); err != nil {
				return true
			}
		}
		_ = z.Close()
		return true
	})
	_, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrMalformed)
}

// fault: F37, a page that comes twice, empty or out of order changes nothing that was
// told, and a place of another list is none of this one.
func TestPagesThatRepeat(t *testing.T) {
	w := newWorld(t, googletest.Options{PageSize: 2})
	for i := range 5 {
		w.deliver(letterWith(fmt.Sprintf("m%d@x", i), "", "x"), inbox)
	}
	first, err := w.conn.Changes(t.Context(), connectors.KindMail, "", 10)
	require.NoError(t, err)
	again, err := w.conn.Changes(t.Context(), connectors.KindMail, first.Cursor, 10)
	require.NoError(t, err)
	twice, err := w.conn.Changes(t.Context(), connectors.KindMail, first.Cursor, 10)
	require.NoError(t, err)
	require.Equal(t, again.Cursor, twice.Cursor)
	require.Len(t, twice.Changes, len(again.Changes))
	_, cursor := w.all(connectors.KindAppointment, "")
	for _, k := range []connectors.Kind{connectors.KindMail, connectors.KindTask} {
		_, err := w.conn.Changes(t.Context(), k, cursor, 10)
		require.ErrorIs(t, err, connectors.ErrCursorExpired, k)
	}
	w.meet(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/gmail/v1/users/me/messages" {
			_, _ = rw.Write([]byte(`{"resultSizeEstimate":0,"nextPageToken":"7"}`))
			return true
		}
		return false
	})
	p, err := w.conn.Changes(t.Context(), connectors.KindMail, "", 10)
	require.NoError(t, err)
	require.True(t, p.More, "an empty page with a next one is not the end")
	_, err = w.conn.List(t.Context(), connectors.KindMail, "7", 10)
	require.True(t, errors.Is(err, connectors.ErrMalformed), "a listing that leads to itself: %v", err)
}
