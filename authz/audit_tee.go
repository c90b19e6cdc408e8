package authz

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// tee hands records to several sinks.
type tee struct {
	sinks []Sink
	owed  [][]AuditRecord // by sink: what the first took and this one did not yet
}

// Tee returns a Sink that hands each record to all of some others, which must
// all take it: one that fails refuses the decision. The first is the one whose
// Head the chain goes on from. A record that the first took and another refused
// is offered to that one again before any later record, so that a copy that
// fails for a while has no gap; after maxOwed records, or a restart, it has one.
// Each Sink belongs to one Tee only.
func Tee(sinks ...Sink) Sink {
	return &tee{sinks: slices.Clone(sinks), owed: make([][]AuditRecord, len(sinks))}
}

// maxOwed bounds what is kept for a copy that fails.
const maxOwed = 10_000

var errNoSink = errors.New("authz: audit: a tee without a sink")

func (t *tee) valid() error {
	if len(t.sinks) == 0 || slices.Contains(t.sinks, nil) {
		return errNoSink
	}
	return nil
}

// Append implements Sink.
func (t *tee) Append(ctx context.Context, rs []AuditRecord) error {
	if err := t.valid(); err != nil {
		return err
	}
	if err := guarded(func() error { return t.sinks[0].Append(ctx, rs) }); err != nil {
		t.oweKept(ctx, rs)
		return err
	}
	var failed []error
	for i := range t.sinks[1:] {
		if err := guarded(func() error { return t.copy(ctx, i+1, rs) }); err != nil {
			failed = append(failed, fmt.Errorf("authz: audit: sink %d: %w", i+2, err))
		}
	}
	return errors.Join(failed...)
}

// guarded turns a panic into an error, so that one sink does not take the records
// from another.
func guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("audit sink failed")
		}
	}()
	return f()
}

// copy hands records to a later sink, those first that it still lacks. What is
// owed is on the list before the sink is asked, so that a failure loses nothing.
func (t *tee) copy(ctx context.Context, i int, rs []AuditRecord) error {
	behind := len(t.owed[i]) > 0
	if len(t.owed[i])+len(rs) > maxOwed {
		t.owed[i] = nil
	}
	t.owed[i] = append(t.owed[i], rs...)
	if behind {
		// It may have kept what it said it did not.
		seq, hash, err := t.sinks[i].Head(ctx)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(t.owed[i], func(r AuditRecord) bool { return r.Sequence == seq && r.Hash == hash }); at >= 0 {
			t.owed[i] = t.owed[i][at+1:]
		}
	}
	if err := t.sinks[i].Append(ctx, t.owed[i]); err != nil {
		return err
	}
	t.owed[i] = nil
	return nil
}

// oweKept notes for the others what the first kept although it failed: the chain
// goes on from there.
func (t *tee) oweKept(ctx context.Context, rs []AuditRecord) {
	var seq uint64
	var hash Hash
	if err := guarded(func() (err error) { seq, hash, err = t.sinks[0].Head(ctx); return err }); err != nil {
		return
	}
	kept := slices.IndexFunc(rs, func(r AuditRecord) bool { return r.Sequence == seq && r.Hash == hash }) + 1
	for i := range t.sinks[1:] {
		if kept > 0 && len(t.owed[i+1])+kept <= maxOwed {
			t.owed[i+1] = append(t.owed[i+1], rs[:kept]...)
		}
	}
}

// Head implements Sink.
func (t *tee) Head(ctx context.Context) (uint64, Hash, error) {
	if err := t.valid(); err != nil {
		return 0, Hash{}, err
	}
	return t.sinks[0].Head(ctx)
}
