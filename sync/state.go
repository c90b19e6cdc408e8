package sync

import (
	"context"
	"errors"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var (
	// ErrFenced means that someone else opened the same state later: this
	// holder may no longer write.
	ErrFenced = errors.New("sync: state was taken over by another worker")
	// ErrState means that stored state is damaged, belongs to something else,
	// or is of a newer release. Nothing was changed.
	ErrState = errors.New("sync: state cannot be used")
)

// StateStore opens the state of pairs. Each pair has a physically separate
// store, so that nothing of one mailbox is ever read for another.
type StateStore interface {
	// Open opens or creates the state of a pair and takes it over: whoever
	// had it open before gets ErrFenced at the next Commit.
	Open(ctx context.Context, id PairID) (State, error)
}

// State is what is remembered of a pair: ids, revisions, dates, cursors, and
// for a while the names of records that could not be synced. Used by one
// goroutine at a time.
type State interface {
	// Cursor returns where reading a kind on a side goes on, "" at the beginning.
	Cursor(ctx context.Context, s Side, k connectors.Kind) (string, error)
	// Swept returns when a side was last searched for silent deletions.
	Swept(ctx context.Context, s Side, k connectors.Kind) (time.Time, error)
	// Find returns the link of the record that has this id on this side.
	Find(ctx context.Context, k connectors.Kind, s Side, id string) (Link, bool, error)
	// Links returns up to limit links of a kind with greater numbers, by number.
	Links(ctx context.Context, k connectors.Kind, after int64, limit int) ([]Link, error)
	// Count returns how many records of a kind are linked.
	Count(ctx context.Context, k connectors.Kind) (int, error)
	// Intents returns every announced create that was not settled.
	Intents(ctx context.Context) ([]Intent, error)
	// Issues returns up to limit issues with greater numbers, by number.
	Issues(ctx context.Context, after int64, limit int) ([]Trouble, error)
	// Approved returns how many deletions a person let through the brake.
	Approved(ctx context.Context, k connectors.Kind) (int, error)
	// Commit makes a batch durable, whole or not at all, before it returns.
	Commit(ctx context.Context, b Batch) error
	// Close lets go of the state.
	Close() error
}

// LinkState says how a link is followed.
type LinkState uint8

// States of a link.
const (
	Linked     LinkState = iota + 1 // both sides are kept alike
	Unlinked                        // one side is gone; the other stays and is left alone
	Conflicted                      // both sides differ and a person has to decide
)

// Link remembers that two records are one.
type Link struct {
	Number int64 // 0: not stored yet
	Kind   connectors.Kind
	ID     [2]string // left, right; "" if gone
	Rev    [2]string // as last seen alike, or at the time of the conflict
	Origin Side      // where the record was born
	State  LinkState
	Seen   time.Time // last change of the link, to the second
}

// Intent announces a create before it is sent.
type Intent struct {
	Key      string // the create key, random
	Kind     connectors.Kind
	Side     Side // where the record is created
	SourceID string
	Rev      string // of the source
	Made     time.Time
}

// Trouble is an issue as stored. Kind and ids identify it.
type Trouble struct {
	Number  int64
	Kind    connectors.Kind
	ID      [2]string
	Code    Code
	Field   connectors.Field
	Detail  string // our own words, no content
	Name    string // of the record; "" once it expired or where it must not be kept
	First   time.Time
	Last    time.Time
	NextTry time.Time // zero: only when a side changes
	Tries   int
}

// Batch is a set of changes to a state.
type Batch struct {
	Put     []Link     // new ones and changed ones
	Drop    []int64    // links to forget
	Begin   []Intent   // creates to announce
	End     []string   // keys of intents that are settled
	Raise   []Trouble  // issues, new or seen again
	Solve   []Trouble  // issues that are gone; kind and ids count
	Cursors []Position // where reading goes on
	Sweeps  []Position // when a side was searched; Cursor unused
	Forget  time.Time  // names of issues first seen before this are removed; zero: none
	Approve map[connectors.Kind]int
}

// Position is a cursor, or the time of a sweep, of one kind on one side.
type Position struct {
	Side   Side
	Kind   connectors.Kind
	Cursor string
	At     time.Time
}
