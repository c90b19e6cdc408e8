package msgraph

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func every() []connectors.Kind {
	return []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail}
}

// seeded is a mailbox with an item of each kind, and their ids.
func seeded(t *testing.T) (*world, map[connectors.Kind]string) {
	w := newWorld(t, nil)
	ids := map[connectors.Kind]string{}
	for k, c := range map[connectors.Kind][2]string{connectors.KindContact: {"contacts", `{"surname":"Ito"}`}, connectors.KindTask: {"tasks", `{"title":"Call"}`},
		connectors.KindAppointment: {"events", string(marshal(map[string]any{"subject": "Plan", "start": at(today()), "end": at(today().Add(time.Hour))}))},
		connectors.KindMail:        {"messages", `{"subject":"Hello","internetMessageId":"<m@x.example>","internetMessageHeaders":[{"name":"To","value":"x"}]}`}} {
		id, err := w.g.Put(ana, c[0], "", []byte(c[1]))
		require.NoError(t, err)
		ids[k] = id
	}
	return w, ids
}

// all reads changes of a kind to the end.
func (w *world) all(k connectors.Kind, cursor string) ([]connectors.Change, string, error) {
	var out []connectors.Change
	for range 100 {
		p, err := w.conn.Changes(w.Context(), k, cursor, 0)
		if err != nil {
			return out, cursor, err
		}
		out = append(out, p.Changes...)
		if cursor = p.Cursor; !p.More {
			return out, cursor, nil
		}
	}
	return out, cursor, fmt.Errorf("no end")
}

// fault meets the next requests with one answer.
func (w *world) fault(status int, header map[string]string, text string) {
	w.meet = func(rw http.ResponseWriter, _ *http.Request) bool {
		for k, v := range header {
			rw.Header().Set(k, v)
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, text)
		return true
	}
}

// fault: F35, F41. What is said of a whole mailbox says nothing about a record in it;
// only an item that is not there is gone.
func TestAMailboxThatIsNotThereHasNotLostItsRecords(t *testing.T) {
	w, ids := seeded(t)
	for _, k := range every() {
		_, cursor, err := w.all(k, "")
		require.NoError(t, err)
		for _, a := range []struct {
			status int
			code   string
		}{{404, "ErrorInvalidUser"}, {404, "MailboxNotEnabledForRESTAPI"}, {404, "ErrorNonExistentMailbox"}, {404, "Request_ResourceNotFound"}, {403, "ErrorAccessDenied"},
			{403, "Authorization_RequestDenied"}, {404, ""}, {503, "ErrorMailboxStoreUnavailable"}, {404, "<html>"}} {
			w.fault(a.status, map[string]string{"Retry-After": "60"}, `{"error":{"code":"`+a.code+`","message":"x"}}`)
			if a.code == "<html>" {
				w.fault(404, nil, "<html>not here</html>")
			}
			rs, err := w.conn.Get(t.Context(), k, []string{ids[k]})
			if err == nil {
				err = rs[0].Err
			}
			require.Error(t, err)
			require.NotErrorIs(t, err, connectors.ErrNotFound, "%s %v", k, a)
			cs, _, err := w.all(k, cursor)
			require.Error(t, err)
			require.Empty(t, cs)
			require.NotErrorIs(t, err, connectors.ErrNotFound, "%s %v", k, a)
		}
		w.fault(404, nil, `{"error":{"code":"ErrorItemNotFound"}}`)
		w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, ids[k]) {
				rw.WriteHeader(404)
				_, _ = io.WriteString(rw, `{"error":{"code":"ErrorItemNotFound"}}`)
				return true
			}
			return false
		}
		rs, err := w.conn.Get(t.Context(), k, []string{ids[k]})
		require.NoError(t, err)
		require.ErrorIs(t, rs[0].Err, connectors.ErrNotFound, k)
		w.meet = func(rw http.ResponseWriter, r *http.Request) bool { // in the listing and refused
			if strings.Contains(r.URL.Path, ids[k]) {
				rw.WriteHeader(403)
				return true
			}
			return false
		}
		rs, err = w.conn.Get(t.Context(), k, []string{ids[k]})
		require.NoError(t, err)
		require.ErrorIs(t, rs[0].Err, connectors.ErrForbidden, k)
		w.meet = nil
	}
}

// fault: F32. However the service says to wait, a read ends with that wait or goes on,
// and no wait is longer than a day; in a batch each request has its own.
func TestRetryAfterInEveryForm(t *testing.T) {
	w, ids := seeded(t)
	for value, want := range map[string]time.Duration{"120": 2 * time.Minute, "1000000000": 24 * time.Hour, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): time.Hour} {
		for _, status := range []int{429, 503} {
			w.fault(status, map[string]string{"Retry-After": value}, `{"error":{"code":"ApplicationThrottled"}}`)
			_, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
			var e *connectors.Error
			require.ErrorAs(t, err, &e)
			require.InDelta(t, want, e.RetryAfter, float64(time.Minute), value)
			require.Equal(t, map[int]error{429: connectors.ErrThrottled, 503: connectors.ErrUnavailable}[status], e.Class)
		}
	}
	for _, value := range []string{"", "-5", "soon", "0", "Thu, 01 Jan 1970 00:00:00 GMT"} {
		var n atomic.Int64
		w.meet = func(rw http.ResponseWriter, _ *http.Request) bool {
			if n.Add(1) > 2 {
				return false
			}
			if value != "" {
				rw.Header().Set("Retry-After", value)
			}
			rw.WriteHeader(429)
			return true
		}
		_, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
		require.NoError(t, err, value)
		require.GreaterOrEqual(t, n.Load(), int64(3))
	}
	// One of a batch has to wait for long, the other is there.
	w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/$batch") {
			return false
		}
		_, _ = io.WriteString(rw, `{"responses":[{"id":"1","status":429,"headers":{"retry-after":"600"},"body":{"error":{"code":"ApplicationThrottled"}}},
			{"id":"0","status":200,"body":{"id":"`+ids[connectors.KindContact]+`","@odata.etag":"W/\"1\"","surname":"Ito"}}]}`)
		return true
	}
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, []string{ids[connectors.KindContact], strings.Repeat("B", 40)})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	var e *connectors.Error
	require.ErrorAs(t, rs[1].Err, &e)
	require.ErrorIs(t, e, connectors.ErrThrottled)
	require.Equal(t, 10*time.Minute, e.RetryAfter)
}

// fault: F32. Graph serves four requests at a time for a mailbox: a fifth is not sent.
func TestFourRequestsAtATime(t *testing.T) {
	w, ids := seeded(t)
	var now, most, begun atomic.Int64
	release := make(chan struct{})
	w.meet = func(http.ResponseWriter, *http.Request) bool {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if begun.Add(1) == maxLanes {
			close(release) // as many as there may be are under way
		}
		<-release
		now.Add(-1)
		return false
	}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			_, err := w.conn.Get(t.Context(), connectors.KindContact, []string{ids[connectors.KindContact]})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.EqualValues(t, maxLanes, most.Load())
}

// fault: F33, F34, F61. An answer that is no answer is an error of one class, says
// nothing of what the service said, and brings no change.
func TestAnswersThatAreNone(t *testing.T) {
	w, ids := seeded(t)
	secret := strings.Repeat("geheimnis ", 100_000)
	for name, c := range map[string]struct {
		status int
		header map[string]string
		text   string
		want   error
	}{
		"sign in as HTML":     {200, map[string]string{"Content-Type": "text/html"}, "<html>" + secret, connectors.ErrMalformed},
		"error with 200":      {200, nil, `{"error":{"code":"ErrorInternalServerError","message":"` + secret + `"}}`, connectors.ErrMalformed},
		"204":                 {204, nil, "", connectors.ErrMalformed},
		"304":                 {304, nil, "", connectors.ErrMalformed},
		"401":                 {401, nil, secret, connectors.ErrUnauthorized},
		"403":                 {403, nil, secret, connectors.ErrForbidden},
		"410":                 {410, nil, secret, connectors.ErrCursorExpired},
		"sync state":          {400, nil, `{"error":{"code":"SyncStateNotFound"}}`, connectors.ErrCursorExpired},
		"sync state, 404":     {404, nil, `{"error":{"code":"syncStateNotFound"}}`, connectors.ErrCursorExpired},
		"resync":              {410, map[string]string{"Location": "https://evil.example/"}, `{"error":{"code":"resyncRequired"}}`, connectors.ErrCursorExpired},
		"500":                 {500, nil, secret, connectors.ErrUnavailable},
		"text behind":         {200, nil, `{"value":[],"@odata.deltaLink":"x"} and more`, connectors.ErrMalformed},
		"deep":                {200, nil, `{"value":` + strings.Repeat("[", 1_000_000), connectors.ErrMalformed},
		"number without end":  {200, nil, `{"value":[{"id":1e999999}]}`, connectors.ErrMalformed},
		"neither link":        {200, nil, `{"value":[]}`, connectors.ErrMalformed},
		"both links":          {200, nil, `{"value":[],"@odata.nextLink":"x","@odata.deltaLink":"y"}`, connectors.ErrMalformed},
		"item without id":     {200, nil, `{"value":[{"subject":"x"}],"@odata.deltaLink":"y"}`, connectors.ErrMalformed},
		"items are no list":   {200, nil, `{"value":{"0":{}},"@odata.deltaLink":"y"}`, connectors.ErrMalformed},
		"lone surrogate, BOM": {200, nil, "\ufeff" + `{"value":[{"id":"\ud800"}]}`, connectors.ErrMalformed},
	} {
		for _, k := range every() {
			_, cursor, err := w.all(k, "")
			require.NoError(t, err)
			w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/todo/lists") || !strings.Contains(r.URL.Path, "delta") && strings.Contains(r.URL.Path, "mailFolders") {
					return false
				}
				for k, v := range c.header {
					rw.Header().Set(k, v)
				}
				if c.status == 500 {
					rw.Header().Set("Retry-After", "60")
				}
				rw.WriteHeader(c.status)
				_, _ = io.WriteString(rw, c.text)
				return true
			}
			p, err := w.conn.Changes(t.Context(), k, cursor, 10)
			require.ErrorIs(t, err, c.want, "%s of %s", name, k)
			require.Empty(t, p.Changes)
			require.NotContains(t, err.Error(), "geheimnis")
			require.Less(t, len(err.Error()), 300)
			w.meet = nil
			// And it goes on where it was.
			cs, _, err := w.all(k, cursor)
			require.NoError(t, err)
			require.Empty(t, cs)
			rs, err := w.conn.Get(t.Context(), k, []string{ids[k]})
			require.NoError(t, err)
			require.NoError(t, rs[0].Err)
		}
	}
}

// fault: F36. A history that ended is read anew, and nothing counts as deleted.
func TestAHistoryThatEndedDeletesNothing(t *testing.T) {
	w, ids := seeded(t)
	for _, k := range every() {
		_, cursor, err := w.all(k, "")
		require.NoError(t, err)
		w.g.Expire()
		cs, _, err := w.all(k, cursor)
		require.ErrorIs(t, err, connectors.ErrCursorExpired)
		require.Empty(t, cs)
		cs, _, err = w.all(k, "")
		require.NoError(t, err)
		require.Len(t, cs, 1)
		require.Equal(t, ids[k], cs[0].ID)
		require.False(t, cs[0].Gone)
	}
}

// fault: F37. Pages that come twice, are empty, lead nowhere, elsewhere or in a circle.
func TestPagesOutOfOrder(t *testing.T) {
	w, ids := seeded(t)
	id := ids[connectors.KindContact]
	u, err := url.Parse(w.srv.URL)
	require.NoError(t, err)
	link := "https://" + u.Host + "/v1.0/users/" + ana + "/contactFolders/contacts/contacts/delta?$skiptoken="
	row := func(rev string) string { return `{"id":"` + id + `","@odata.etag":"W/\"` + rev + `\""}` }
	pages := []string{`{"value":[],"@odata.nextLink":"` + link + `1"}`, `{"value":[` + row("1") + `,` + row("2") + `,` + row("1") + `],"@odata.nextLink":"` + link + `2"}`,
		`{"value":[` + row("1") + `],"@odata.nextLink":"` + link + `1b"}`, `{"value":[],"@odata.deltaLink":"` + link + `3"}`}
	n := 0
	w.meet = func(rw http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(rw, pages[min(n, len(pages)-1)])
		n++
		return true
	}
	cs, _, err := w.all(connectors.KindContact, "")
	require.NoError(t, err)
	require.Len(t, cs, 4)
	for _, c := range cs {
		require.Equal(t, id, c.ID)
		require.False(t, c.Gone)
	}
	// In a circle.
	w.meet = func(rw http.ResponseWriter, _ *http.Request) bool {
		_, _ = io.WriteString(rw, `{"value":[],"@odata.nextLink":"`+link+`same"}`)
		return true
	}
	_, _, err = w.all(connectors.KindContact, "")
	require.ErrorIs(t, err, connectors.ErrMalformed)
	w.meet = nil
	// A cursor of another mailbox reaches this one only.
	var foreign atomic.Bool
	w.meet = func(_ http.ResponseWriter, r *http.Request) bool {
		foreign.Store(foreign.Load() || strings.Contains(r.URL.Path, ben))
		return false
	}
	_, _ = w.conn.Changes(t.Context(), connectors.KindContact, `{"l":{"contacts":"/users/`+ben+`/contactFolders/contacts/contacts/delta?$deltatoken=x"}}`, 10)
	require.False(t, foreign.Load())
}

// fault: F38, F58. Times from nowhere and numbers out of range change nothing.
func TestTimesAndNumbersOutOfRange(t *testing.T) {
	w, ids := seeded(t)
	for _, k := range every() {
		for _, more := range []string{`"lastModifiedDateTime":"2099-01-01T00:00:00Z"`, `"lastModifiedDateTime":"0001-01-01T00:00:00Z"`, `"reminderMinutesBeforeStart":-1,"isReminderOn":true`,
			`"reminderMinutesBeforeStart":9000000000000000000,"isReminderOn":true`, `"lastModifiedDateTime":"2026-13-45T99:00:00"`, `"lastModifiedDateTime":"2026-01-01T00:00:00"`,
			`"reminderMinutesBeforeStart":1e300`, `"dueDateTime":{"dateTime":"9999-99-99","timeZone":"UTC"}`, `"reminderDateTime":{"dateTime":"2026-01-01T00:00:00","timeZone":"Nowhere"},"isReminderOn":true`,
			`"start":{"dateTime":"x"}`, `"recurrence":{"pattern":{"type":"daily","interval":99999999999999999999}}`} {
			w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.Path, ids[k]) {
					return false
				}
				_, _ = io.WriteString(rw, `{"id":"`+ids[k]+`","@odata.etag":"W/\"1\"","start":{"dateTime":"2026-01-01T00:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-01-01T01:00:00","timeZone":"UTC"},`+more+`}`)
				return true
			}
			rs, err := w.conn.Get(t.Context(), k, []string{ids[k]})
			require.NoError(t, err)
			if rs[0].Err != nil {
				require.ErrorIs(t, rs[0].Err, connectors.ErrMalformed, "%s %s", k, more)
				continue
			}
			require.Equal(t, `W/"1"`, rs[0].Record.Rev)
			if a := rs[0].Record.Appointment; a != nil {
				require.True(t, a.Reminder.Minutes >= 0 && a.Reminder.Minutes <= connectors.MaxReminder)
			}
		}
	}
}

// fault: F39. What was written and is not visible yet is not gone, and is found later.
func TestWhatIsNotVisibleYet(t *testing.T) {
	w, ids := seeded(t)
	id := ids[connectors.KindContact]
	_, cursor, err := w.all(connectors.KindContact, "")
	require.NoError(t, err)
	require.NoError(t, w.g.Change(ana, "contacts", id, []byte(`{"surname":"Changed"}`)))
	w.meet = func(rw http.ResponseWriter, r *http.Request) bool { // the history lags behind
		if strings.Contains(r.URL.Path, "delta") {
			_, _ = io.WriteString(rw, `{"value":[],"@odata.deltaLink":"https://`+r.Host+r.URL.RequestURI()+`"}`)
			return true
		}
		return false
	}
	cs, cursor, err := w.all(connectors.KindContact, cursor)
	require.NoError(t, err)
	require.Empty(t, cs)
	w.meet = nil
	cs, _, err = w.all(connectors.KindContact, cursor)
	require.NoError(t, err)
	require.Len(t, cs, 1)
	require.Equal(t, id, cs[0].ID)
}

// fault: F31. A server that sends a byte now and then holds nobody for longer than an
// exchange may take.
func TestASlowServerLetsGo(t *testing.T) {
	w, _ := seeded(t)
	conn := w.open(ana, 500*time.Millisecond)
	over := make(chan struct{})
	w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
		for {
			select {
			case <-r.Context().Done():
				return true
			case <-over:
				return true
			case <-time.After(20 * time.Millisecond):
				_, _ = io.WriteString(rw, " ")
				_ = http.NewResponseController(rw).Flush()
			}
		}
	}
	_, err := conn.Changes(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrUnavailable)
	close(over)
}

// fault: F50. What grows without end when it is unpacked is given up early.
func TestABombIsGivenUpEarly(t *testing.T) {
	w, ids := seeded(t)
	w.meet = func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(rw)
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 200 { // MiB
			if _, err := z.Write(block); err != nil {
				return true
			}
		}
		_ = z.Close()
		return true
	}
	for _, verb := range []func() error{
		func() error {
			_, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
			return err
		},
		func() error {
			rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{ids[connectors.KindAppointment]})
			if err == nil {
				err = rs[0].Err
			}
			return err
		},
	} {
		err := verb()
		require.ErrorIs(t, err, connectors.ErrMalformed)
	}
}

// fault: F54, F57, F59. Names of any sort, many attendees and many categories are carried
// or refused, and nothing else happens.
func TestHostileContent(t *testing.T) {
	w, _ := seeded(t)
	var attendees []map[string]any
	for i := range 10_000 {
		attendees = append(attendees, map[string]any{"type": "required", "emailAddress": map[string]any{"address": fmt.Sprintf("p%d@x.example", i), "name": "\u202eP\r\nBcc: x"}})
	}
	var categories []string
	for i := range 500 {
		categories = append(categories, fmt.Sprint("c", i))
	}
	id, err := w.g.Put(ana, "events", "", marshal(map[string]any{"subject": "a\r\nSubject: b\x00\u202e", "start": at(today()), "end": at(today().Add(time.Hour)), "attendees": attendees, "categories": categories}))
	require.NoError(t, err)
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	r := rs[0].Record
	require.Len(t, r.Appointment.Attendees, 10_000)
	require.Len(t, r.Categories(), connectors.MaxCategories)
	require.NotContains(t, r.Appointment.Subject, "\n")
	require.NotContains(t, r.Appointment.Attendees[0].Name, "\n")
	require.Empty(t, w.g.Ledger())
}

// fault: F30. An attachment whose answer was lost is found by its name.
func TestAnAttachmentWhoseAnswerWasLost(t *testing.T) {
	w, ids := seeded(t)
	id := ids[connectors.KindAppointment]
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.g.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	}
	_, err = w.conn.Attach(t.Context(), connectors.KindAppointment, connectors.Target{ID: id, Rev: rs[0].Record.Rev}, connectors.Attachment{Name: "a.txt", Size: 5}, strings.NewReader("hello"))
	require.ErrorIs(t, err, connectors.ErrUnknownOutcome)
	w.meet = nil
	rs, err = w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	require.Len(t, rs[0].Record.Attachments, 1)
	require.Equal(t, "a.txt", rs[0].Record.Attachments[0].Name)
	require.EqualValues(t, 5, rs[0].Record.Attachments[0].Size)
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header       { return d.h }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// A change of what is attached to a meeting would be sent to everybody in it.
//
// evidence: I3
func TestNothingIsAttachedToAMeeting(t *testing.T) {
	w := newWorld(t, nil)
	id, err := w.g.Invite(ana, "plan", today(), today().Add(time.Hour), ben)
	require.NoError(t, err)
	file, err := w.g.Attach(ana, "events", id, "a.txt", "text/plain", []byte("x"))
	require.NoError(t, err)
	sent := len(w.g.Ledger())
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	target := connectors.Target{ID: id, Rev: rs[0].Record.Rev}
	_, err = w.conn.Attach(t.Context(), connectors.KindAppointment, target, connectors.Attachment{Name: "b.txt", Size: 1}, strings.NewReader("x"))
	require.ErrorIs(t, err, connectors.ErrInvalid)
	_, err = w.conn.Detach(t.Context(), connectors.KindAppointment, target, file)
	require.ErrorIs(t, err, connectors.ErrInvalid)
	require.Len(t, w.g.Ledger(), sent)
	// Marks and reminders are the user's own.
	r := rs[0].Record.Clone()
	r.SetCategories([]string{"Visit"})
	r.Appointment.Reminder = connectors.Reminder{Set: true, Minutes: 10}
	ws, err := w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldCategories, connectors.FieldReminder}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	require.Len(t, w.g.Ledger(), sent)
}

// What a task or an event holds beyond what is mapped survives an update.
func TestUpdatesKeepTheRestOfTasksAndEvents(t *testing.T) {
	w := newWorld(t, nil)
	weekly := map[string]any{"pattern": map[string]any{"type": "weekly", "interval": 1.0, "daysOfWeek": []any{"monday"}}, "range": map[string]any{"type": "noEnd", "startDate": "2026-03-09"}}
	for k, c := range map[connectors.Kind]struct {
		kind, path string
		content    map[string]any
		field      connectors.Field
	}{
		connectors.KindTask: {"tasks", "/todo/lists/defaultList/tasks/", map[string]any{"title": "Call", "recurrence": weekly, "completedDateTime": at(today()), "status": "completed"}, connectors.FieldSubject},
		connectors.KindAppointment: {"events", "/events/", map[string]any{"subject": "Plan", "start": at(today()), "end": at(today().Add(time.Hour)), "recurrence": weekly, "showAs": "workingElsewhere"},
			connectors.FieldSubject},
	} {
		id, err := w.g.Put(ana, c.kind, "", marshal(c.content))
		require.NoError(t, err)
		before := w.other("GET", ana+c.path+id, nil)
		rs, err := w.conn.Get(t.Context(), k, []string{id})
		require.NoError(t, err)
		require.NoError(t, rs[0].Err)
		r := rs[0].Record
		if r.Appointment != nil {
			r.Appointment.Recurrence = nil // it is not written
		}
		r.SetText(c.field, "Other")
		ws, err := w.conn.Update(t.Context(), k, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{c.field}}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err)
		after := w.other("GET", ana+c.path+id, nil)
		for p, v := range before {
			if p != "title" && p != "subject" && p != "@odata.etag" {
				require.Equal(t, v, after[p], p)
			}
		}
	}
}

// Only what the service calls a file is carried, of many pages of attachments.
func TestOnlyFilesAreCarried(t *testing.T) {
	list := []attached{{Type: "#microsoft.graph.fileAttachment", ID: strings.Repeat("A", 20), Name: "a"}, {Type: "#microsoft.graph.itemAttachment", ID: strings.Repeat("B", 20)},
		{Type: "#microsoft.graph.referenceAttachment", ID: strings.Repeat("C", 20)}, {Type: "#microsoft.graph.fileAttachment", ID: strings.Repeat("D", 20), Inline: true},
		{Type: "#microsoft.graph.fileAttachment", ID: "../x"}}
	got := carried(list)
	require.Len(t, got, 1)
	require.Equal(t, "a", got[0].Name)
	b, err := json.Marshal(map[string]any{"value": list})
	require.NoError(t, err)
	require.NotEmpty(t, b)
}
