// Package hint keeps who may say that it is worth looking for changes: the watch
// channels and subscriptions that were opened at a system, each with a secret that
// its notifications have to know.
package hint

import (
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"
)

// Source is one that may give hints until it expires.
type Source struct {
	ID, Secret string
	Expires    time.Time
}

// minSecret is the shortest secret, in bytes.
const minSecret = 16

// Sources are those that are open. The zero Sources are none; safe for concurrent use.
type Sources struct {
	mu   sync.Mutex
	open map[string]Source
}

// Open lets a source give hints. It reports false for one without id, with a secret
// that could be guessed, or with either longer than so many bytes.
func (s *Sources) Open(x Source, longestID, longestSecret int) bool {
	if x.ID == "" || len(x.ID) > longestID || len(x.Secret) < minSecret || len(x.Secret) > longestSecret {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[string]Source{}
	}
	s.open[x.ID] = x
	return true
}

// Close ends the hints of a source.
func (s *Sources) Close(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, id)
}

// Due lists those that expire by a time, or have.
func (s *Sources) Due(by time.Time) []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Source
	for _, x := range s.open {
		if !x.Expires.After(by) {
			out = append(out, x)
		}
	}
	return out
}

// Knows reports whether a secret is that of an open source. Compared is a hash of
// either, so that neither value nor length shows in the time.
func (s *Sources) Knows(id, secret string, now time.Time) bool {
	s.mu.Lock()
	x, open := s.open[id]
	s.mu.Unlock()
	want, got := sha256.Sum256([]byte(x.Secret)), sha256.Sum256([]byte(secret))
	right := subtle.ConstantTimeCompare(want[:], got[:]) == 1
	return open && right && now.Before(x.Expires)
}
