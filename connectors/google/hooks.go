package google

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"
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

	mu       sync.Mutex
	channels map[string]Channel
}

var _ http.Handler = (*Hooks)(nil)

// NewHooks makes a handler that calls hint with the id of the channel, on the
// request's goroutine: it must not block.
func NewHooks(hint func(channel string)) *Hooks {
	return &Hooks{hint: hint, now: time.Now, channels: map[string]Channel{}}
}

// minToken is the shortest token, in bytes.
const minToken = 16

// Open lets a channel give hints until it expires. It reports false for one without
// id or with a token that could be guessed.
func (h *Hooks) Open(c Channel) bool {
	if h == nil || h.channels == nil || c.ID == "" || len(c.ID) > 64 || len(c.Token) < minToken || len(c.Token) > 256 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.channels[c.ID] = c
	return true
}

// Close ends the hints of a channel, whatever Google goes on sending.
func (h *Hooks) Close(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.channels, id)
}

// Due lists the channels that expire within a time or have expired: Google extends
// none, so that each has to be opened again under a new id, before the old one is
// closed.
func (h *Hooks) Due(within time.Duration) []Channel {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Channel
	for _, c := range h.channels {
		if c.Expires.Sub(h.now()) <= within {
			out = append(out, c)
		}
	}
	return out
}

// ServeHTTP implements http.Handler ("Receive notifications": what counts is in the
// header; there is no body).
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	c, known := h.channels[r.Header.Get("X-Goog-Channel-Id")]
	now := h.now
	h.mu.Unlock()
	// Compared is a hash of either, so that neither value nor length shows in the time.
	want, got := sha256.Sum256([]byte(c.Token)), sha256.Sum256([]byte(r.Header.Get("X-Goog-Channel-Token")))
	right := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	if !known || !right || c.Token == "" || r.Method != http.MethodPost || !now().Before(c.Expires) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusNoContent)
	if r.Header.Get("X-Goog-Resource-State") != "sync" { // that the channel is open, and nothing else
		h.hint(c.ID)
	}
}
