package msgraph

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
)

// A subscription from its validation to its end: its notifications are hints, its
// lifecycle events too, it is renewed, and what others send gives nothing.
//
// fault: F42
func TestNotificationsAreHints(t *testing.T) {
	var mu sync.Mutex
	var hints []string
	h := NewHooks(func(id string, e Event) {
		mu.Lock()
		defer mu.Unlock()
		hints = append(hints, map[Event]string{Changed: "changed", Renew: "renew", Removed: "removed", Missed: "missed"}[e]+" "+id)
	})
	h.now = today
	taken := func() []string {
		mu.Lock()
		defer mu.Unlock()
		out := hints
		hints = nil
		return out
	}
	hooks := httptest.NewTLSServer(h)
	defer hooks.Close()
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail} {
		w := newWorldOf(t, nil, &msgraphtest.Options{Client: hooks.Client()})
		kind := map[connectors.Kind]string{connectors.KindContact: "contacts", connectors.KindAppointment: "events", connectors.KindTask: "tasks", connectors.KindMail: "messages"}[k]
		content := map[string]string{"contacts": `{"surname":"Ito"}`, "tasks": `{"title":"Call"}`, "messages": `{"subject":"Hello"}`,
			"events": string(marshal(map[string]any{"subject": "Plan", "start": at(today()), "end": at(today().Add(time.Hour))}))}[kind]
		state := "state of a subscription"
		got, err := w.conn.Watch(t.Context(), k, connectors.Watch{URL: hooks.URL + "/notify", State: state, Until: today().AddDate(1, 0, 0)})
		require.NoError(t, err)
		require.LessOrEqual(t, got.Until.Sub(today()), longestWatch(k))
		require.True(t, h.Open(Subscription{ID: got.ID, State: state, Expires: got.Until}))
		require.Empty(t, taken())

		for range 3 {
			_, err = w.g.Put(ana, kind, "", []byte(content))
			require.NoError(t, err)
		}
		_, err = w.g.Put(ben, kind, "", []byte(content))
		require.NoError(t, err)
		require.Equal(t, []int{202}, w.g.Deliver())
		require.Equal(t, []string{"changed " + got.ID}, taken(), "once, and of this mailbox only")

		for event, want := range map[string]string{"reauthorizationRequired": "renew ", "missed": "missed "} {
			w.g.Lifecycle(event)
			require.Equal(t, []int{202}, w.g.Deliver())
			require.Equal(t, []string{want + got.ID}, taken())
		}
		require.Len(t, h.Due(10*24*time.Hour), 1)
		again, err := w.conn.Watch(t.Context(), k, connectors.Watch{ID: got.ID, URL: hooks.URL, State: state, Until: today().Add(time.Hour)})
		require.NoError(t, err)
		require.Equal(t, got.ID, again.ID)
		require.True(t, today().Add(time.Hour).Equal(again.Until))

		w.g.Lifecycle("subscriptionRemoved")
		require.Equal(t, []int{202}, w.g.Deliver())
		require.Equal(t, []string{"removed " + got.ID}, taken())
		_, err = w.conn.Watch(t.Context(), k, connectors.Watch{ID: got.ID, URL: hooks.URL, State: state, Until: today().Add(time.Hour)})
		require.ErrorIs(t, err, connectors.ErrNotFound)
		require.NoError(t, w.conn.Unwatch(t.Context(), k, got.ID))

		got, err = w.conn.Watch(t.Context(), k, connectors.Watch{URL: hooks.URL, State: state, Until: today().Add(time.Hour)})
		require.NoError(t, err)
		require.NoError(t, w.conn.Unwatch(t.Context(), k, got.ID))
		require.Zero(t, w.g.Subscriptions())
		h.Close(got.ID)
		for _, s := range h.Due(24 * 365 * time.Hour) {
			h.Close(s.ID)
		}
		require.Empty(t, w.g.Unknown())
	}
}

// fault: F42. Forged, late and over-long notifications give no hint, and nobody
// learns from the answer what was wrong with one.
func TestForgedNotifications(t *testing.T) {
	hints := 0
	h := NewHooks(func(string, Event) { hints++ })
	h.now = today
	require.True(t, h.Open(Subscription{ID: "sub-1", State: "state of a subscription", Expires: today().Add(time.Hour)}))
	require.True(t, h.Open(Subscription{ID: "sub-2", State: "state of a subscription", Expires: today()}))
	require.False(t, h.Open(Subscription{ID: "sub-3", State: "short", Expires: today().Add(time.Hour)}))
	require.False(t, (&Hooks{}).Open(Subscription{ID: "sub-3", State: "state of a subscription"}))
	send := func(method, target, body string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, target, strings.NewReader(body)))
		return rec
	}
	one := func(id, state, more string) string {
		return `{"value":[{"subscriptionId":"` + id + `","clientState":"` + state + `","changeType":"updated"` + more + `}]}`
	}
	for _, body := range []string{one("sub-1", "", ""), one("sub-1", "state of a subscriptio", ""), one("sub-1", "State of a subscription", ""), one("sub-2", "state of a subscription", ""),
		one("sub-9", "state of a subscription", ""), one("", "", ""), one("sub-1", "state of a subscription", `,"lifecycleEvent":"other"`)} {
		require.Equal(t, http.StatusAccepted, send("POST", "/", body).Code, body)
	}
	for _, body := range []string{"", "{", `{"value":null}`, `{"value":[` + strings.TrimSuffix(strings.Repeat("{},", maxNotices+1), ",") + `]}`, strings.Repeat("[", 100_000)} {
		require.Equal(t, http.StatusBadRequest, send("POST", "/", body).Code)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, send("POST", "/", `{"value":[{"subscriptionId":"`+strings.Repeat("a", maxNotice)+`"}]}`).Code)
	require.Equal(t, http.StatusNotFound, send("GET", "/?validationToken=x", "").Code)
	require.Zero(t, hints)
	rec := send("POST", "/?validationToken=%3Cscript%3Ealert(1)%3C/script%3E", "")
	require.Equal(t, "<script>alert(1)</script>", rec.Body.String())
	require.Equal(t, "text/plain; charset=utf-8", rec.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", rec.Header().Get("X-Content-Type-Options"))
	require.Equal(t, http.StatusBadRequest, send("POST", "/?validationToken="+strings.Repeat("a", maxToken+1), "").Code)
	require.Equal(t, http.StatusAccepted, send("POST", "/", one("sub-1", "state of a subscription", "")).Code)
	require.Equal(t, 1, hints)
}

// evidence: P18, an application that reaches more than the mailboxes that were meant
// shows before anything is synchronised, and so does one that reaches too little.
func TestProbe(t *testing.T) {
	kinds := []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail}
	w := newWorldOf(t, nil, &msgraphtest.Options{Denied: []string{ben}})
	got, err := Probe(t.Context(), w.conn, w.open(ben, 0), kinds...)
	require.NoError(t, err)
	require.Equal(t, Access{}, got)
	got, err = Probe(t.Context(), w.open(ben, 0), nil, kinds...)
	require.NoError(t, err)
	require.Equal(t, Access{Missing: kinds}, got)
	got, err = Probe(t.Context(), w.conn, w.open("nobody@acme.example", 0), kinds...)
	require.NoError(t, err)
	require.Equal(t, Access{Unsure: kinds}, got)
	w = newWorld(t, nil)
	got, err = Probe(t.Context(), w.conn, w.open(ben, 0), kinds...)
	require.NoError(t, err)
	require.Equal(t, Access{Broad: kinds}, got)
	w.fault(500, map[string]string{"Retry-After": "60"}, "")
	_, err = Probe(t.Context(), w.conn, nil, kinds...)
	require.ErrorIs(t, err, connectors.ErrUnavailable)
}
