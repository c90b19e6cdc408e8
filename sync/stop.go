package sync

import (
	"context"
	"errors"
	"fmt"
	gosync "sync"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

// ErrStopped means that somebody pulled the stop switch: nothing more is sent
// until it is released. What was under way is settled by the next round.
var ErrStopped = errors.New("sync: stopped")

// StopStore remembers where the stop switch is pulled, so that every process
// sees it. Safe for concurrent use.
type StopStore interface {
	// Stops returns the resources at which the switch is pulled.
	Stops(ctx context.Context) ([]authz.Resource, error)
	// SetStop pulls or releases the switch at a resource, durably.
	SetStop(ctx context.Context, on authz.Resource, stopped bool) error
}

// MemoryStops is a StopStore that lives as long as the process. The zero value
// is ready; do not copy it.
type MemoryStops struct {
	mu gosync.Mutex
	on map[string]authz.Resource
}

var _ StopStore = (*MemoryStops)(nil)

// Stops implements StopStore.
func (m *MemoryStops) Stops(context.Context) ([]authz.Resource, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []authz.Resource
	for _, r := range m.on {
		out = append(out, r)
	}
	return out, nil
}

// SetStop implements StopStore.
func (m *MemoryStops) SetStop(_ context.Context, on authz.Resource, stopped bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.on == nil {
		m.on = map[string]authz.Resource{}
	}
	if delete(m.on, on.String()); stopped {
		m.on[on.String()] = on
	}
	return nil
}

// running are the rounds under way in this process, to be stopped.
type running struct {
	mu     gosync.Mutex
	rounds map[*round]context.CancelCauseFunc
}

func (a *running) add(r *round, cancel context.CancelCauseFunc) (done func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rounds == nil {
		a.rounds = map[*round]context.CancelCauseFunc{}
	}
	a.rounds[r] = cancel
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.rounds, r)
		cancel(nil)
	}
}

// Stop pulls the stop switch at a resource: a mailbox's sync node, a tenant, or
// "tenants" for all. It needs sync.pause there. When it returns, no round of
// this process at or below it sends another write; in other processes within
// WatchEvery. Nothing is lost: what is announced is settled after Resume.
func (e *Engine) Stop(ctx context.Context, who authz.Principal, on authz.Resource) error {
	if err := e.mayStop(ctx, who, on); err != nil {
		return err
	}
	if err := e.o.Stops.SetStop(ctx, on, true); err != nil {
		return fmt.Errorf("sync: stop %s: %w", on, err)
	}
	e.running.mu.Lock()
	defer e.running.mu.Unlock()
	for r, cancel := range e.running.rounds {
		if on.Contains(r.p.Resource) {
			cancel(ErrStopped)
		}
	}
	return nil
}

// Resume releases the stop switch at a resource. It needs sync.pause there. A
// switch pulled above or below stays pulled.
func (e *Engine) Resume(ctx context.Context, who authz.Principal, on authz.Resource) error {
	if err := e.mayStop(ctx, who, on); err != nil {
		return err
	}
	if err := e.o.Stops.SetStop(ctx, on, false); err != nil {
		return fmt.Errorf("sync: resume %s: %w", on, err)
	}
	return nil
}

func (e *Engine) mayStop(ctx context.Context, who authz.Principal, on authz.Resource) error {
	if e == nil || e.az == nil {
		return fmt.Errorf("sync: zero engine: %w", authz.ErrDenied)
	}
	if _, err := e.az.Authorize(ctx, authz.Request{Principal: who, Permission: authz.MustPermission("sync.pause"), Resource: on}); err != nil {
		return fmt.Errorf("sync: stop switch of %s: %w", on, err)
	}
	return nil
}

// stopped reports where the switch that stops a pair is pulled.
func (e *Engine) stopped(ctx context.Context, p Pair) error {
	stops, err := e.o.Stops.Stops(ctx)
	if err != nil {
		return fmt.Errorf("sync: pair %s: stop switch: %w", p.ID, err) // not knowing is no permission
	}
	for _, on := range stops {
		if on.Contains(p.Resource) {
			return fmt.Errorf("sync: pair %s: %w at %s", p.ID, ErrStopped, on)
		}
	}
	return nil
}

// guard returns a context that ends when the switch is pulled, and what ends the
// watch. Other processes' switches are looked for in between only where the
// store can have been changed by one.
func (e *Engine) guard(ctx context.Context, r *round) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := e.running.add(r, cancel)
	if !e.watch {
		return ctx, done
	}
	var wg gosync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(e.o.WatchEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := e.stopped(ctx, r.p); err != nil {
					cancel(err)
					return
				}
			}
		}
	})
	return ctx, func() { done(); wg.Wait() }
}

// gate is passed before each write to a system: the switch is not pulled and
// nobody has taken the pair over.
func (r *round) gate(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := r.e.stopped(ctx, r.p); err != nil {
		return err
	}
	if err := r.st.Held(ctx); err != nil {
		return fmt.Errorf("before a write: %w", err)
	}
	return nil
}
