package sync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	gosync "sync"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// ErrBusy means that a round of the same pair is running in this process.
var ErrBusy = errors.New("sync: a round of this pair is running")

// Options of an Engine. The nil Options work.
type Options struct {
	Clock      func() time.Time // nil: time.Now
	Rand       io.Reader        // create keys come from it and must never repeat; nil: crypto/rand
	Logger     *slog.Logger     // gets ids, codes and counts, never content; nil: nothing is logged
	Progress   func(Event)      // called from the goroutine of the round; must not block; nil: none
	SweepEvery time.Duration    // how often a side that reports no deletions is searched for them; zero: 24 hours
	Settle     time.Duration    // how long a create whose answer was lost is looked for before it is sent again, beside the lag of the system; zero: 10 seconds
	PageSize   int              // changes asked for at once; zero: 500

	// The brake: a round that would delete more records of a kind than
	// BrakeCount and more than BrakePercent of those linked deletes none of
	// them and waits for Approve. Zero: 10 and 5.
	BrakeCount, BrakePercent int
	// The same for changes of linked records. Zero: 20 and 50.
	BrakeChanges, BrakeChangesPercent int

	// Meetings tells which CRM record a meeting is that several mailboxes
	// share. Nil: each mailbox finds it by subject and time, which is right
	// only where one mailbox of a tenant is synced.
	Meetings MeetingStore
	// Stops is where the stop switch is kept. Nil: in this process only.
	Stops StopStore
	// WatchEvery is how often Stops is asked during a round, beside the moment
	// before each write; zero: 250 ms.
	WatchEvery time.Duration
	// HoldUpTo is how many observed records a round keeps in memory; beyond, it
	// works in pages. Zero: 2,000.
	HoldUpTo int
}

// Engine runs rounds. Safe for concurrent use; one round of a pair at a time.
// The zero Engine refuses.
type Engine struct {
	az     *authz.Authorizer
	states StateStore
	o      Options

	watch   bool // other processes may pull the stop switch
	running running

	mu    gosync.Mutex
	turns map[PairID]chan struct{} // holds one token while a pair is worked on
}

// New makes an Engine.
func New(az *authz.Authorizer, st StateStore, opts *Options) *Engine {
	e := &Engine{az: az, states: st, turns: map[PairID]chan struct{}{}}
	if opts != nil {
		e.o = *opts
	}
	if e.o.Clock == nil {
		e.o.Clock = time.Now
	}
	if e.o.Rand == nil {
		e.o.Rand = rand.Reader
	}
	if e.o.Logger == nil {
		e.o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if e.o.Progress == nil {
		e.o.Progress = func(Event) {}
	}
	if e.o.SweepEvery <= 0 {
		e.o.SweepEvery = 24 * time.Hour
	}
	if e.o.Settle <= 0 {
		e.o.Settle = 10 * time.Second
	}
	if e.o.PageSize <= 0 || e.o.PageSize > connectors.MaxItems {
		e.o.PageSize = 500
	}
	if e.o.BrakeCount <= 0 {
		e.o.BrakeCount = 10
	}
	if e.o.BrakePercent <= 0 {
		e.o.BrakePercent = 5
	}
	if e.o.BrakeChanges <= 0 {
		e.o.BrakeChanges = 20
	}
	if e.o.BrakeChangesPercent <= 0 {
		e.o.BrakeChangesPercent = 50
	}
	if e.watch = e.o.Stops != nil; !e.watch {
		e.o.Stops = &MemoryStops{}
	}
	if e.o.WatchEvery <= 0 {
		e.o.WatchEvery = 250 * time.Millisecond
	}
	if e.o.HoldUpTo <= 0 {
		e.o.HoldUpTo = 2000
	}
	return e
}

// allow asks for one permission on a pair.
func (e *Engine) allow(ctx context.Context, who authz.Principal, p Pair, permission string) error {
	if e == nil || e.az == nil || e.states == nil {
		return fmt.Errorf("sync: zero engine: %w", authz.ErrDenied)
	}
	if err := p.valid(); err != nil {
		return err
	}
	_, err := e.az.Authorize(ctx, authz.Request{Principal: who, OnBehalfOf: p.OnBehalfOf,
		Permission: authz.MustPermission(permission), Resource: p.Resource})
	if err != nil {
		return fmt.Errorf("sync: pair %s: %w", p.ID, err)
	}
	return nil
}

// enter takes the pair's turn, waiting for it or not, and opens its state.
func (e *Engine) enter(ctx context.Context, p Pair, wait bool) (State, func(), error) {
	e.mu.Lock()
	turn := e.turns[p.ID]
	if turn == nil {
		turn = make(chan struct{}, 1)
		e.turns[p.ID] = turn
	}
	e.mu.Unlock()
	select {
	case turn <- struct{}{}:
	default:
		if !wait {
			return nil, nil, fmt.Errorf("%w: %s", ErrBusy, p.ID)
		}
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%w: %s: %w", ErrBusy, p.ID, ctx.Err())
		}
	}
	st, err := e.states.Open(ctx, p.ID)
	if err != nil {
		<-turn
		return nil, nil, fmt.Errorf("sync: pair %s: %w", p.ID, err)
	}
	return st, func() {
		_ = st.Close() // everything that counts was committed
		<-turn
	}, nil
}

// Plan is the dry run: what Sync would do now, with permission sync.plan.read.
// It reads both sides and writes nothing anywhere.
func (e *Engine) Plan(ctx context.Context, who authz.Principal, p Pair) (Plan, error) {
	if err := e.allow(ctx, who, p, "sync.plan.read"); err != nil {
		return Plan{}, err
	}
	st, leave, err := e.enter(ctx, p, true)
	if err != nil {
		return Plan{}, err
	}
	defer leave()
	r := e.round(who, p, st)
	r.dry = true
	if err := r.identify(ctx); err != nil {
		return Plan{}, err
	}
	var errs []error
	out := Plan{Pair: p.ID}
	for _, rule := range p.rules() {
		errs = append(errs, r.kind(rule).dryRun(ctx, &out))
	}
	return out, errors.Join(errs...)
}

// dryRun adds to a plan what a round would do with one kind.
func (k *kindRound) dryRun(ctx context.Context, out *Plan) error {
	if err := k.begin(ctx); err != nil {
		return err
	}
	g, _, err := k.observe(ctx, nil)
	if err != nil {
		return errors.Join(err, g.close())
	}
	defer func() { _ = g.close() }() // nothing in it is wanted any more
	if g.scratch != nil {
		if err := k.foresee(ctx, g); err != nil {
			return err
		}
	}
	return g.pages(ctx, func(us []*unit) error {
		out.add(k.kind, us, k.plan(us), DryRunLimit)
		return nil
	})
}

// Sync runs one round, with permission sync.run, and says what it did. An error
// means that part of it could not be done now; what was done is durable, the
// report tells it, and the next round goes on from there. After a crash the
// next round first settles what was under way.
func (e *Engine) Sync(ctx context.Context, who authz.Principal, p Pair) (Report, error) {
	if err := e.allow(ctx, who, p, "sync.run"); err != nil {
		return Report{Pair: p.ID}, err
	}
	st, leave, err := e.enter(ctx, p, false)
	if err != nil {
		return Report{Pair: p.ID}, err
	}
	defer leave()
	r := e.round(who, p, st)
	if err := e.stopped(ctx, p); err != nil {
		r.report.Held = err.Error()
		return r.report, err
	}
	ctx, done := e.guard(ctx, r)
	defer done()
	start, cpu, sent := e.o.Clock(), cpuTime(), p.Left.Requests()+p.Right.Requests()
	r.report.Started = start.UTC()
	err = r.run(ctx)
	r.report.Wall, r.report.CPU = e.o.Clock().Sub(start), cpuTime()-cpu
	r.report.Requests = p.Left.Requests() + p.Right.Requests() - sent
	if err != nil && r.report.Held == "" {
		r.report.Held = err.Error()
	}
	return r.report, err
}

func (e *Engine) round(who authz.Principal, p Pair, st State) *round {
	return &round{e: e, p: p, who: who, st: st, now: e.o.Clock().UTC().Truncate(time.Second),
		report: Report{Pair: p.ID, Kinds: map[connectors.Kind]*KindReport{}, Plan: Plan{Pair: p.ID}}}
}

// IssueQuery selects issues.
type IssueQuery struct {
	After int64 // the Next of the page before; zero: from the beginning
	Limit int   // zero: 100; at most 1,000
	Names bool  // ask for names too; needs sync.issues.names.read
}

// IssuePage is one page of issues.
type IssuePage struct {
	Issues []Issue `json:"issues"`
	Next   int64   `json:"next,omitempty"` // zero: no more
}

// Issues lists what a person must see, with permission sync.issues.read; with
// names only for who also has sync.issues.names.read.
func (e *Engine) Issues(ctx context.Context, who authz.Principal, p Pair, q IssueQuery) (IssuePage, error) {
	if err := e.allow(ctx, who, p, "sync.issues.read"); err != nil {
		return IssuePage{}, err
	}
	if q.Names {
		if err := e.allow(ctx, who, p, "sync.issues.names.read"); err != nil {
			return IssuePage{}, err
		}
	}
	if q.Limit <= 0 {
		q.Limit = 100
	}
	st, leave, err := e.enter(ctx, p, true)
	if err != nil {
		return IssuePage{}, err
	}
	defer leave()
	ts, err := st.Issues(ctx, q.After, min(q.Limit, 1000))
	if err != nil {
		return IssuePage{}, fmt.Errorf("sync: pair %s: issues: %w", p.ID, err)
	}
	var out IssuePage
	now := e.o.Clock()
	for _, t := range ts {
		out.Issues = append(out.Issues, t.issue(q.Names && now.Sub(t.First) < nameLife))
	}
	if len(ts) == min(q.Limit, 1000) {
		out.Next = ts[len(ts)-1].Number
	}
	return out, nil
}

// Approve lets the next round delete or change up to n records of a kind that the
// brake holds, with permission sync.approve.
func (e *Engine) Approve(ctx context.Context, who authz.Principal, p Pair, k connectors.Kind, n int) error {
	if err := e.allow(ctx, who, p, "sync.approve"); err != nil {
		return err
	}
	st, leave, err := e.enter(ctx, p, true)
	if err != nil {
		return err
	}
	defer leave()
	return st.Commit(ctx, Batch{Approve: map[connectors.Kind]int{k: n}})
}
