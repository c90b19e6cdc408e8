package secrets

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"
)

// Bounds of the cache of tenants' keys.
const (
	cacheEntries = 1024
	cacheAge     = 5 * time.Minute
	cacheIdle    = time.Minute
	cacheUses    = 1 << 20
	cacheBytes   = 1 << 40
	cacheError   = time.Second // how long an error is the answer
	maxGrace     = time.Hour
	loadTimeout  = 10 * time.Second
)

// CacheStats counts what the cache of tenants' keys did. A Safe counts from its
// beginning.
type CacheStats struct {
	Entries  int    // keys in memory now
	Hits     uint64 // answered from memory
	Loads    uint64 // asked the key store and the Keeper
	Failures uint64 // loads that failed
	Refused  uint64 // answered with the error of a moment ago
	Grace    uint64 // answered with a key past its age, since the Keeper was not available

	// Why keys left memory.
	Age, Idle, Uses, Bytes, Room, Wiped uint64
}

type cacheKey struct {
	tenant  string
	version uint32
}

type cached struct {
	k      *tenantKey
	loaded time.Time
	until  time.Time // the end of its age, with jitter
	used   time.Time
	uses   uint64
	bytes  uint64
}

type failure struct {
	err   error
	until time.Time
}

// keyCache keeps tenants' keys for a while. Loads of one key wait for each other
// and outlive the caller that began them.
type keyCache struct {
	now   func() time.Time
	grace time.Duration
	load  func(ctx context.Context, k cacheKey) (*tenantKey, error)

	flights singleflight.Group

	mu     sync.Mutex
	lru    *simplelru.LRU[cacheKey, *cached]
	failed *simplelru.LRU[cacheKey, failure]
	wipes  uint64 // counts wipes, so that a load that began before one leaves nothing behind
	stats  CacheStats
}

func newKeyCache(now func() time.Time, grace time.Duration, load func(context.Context, cacheKey) (*tenantKey, error)) *keyCache {
	c := &keyCache{now: now, grace: min(max(grace, 0), maxGrace), load: load}
	// The only error is a size that is not positive.
	c.lru, _ = simplelru.NewLRU[cacheKey, *cached](cacheEntries, nil)
	c.failed, _ = simplelru.NewLRU[cacheKey, failure](cacheEntries, nil)
	return c
}

// jitter shortens a time by up to a tenth, so that what was loaded together does
// not end together.
func jitter(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// get returns a key for a use of so many bytes, and whether it is one past its
// age that is served because the Keeper is not available.
func (c *keyCache) get(ctx context.Context, ck cacheKey, bytes int) (k *tenantKey, grace bool, err error) {
	k, err = c.peek(ck, bytes)
	if k != nil || err != nil {
		return k, false, err
	}
	done := c.flights.DoChan(string(append(appendNumber(nil, uint64(ck.version)), ck.tenant...)), func() (any, error) {
		// Whoever began this may give up; those who wait with them have not.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return c.fill(ctx, ck)
	})
	select {
	case r := <-done:
		if r.Err == nil {
			return r.Val.(*tenantKey), false, nil
		}
		if k := c.past(ck, r.Err); k != nil {
			return k, true, nil
		}
		return nil, false, r.Err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// peek answers from memory, or with neither key nor error.
func (c *keyCache) peek(ck cacheKey, bytes int) (*tenantKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if e, ok := c.lru.Get(ck); ok {
		var why *uint64
		switch {
		case !now.Before(e.until):
			why = &c.stats.Age
		case now.Sub(e.used) > cacheIdle:
			why = &c.stats.Idle
		case e.uses+1 > cacheUses:
			why = &c.stats.Uses
		case e.bytes+uint64(bytes) > cacheBytes:
			why = &c.stats.Bytes
		default:
			e.used, e.uses, e.bytes = now, e.uses+1, e.bytes+uint64(bytes)
			c.stats.Hits++
			return e.k, nil
		}
		// With grace the old key stays until a new load has succeeded.
		if c.grace == 0 || why != &c.stats.Age {
			c.lru.Remove(ck)
			*why++
		}
	}
	if f, ok := c.failed.Get(ck); ok {
		if now.Before(f.until) {
			if k := c.pastLocked(ck, f.err); k != nil {
				return nil, nil // get finds it again, and says that it is one
			}
			c.stats.Refused++
			return nil, f.err
		}
		c.failed.Remove(ck)
	}
	return nil, nil
}

// fill loads a key into the cache, unless a moment ago it could not be loaded.
func (c *keyCache) fill(ctx context.Context, ck cacheKey) (*tenantKey, error) {
	c.mu.Lock()
	if f, ok := c.failed.Get(ck); ok && c.now().Before(f.until) {
		c.mu.Unlock()
		return nil, f.err
	}
	wipes := c.wipes
	c.stats.Loads++
	c.mu.Unlock()
	k, err := c.load(ctx, ck)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.stats.Failures++
		c.failed.Add(ck, failure{err, c.now().Add(jitter(cacheError))})
		return nil, err
	}
	c.addLocked(ck, k, wipes)
	return k, nil
}

// add keeps a key that was loaded elsewhere, unless something was wiped since
// wipes was read.
func (c *keyCache) add(ck cacheKey, k *tenantKey, wipes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(ck, k, wipes)
}

func (c *keyCache) addLocked(ck cacheKey, k *tenantKey, wipes uint64) {
	c.failed.Remove(ck)
	if wipes != c.wipes {
		return
	}
	now := c.now()
	if !c.lru.Contains(ck) && c.lru.Len() == cacheEntries {
		c.stats.Room++
	}
	c.lru.Add(ck, &cached{k: k, loaded: now, until: now.Add(jitter(cacheAge)), used: now, uses: 1})
}

func (c *keyCache) generation() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wipes
}

// past returns a key past its age if the error is that of an outage and the
// grace lasts.
func (c *keyCache) past(ck cacheKey, err error) *tenantKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.pastLocked(ck, err)
	if k != nil {
		c.stats.Grace++
	}
	return k
}

func (c *keyCache) pastLocked(ck cacheKey, err error) *tenantKey {
	if c.grace == 0 || !errors.Is(err, ErrKeeper) {
		return nil
	}
	e, ok := c.lru.Get(ck)
	if !ok || !c.now().Before(e.until.Add(c.grace)) {
		return nil
	}
	e.used = c.now()
	return e.k
}

// wipe forgets keys, of one tenant or, with "", of all. They are left to the
// garbage collector: someone may be using one this moment.
func (c *keyCache) wipe(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wipes++
	for _, ck := range c.lru.Keys() {
		if tenant == "" || ck.tenant == tenant {
			c.lru.Remove(ck)
			c.stats.Wiped++
		}
	}
	for _, ck := range c.failed.Keys() {
		if tenant == "" || ck.tenant == tenant {
			c.failed.Remove(ck)
		}
	}
}

func (c *keyCache) snapshot() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = c.lru.Len()
	return s
}
