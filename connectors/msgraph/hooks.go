package msgraph

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors/internal/hint"
)

// Event is what a notification says.
type Event uint8

// Events. The zero Event is none.
const (
	Changed Event = iota + 1 // something in the mailbox did
	Renew                    // the subscription pauses unless it is renewed ("reauthorizationRequired")
	Removed                  // there is no subscription any more; a new one is needed
	Missed                   // notifications were lost
)

// Subscription is one that was made at Graph.
type Subscription struct {
	ID      string
	State   string    // clientState, at least 16 bytes; whoever knows it may give hints
	Expires time.Time // as Graph answered
}

// Hooks is the http.Handler that Graph's notifications go to, those about changes
// and those about subscriptions. All that comes of one is a hint that it may be
// worth looking for changes: nothing that it says is believed, notifications come
// twice, late and not at all, and whoever polls misses none. Only one that names an
// open subscription and knows its state gives a hint; others are answered alike,
// 202. Safe for concurrent use; the zero Hooks knows no subscription.
type Hooks struct {
	hint func(subscription string, e Event)
	now  func() time.Time
	open hint.Sources
}

var _ http.Handler = (*Hooks)(nil)

// NewHooks makes a handler that calls hint with the id of a subscription, on the
// request's goroutine: it must not block. Of one request a subscription gives each
// event once.
func NewHooks(hint func(subscription string, e Event)) *Hooks {
	return &Hooks{hint: hint, now: time.Now}
}

const (
	maxID    = 128
	maxState = 128 // bytes, Graph's limit

	maxNotice  = 1 << 20 // bytes of one request
	maxNotices = 1000    // notifications in one
	maxToken   = 4096    // bytes of a validation token
)

// Open lets a subscription give hints until it expires. It reports false for one
// without id or with a state that could be guessed.
func (h *Hooks) Open(s Subscription) bool {
	return h != nil && h.hint != nil && h.open.Open(hint.Source{ID: s.ID, Secret: s.State, Expires: s.Expires}, maxID, maxState)
}

// Close ends the hints of a subscription, whatever Graph goes on sending.
func (h *Hooks) Close(id string) { h.open.Close(id) }

// Due lists the subscriptions that expire within a time or have expired: each has
// to be renewed, or made again.
func (h *Hooks) Due(within time.Duration) []Subscription {
	if h.hint == nil {
		return nil
	}
	var out []Subscription
	for _, x := range h.open.Due(h.now().Add(within)) {
		out = append(out, Subscription{ID: x.ID, State: x.Secret, Expires: x.Expires})
	}
	return out
}

// ServeHTTP implements http.Handler ("Receive change notifications through
// webhooks"). The token of a validation is repeated as plain text.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || h.hint == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if token := r.URL.Query().Get("validationToken"); token != "" {
		if len(token) > maxToken {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.WriteString(w, token)
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxNotice))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	var in struct {
		Value []notice `json:"value"`
	}
	if err := json.Unmarshal(b, &in); err != nil || len(in.Value) == 0 || len(in.Value) > maxNotices {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	type told struct {
		id string
		e  Event
	}
	seen := map[told]bool{}
	for _, n := range in.Value {
		if t := (told{n.ID, n.event()}); h.open.Knows(n.ID, n.State, h.now()) && t.e != 0 && !seen[t] {
			seen[t] = true
			h.hint(t.id, t.e)
		}
	}
	w.WriteHeader(http.StatusAccepted)
}

// notice is one notification (resource type "changeNotification").
type notice struct {
	ID    string `json:"subscriptionId"`
	State string `json:"clientState"`
	Life  string `json:"lifecycleEvent"`
}

func (n notice) event() Event {
	switch n.Life {
	case "":
		return Changed
	case "reauthorizationRequired":
		return Renew
	case "subscriptionRemoved":
		return Removed
	case "missed":
		return Missed
	}
	return 0
}
