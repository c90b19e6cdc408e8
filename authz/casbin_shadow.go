package authz

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/casbin/casbin/v2"
)

// Enforcer is what a Shadow asks: a Casbin Enforcer, plain if nothing writes to
// it while the Shadow lives, and otherwise one that locks.
type Enforcer interface {
	Enforce(values ...any) (bool, error)
}

var _ Enforcer = (*casbin.Enforcer)(nil)

// Disagreement is what a Shadow reports: Casbin says something else, or cannot
// say anything.
type Disagreement struct {
	Request  Request
	Decision Decision
	Values   []any // what Casbin was asked
	Casbin   bool  // what it said
	Err      error // why it said nothing; nil if it did
}

// String says what differs.
func (d Disagreement) String() string {
	if d.Err != nil {
		return fmt.Sprintf("%s, %s on %s: here %v, Casbin fails: %s", d.Request.Principal, d.Request.Permission, d.Request.Resource, d.Decision.Allowed, firstLine(d.Err))
	}
	return fmt.Sprintf("%s, %s on %s: here %v, Casbin %v", d.Request.Principal, d.Request.Permission, d.Request.Resource, d.Decision.Allowed, d.Casbin)
}

// ShadowCounts is what a Shadow has done so far.
type ShadowCounts struct {
	Offered  uint64 // calls of Compare
	Compared uint64 // of those, questions that Casbin was asked
	Foreign  uint64 // of those, questions that Casbin does not know
	Differed uint64 // of those compared, other answers
	Failed   uint64 // of those compared, errors and panics
	Dropped  uint64 // of those offered, drawn and then left out: the queue was full, or the Shadow closed
}

// Shadow asks Casbin what an Authorizer was asked and reports where they
// differ. It changes no answer: it has its own goroutine, its own queue, and
// drops what does not fit, with a count.
type Shadow struct {
	e         Enforcer
	share     float64
	translate func(Request) ([]any, bool)
	report    func(Disagreement)

	queue   chan shadowed
	closing chan struct{} // closed when no more is taken
	ended   chan struct{} // closed when the goroutine has ended
	giveUp  chan struct{} // closed when what is queued is to be dropped
	once    sync.Once
	gaveUp  sync.Once

	offered, compared, foreign, differed, failed, dropped atomic.Uint64
}

type shadowed struct {
	req Request
	d   Decision
}

const shadowQueue = 1024

// NewShadow starts a Shadow that looks at a share of what it is offered: 1 for
// everything, 0.01 for one in a hundred. translate turns a Request into what
// Casbin is asked, and is false for what Casbin does not know; Import.Values is
// one. report is called from one goroutine, and nothing is compared while it
// runs. A panic in any of them is reported or, if report is the cause, counted.
//
// What Casbin is asked and what was decided are some time apart, so that a
// change in between can show as a disagreement that is none.
func NewShadow(e Enforcer, share float64, translate func(Request) ([]any, bool), report func(Disagreement)) (*Shadow, error) {
	if e == nil || translate == nil || report == nil || !(share > 0 && share <= 1) {
		return nil, errors.New("authz: shadow: want an Enforcer, a share above 0 and up to 1, translate and report")
	}
	s := &Shadow{e: e, share: share, translate: translate, report: report, queue: make(chan shadowed, shadowQueue),
		closing: make(chan struct{}), ended: make(chan struct{}), giveUp: make(chan struct{})}
	go s.run()
	return s, nil
}

// Compare offers a request and what was decided about it. It never waits and
// may be called by several goroutines, after Close too.
func (s *Shadow) Compare(req Request, d Decision) {
	if s == nil || s.queue == nil {
		return
	}
	s.offered.Add(1)
	if s.share < 1 && rand.Float64() >= s.share {
		return
	}
	select {
	case <-s.closing:
		s.dropped.Add(1)
		return
	default:
	}
	select {
	case s.queue <- shadowed{req, d}:
	default:
		s.dropped.Add(1)
	}
}

// Counts returns what was done so far.
func (s *Shadow) Counts() ShadowCounts {
	if s == nil {
		return ShadowCounts{}
	}
	return ShadowCounts{Offered: s.offered.Load(), Compared: s.compared.Load(), Foreign: s.foreign.Load(),
		Differed: s.differed.Load(), Failed: s.failed.Load(), Dropped: s.dropped.Load()}
}

// Close takes no more, compares what is queued and ends the goroutine. When ctx
// ends first, what is still queued is dropped and the error is that of ctx; the
// goroutine then ends after the question that it is at. Close may be called
// again.
func (s *Shadow) Close(ctx context.Context) error {
	if s == nil || s.queue == nil {
		return nil
	}
	s.once.Do(func() { close(s.closing) })
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		s.gaveUp.Do(func() { close(s.giveUp) })
		return ctx.Err()
	}
}

func (s *Shadow) run() {
	defer close(s.ended)
	for {
		select {
		case x := <-s.queue:
			s.take(x)
		case <-s.closing:
			s.drain()
			return
		}
	}
}

// drain empties the queue after Close. What a Compare that was under way puts
// in later is never looked at.
func (s *Shadow) drain() {
	for {
		select {
		case x := <-s.queue:
			s.take(x)
		default:
			return
		}
	}
}

// take compares, unless Close gave up.
func (s *Shadow) take(x shadowed) {
	select {
	case <-s.giveUp:
		s.dropped.Add(1)
	default:
		s.one(x)
	}
}

func (s *Shadow) one(x shadowed) {
	values, known, err := s.translated(x.req)
	if err == nil && !known {
		s.foreign.Add(1)
		return
	}
	s.compared.Add(1)
	said := false
	if err == nil {
		said, err = ask(s.e, values)
	}
	switch {
	case err != nil:
		s.failed.Add(1)
	case said != x.d.Allowed:
		s.differed.Add(1)
	default:
		return
	}
	defer func() {
		if recover() != nil { // report's own; the disagreement is in the counts
			s.failed.Add(1)
		}
	}()
	s.report(Disagreement{Request: x.req, Decision: x.d, Values: values, Casbin: said, Err: err})
}

func (s *Shadow) translated(req Request) (values []any, known bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("authz: shadow: translate panics: %v", r)
		}
	}()
	values, known = s.translate(req)
	return values, known, nil
}

// ask asks Casbin. Whatever goes wrong is an error, and an error is no yes.
func ask(e Enforcer, values []any) (ok bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			ok, err = false, fmt.Errorf("authz: Casbin panics: %v", r)
		}
	}()
	ok, err = e.Enforce(values...)
	return ok && err == nil, err
}
