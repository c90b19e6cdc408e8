package google

import (
	"net/http"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors/internal/hint"
)

// Channel is a watch channel that was opened at Google for one of its resources.
type Channel struct {
	ID      string    // chosen by whoever opened it, at most 64 bytes
	Token   string    // chosen likewise, at least 16 bytes; whoever knows it may give hints
	Expires time.Time // as Google answered
}

// Hooks is the http.Handler that Google's notifications go to. All that comes of one
// is a hint that it may be worth looking for changes: nothing that it says is
// believed, notifications come twice, late and not at all, and whoever polls misses
// none. Only a request that names an open channel and has its token gives a hint;
// every other is answered alike, 404. Safe for concurrent use; the zero Hooks knows
// no channel.
type Hooks struct {
	hint func(channel string)
	now  func() time.Time
	open hint.Sources
}

var _ http.Handler = (*Hooks)(nil)

// NewHooks makes a handler that calls hint with the id of the channel, on the
// request's goroutine: it must not block.
func NewHooks(hint func(channel string)) *Hooks {
	return &Hooks{hint: hint, now: time.Now}
}

// The longest id and token, in bytes.
const (
	maxID    = 64
	maxToken = 256
)

// Open lets a channel give hints until it expires. It reports false for one without
// id or with a token that could be guessed.
func (h *Hooks) Open(c Channel) bool {
	return h != nil && h.hint != nil && h.open.Open(hint.Source{ID: c.ID, Secret: c.Token, Expires: c.Expires}, maxID, maxToken)
}

// Close ends the hints of a channel, whatever Google goes on sending.
func (h *Hooks) Close(id string) { h.open.Close(id) }

// Due lists the channels that expire within a time or have expired: Google extends
// none, so that each has to be opened again under a new id, before the old one is
// closed.
func (h *Hooks) Due(within time.Duration) []Channel {
	if h.hint == nil {
		return nil
	}
	var out []Channel
	for _, x := range h.open.Due(h.now().Add(within)) {
		out = append(out, Channel{ID: x.ID, Token: x.Secret, Expires: x.Expires})
	}
	return out
}

// ServeHTTP implements http.Handler ("Receive notifications": what counts is in the
// header; there is no body).
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Goog-Channel-Id")
	if h.hint == nil || r.Method != http.MethodPost || !h.open.Knows(id, r.Header.Get("X-Goog-Channel-Token"), h.now()) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	if r.Header.Get("X-Goog-Resource-State") != "sync" { // that the channel is open, and nothing else
		h.hint(id)
	}
}
