package secrets

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"
)

// headLabel begins what the MAC of a head is over.
const headLabel = "lockkeeper head v1"

// headKey makes the MACs of one tenant's heads. It stays the same when the
// tenant key is rotated, and is sealed anew: so that rotation writes no heads.
// RotateHeads makes it new.
type headKey struct {
	sealed string // as in the tenant's row that it is from
	key    func() *[32]byte
	macs   func() *sync.Pool
	before *headKey // while RotateHeads is under way: the one that heads may still be under
}

func newHeadKey(key [32]byte, before *headKey) *headKey {
	return &headKey{key: func() *[32]byte { return &key }, macs: macPool(&key), before: before}
}

// freshHeadKey makes a new one.
func freshHeadKey(before *headKey) (*headKey, error) {
	var key [32]byte
	defer clear(key[:])
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("secrets: head key: %w", err)
	}
	return newHeadKey(key, before), nil
}

// parseHeadKey reads what plain wrote.
func parseHeadKey(sealed, plain []byte) (*headKey, error) {
	var before *headKey
	switch len(plain) {
	case 64:
		before = newHeadKey([32]byte(plain[32:]), nil)
	case 32:
	default:
		return nil, ErrTampered
	}
	k := newHeadKey([32]byte(plain[:32]), before)
	k.sealed = string(sealed)
	return k, nil
}

// plain is what is sealed in a tenant's row: the key and, behind it, the one
// before. The caller clears it.
func (k *headKey) plain() []byte {
	b := append(make([]byte, 0, 64), k.key()[:]...)
	if k.before != nil {
		b = append(b, k.before.key()[:]...)
	}
	return b
}

// sum returns the MAC of a head: over every column but LastUse.
func (k *headKey) sum(deployment string, h Head) []byte {
	var buf [512]byte
	b := appendText(buf[:0], headLabel)
	for _, s := range [...]string{deployment, h.Tenant, h.Name, string(h.Kind), h.Scope} {
		b = appendText(b, s)
	}
	revoked := uint64(0)
	if h.Revoked {
		revoked = 1
	}
	for _, n := range [...]uint64{h.Revision, h.Current, h.Oldest, revoked, seconds(h.Created), seconds(h.Changed), seconds(h.Expires), seconds(h.Due)} {
		b = appendNumber(b, n)
	}
	pool := k.macs()
	m := pool.Get().(*mac)
	defer pool.Put(m)
	m.h.Reset()
	m.h.Write(b)
	return m.h.Sum(make([]byte, 0, sha256.Size))
}

// made reports whether a head has its MAC from this key itself.
func (k *headKey) made(deployment string, h Head) bool {
	return hmac.Equal(k.sum(deployment, h), h.MAC)
}

// intact reports whether a head is as it was written.
func (k *headKey) intact(deployment string, h Head) bool {
	return k.made(deployment, h) || k.before != nil && k.before.made(deployment, h)
}

// agrees reports whether a head from a listing is not another than the one that
// was loaded after it, unless it changed meanwhile. The MACs of the two may be
// under different keys.
func (k *headKey) agrees(deployment string, listed, loaded Head) bool {
	listed.MAC = loaded.MAC
	return listed.Revision != loaded.Revision || k.intact(deployment, listed)
}

// seconds is how a time is bound and stored: since 1970, 0 for none.
func seconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.Unix())
}

// whole drops what is not stored of a time.
func whole(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}
