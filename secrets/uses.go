package secrets

import (
	"context"
	"sync"
	"time"
)

// Uses are noted in memory and written now and then: a write for each would cost
// more than the use.
const (
	usesEvery = time.Minute
	usesMost  = 1000
)

// uses collects which secrets were used. What is not written when the process
// ends is lost: LastUse is about.
type uses struct {
	now   func() time.Time
	write func(ctx context.Context, tenant string, names []string, at time.Time) error

	mu    sync.Mutex
	since time.Time
	names map[string]map[string]bool // by tenant
	count int
	busy  bool
	wg    sync.WaitGroup
}

// note remembers a use and begins to write when it is time.
func (u *uses) note(tenant, name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	if u.names == nil {
		u.names, u.since = map[string]map[string]bool{}, now
	}
	if u.names[tenant] == nil {
		u.names[tenant] = map[string]bool{}
	}
	if !u.names[tenant][name] && u.count < 2*usesMost {
		u.names[tenant][name] = true
		u.count++
	}
	if u.busy || now.Sub(u.since) < usesEvery && u.count < usesMost {
		return
	}
	u.busy = true
	batch := u.names
	u.names, u.count = nil, 0
	u.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		defer cancel()
		u.flush(ctx, batch, now)
		u.mu.Lock()
		u.busy = false
		u.mu.Unlock()
	})
}

// flush writes a batch. A failure loses it.
func (u *uses) flush(ctx context.Context, batch map[string]map[string]bool, at time.Time) {
	for tenant, set := range batch {
		names := make([]string, 0, len(set))
		for n := range set {
			names = append(names, n)
		}
		_ = u.write(ctx, tenant, names, whole(at))
	}
}

// close writes what is left and waits.
func (u *uses) close(ctx context.Context) {
	u.mu.Lock()
	batch := u.names
	u.names, u.count = nil, 0
	u.mu.Unlock()
	u.wg.Wait()
	u.flush(ctx, batch, u.now())
}
