package secrets

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
	"sync/atomic"
)

// tenantKey is one version of a tenant's key in the clear, in memory only and
// inside closures, where reflection does not reach.
type tenantKey struct {
	id      [16]byte
	version uint32
	key     func() *[32]byte
	macs    func() *sync.Pool // keyed states of HMAC-SHA256: they are key material and end with this value

	heads atomic.Pointer[headKey] // of the tenant's row that this version sealed, once it was opened
}

func newTenantKey(id [16]byte, version uint32, key [32]byte) *tenantKey {
	return &tenantKey{id: id, version: version, key: func() *[32]byte { return &key }, macs: macPool(&key)}
}

// macPool returns states keyed with a key. To reset one costs no hashing of the
// key, and no memory.
func macPool(key *[32]byte) func() *sync.Pool {
	p := &sync.Pool{New: func() any { return &mac{h: hmac.New(sha256.New, key[:])} }}
	return func() *sync.Pool { return p }
}

// mac is a keyed state with room for its results.
type mac struct {
	h   hash.Hash
	sum [sha256.Size]byte
	n   [1]byte
}

// expand is HKDF-Expand with SHA-256 (RFC 5869 section 2.3) for up to 255
// blocks, as in crypto/hkdf but with a state that is keyed already.
func (k *tenantKey) expand(out, info []byte) {
	pool := k.macs()
	m := pool.Get().(*mac)
	for i := 0; len(out) > 0; i++ {
		m.h.Reset()
		if i > 0 {
			m.h.Write(m.sum[:])
		}
		m.h.Write(info)
		m.n[0] = byte(i + 1)
		m.h.Write(m.n[:])
		m.h.Sum(m.sum[:0])
		out = out[copy(out, m.sum[:]):]
	}
	clear(m.sum[:])
	pool.Put(m)
}
