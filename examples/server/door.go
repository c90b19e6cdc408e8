package main

import (
	"crypto/subtle"
	"net/http"
	"sync"
)

// door lets people into an embedded system by passwords that can be replaced
// while it runs. Behind it the system knows each by one that never changes and is
// handed to nobody. Safe for concurrent use.
type door struct {
	next http.Handler

	mu    sync.Mutex
	users map[string]*doorKeys
}

// doorKeys are the passwords of one user. Both open while one replaces the other:
// whoever holds the old one must not fail in between.
type doorKeys struct {
	inner, now, next string
}

func newDoor(next http.Handler) *door { return &door{next: next, users: map[string]*doorKeys{}} }

// know lets a user in by a password.
func (d *door) know(user, inner, password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[user] = &doorKeys{inner: inner, now: password}
}

// offer lets a user in by a new password as well.
func (d *door) offer(user, password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.users[user]; k != nil {
		k.next = password
	}
}

// settle ends what offer began: the new password is the only one, or gone.
func (d *door) settle(user string, replaced bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := d.users[user]; k != nil && k.next != "" {
		if replaced {
			k.now = k.next
		}
		k.next = ""
	}
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	inner := ""
	d.mu.Lock()
	if k := d.users[user]; k != nil && (equal(password, k.now) || k.next != "" && equal(password, k.next)) {
		inner = k.inner
	}
	d.mu.Unlock()
	r = r.Clone(r.Context())
	r.Header.Del("Authorization") // the system refuses what comes without
	if inner != "" {
		r.SetBasicAuth(user, inner)
	}
	d.next.ServeHTTP(w, r)
}

func equal(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
