package authz

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Revision returns the newest revision that is known here, the one that a
// change that was just made here returned; zero if nothing was ever assigned.
func (a *Authorizer) Revision() uint64 {
	if a == nil || a.ix == nil {
		return 0
	}
	return a.ix.revision()
}

// fresh returns what to decide by, after asking the store if what is known here
// is older than a request demands.
func (a *Authorizer) fresh(ctx context.Context, req Request) *index {
	if ix := a.ix; req.AtLeast <= ix.revision() {
		return ix
	}
	_, _ = a.Refresh(ctx) // what could not be read stays too old, and is refused as such
	return a.ix
}

// Refresh makes count here what other processes have changed in the store, and
// returns the revision that is known then. A history with a gap, or one that
// does not fit, is not followed: everything is loaded anew. When it fails, what
// was known before still counts. Safe for concurrent use.
func (a *Authorizer) Refresh(ctx context.Context) (uint64, error) {
	if a == nil || a.ix == nil {
		return 0, fmt.Errorf("authz: refresh: zero authorizer: %w", ErrDenied)
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return a.Revision(), fmt.Errorf("authz: refresh: %w", err)
	}
	return a.Revision(), nil
}

// catchUp is Refresh for whoever has the pen. It costs what was changed
// meanwhile, unless everything has to be loaded.
func (a *Authorizer) catchUp(ctx context.Context) error {
	ix, gap := a.ix, false
	for c, err := range a.store.Changes(ctx, ix.revision()) {
		if err != nil {
			return err
		}
		if c.Revision <= ix.revision() {
			continue
		}
		if gap = c.Revision != ix.revision()+1 || !fits(ix, c) || a.valid(ix, c) != nil; gap {
			break
		}
		a.publish(ix, c)
	}
	if gap {
		return a.load(ctx)
	}
	return nil
}

// fits says whether all that a change removes is there as it names it.
func fits(ix *index, c Change) bool {
	for _, x := range c.Remove {
		if y, there := ix.get(x.ID); !there || y.Principal != x.Principal || y.Role != x.Role || y.Resource != x.Resource || y.Effect != x.Effect {
			return false
		}
	}
	return true
}

// Follow calls Refresh at once, whenever wake delivers, and every so often (zero:
// every second) in case that a word was lost, until the context ends. It returns
// why that ended, and the last failure of the store if it did not recover from
// it. A closed or nil wake is no wake.
func (a *Authorizer) Follow(ctx context.Context, wake <-chan struct{}, every time.Duration) error {
	if a == nil || a.ix == nil {
		return fmt.Errorf("authz: follow: zero authorizer: %w", ErrDenied)
	}
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_, failed := a.Refresh(ctx)
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), failed)
		case <-tick.C:
		case _, open := <-wake:
			if !open {
				wake = nil
			}
		}
	}
}
