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
	// Count returns how many records of a kind are Linked or Conflicted.
	Count(ctx context.Context, k connectors.Kind) (int, error)
	// Intents returns every announced create that was not settled.
	Intents(ctx context.Context) ([]Intent, error)
	// Issues returns up to limit issues with greater numbers, by number.
	Issues(ctx context.Context, after int64, limit int) ([]Trouble, error)
	// Approved returns how many deletions a person let through the brake.
	Approved(ctx context.Context, k connectors.Kind) (int, error)
	// Waiting returns, like Links, those in the state Expected.
	Waiting(ctx context.Context, k connectors.Kind, after int64, limit int) ([]Link, error)
	// Identity returns what the systems were at the first round, "" if not known.
	Identity(ctx context.Context) ([2]string, error)
	// Key returns 32 random bytes that are this state's own and go with it.
	Key(ctx context.Context) ([]byte, error)
	// Held returns ErrFenced if somebody else has taken the state over.
	Held(ctx context.Context) error
	// Scratch opens room for what a round has seen and not worked on yet. It is
	// gone when closed, and after a crash.
	Scratch(ctx context.Context) (Scratch, error)
	// Commit makes a batch durable, whole or not at all, before it returns. One
	// that failed may turn out to be durable when the state is opened again.
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
	Outside                         // both sides are there, out of the window or filter, and left alone
	Expected                        // the CRM has it, and the mailbox gets it by invitation
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

	Role  Role               // of the user in the meeting
	Apart []connectors.Field // fields that were left different on purpose
	Base  Digests            // keyed digests of the fields as last seen alike; nil unless the rule asks for them

	Files []FilePair // attachments

	// The loop breaker: which way the last write went (Left and Right together
	// are 3), how often the way changed, how many writes there were, since when.
	Way, Turns, Writes uint8
	Since              time.Time
}

// Intent announces a create before it is sent.
type Intent struct {
	Key      string // the create key, random
	Kind     connectors.Kind
	Side     Side // where the record is created
	SourceID string
	Rev      string    // of the source
	Check    uint16    // a 16-bit keyed check over the draft, to tell a copy that was edited from one that was not
	Missed   time.Time // when it was first looked for and not found, to the second; zero: not yet
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
	Put      []Link     // new ones and changed ones
	Drop     []int64    // links to forget
	Begin    []Intent   // creates to announce
	End      []string   // keys of intents that are settled
	Raise    []Trouble  // issues, new or seen again
	Solve    []Trouble  // issues that are gone; kind and ids count
	Cursors  []Position // where reading goes on
	Sweeps   []Position // when a side was searched; Cursor unused
	Forget   time.Time  // names of issues first seen before this are removed; zero: none
	Approve  map[connectors.Kind]int
	Identity *[2]string // what the systems are
}

// Scratch keeps what was seen in a round in an order in which what belongs
// together comes together. It holds ids and groups, and no key to them survives
// the round. Used by one goroutine.
type Scratch interface {
	// Add takes in what was seen; the same side and id again replaces.
	Add(ctx context.Context, seen []Seen) error
	// Next returns whole groups after one, in order, until there are at least
	// limit entries or no more.
	Next(ctx context.Context, after string, limit int) ([]Seen, error)
	// Has reports which of the ids of a side were added.
	Has(ctx context.Context, s Side, ids []string) ([]bool, error)
	// Close gives the room back.
	Close() error
}

// Seen is one record that a round has to look at.
type Seen struct {
	Side  Side
	ID    string
	Group string // 32 hexadecimal digits; equal for records that may belong together
}

// Position is a cursor, or the time of a sweep, of one kind on one side.
type Position struct {
	Side   Side
	Kind   connectors.Kind
	Cursor string
	At     time.Time
}
