package secrets

import (
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"time"
)

// headLabel begins what the MAC of a head is over.
const headLabel = "lockkeeper head v1"

// headKey makes the MACs of one tenant's heads. It stays the same when the
// tenant key is rotated, and is sealed anew: so a rotation writes no heads.
type headKey struct {
	sealed string // as in the tenant's row that it is from
	key    func() *[32]byte
	macs   func() *sync.Pool
}

func newHeadKey(sealed []byte, key [32]byte) *headKey {
	return &headKey{string(sealed), func() *[32]byte { return &key }, macPool(&key)}
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

// intact reports whether a head is as it was written.
func (k *headKey) intact(deployment string, h Head) bool {
	return hmac.Equal(k.sum(deployment, h), h.MAC)
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
