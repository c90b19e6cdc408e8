package main

import (
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/examples/server/demo"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// now is the clock of the server.
func now() time.Time { return time.Now() }

// state is how a mailbox is doing, in words.
type state string

const (
	waiting state = "waiting for its first round"
	running state = "syncing"
	inSync  state = "in sync"
	held    state = "held"
	paused  state = "paused"
	failed  state = "failed"
)

// line is what the board says of one mailbox. It holds counts and dates, and
// errors of ours, which have no content in them.
type line struct {
	State    state
	Report   lksync.Report // of the last finished round
	Last     time.Time     // when it ended; zero: none yet
	Next     time.Time     // when the next one is due
	Failures int           // in a row
	Problem  string        // why the last round stopped
	Changed  lksync.Report // the last round that did something: its plan is worth showing
	Event    lksync.Event  // of the round that is running
}

// board is what is going on, for the page and the terminal. Safe for concurrent
// use.
type board struct {
	mu     sync.Mutex
	lines  map[lksync.PairID]*line
	listen func(lksync.Event) // also gets every event; set before the first round
	ended  func(string, line) // gets the line of a mailbox whose round ended; set before the first round
}

func newBoard() *board {
	b := &board{lines: map[lksync.PairID]*line{}, listen: func(lksync.Event) {}, ended: func(string, line) {}}
	for _, u := range demo.Users() {
		b.lines[pairID(u.ID)] = &line{State: waiting}
	}
	return b
}

func pairID(user string) lksync.PairID { return lksync.PairID(tenant + "." + user) }

func (b *board) edit(user string, f func(*line)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[pairID(user)]; l != nil {
		f(l)
	}
}

// progress takes events from the engine.
func (b *board) progress(e lksync.Event) {
	b.mu.Lock()
	if l := b.lines[e.Pair]; l != nil {
		l.Event = e
	}
	b.mu.Unlock()
	b.listen(e)
}

func (b *board) started(user string) {
	b.edit(user, func(l *line) { l.State, l.Event = running, lksync.Event{} })
}

func (b *board) finished(user string, r lksync.Report, err error) {
	b.edit(user, func(l *line) {
		l.Report, l.Last, l.Problem = r, now(), r.Held
		if len(r.Plan.Actions) > 0 {
			l.Changed = r
		}
		switch {
		case err != nil:
			l.State, l.Problem = failed, err.Error()
			l.Failures++
			return
		case r.Held != "":
			l.State = held
		default:
			l.State = inSync
		}
		l.Failures = 0
	})
	b.ended(user, b.read(user))
}

// paused notes that a mailbox waits for the keeper of the keys.
func (b *board) paused(user, why string) {
	b.edit(user, func(l *line) { l.State, l.Problem, l.Event = paused, why, lksync.Event{} })
}

// due notes when a mailbox is served next.
func (b *board) due(user string, at time.Time) { b.edit(user, func(l *line) { l.Next = at }) }

// read returns a copy of a line.
func (b *board) read(user string) (l line) {
	b.edit(user, func(x *line) { l = *x })
	return l
}
