package sync

import (
	"fmt"
	"regexp"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// PairID names the state of one pair: 1 to 64 letters, digits, dots, dashes
// and underscores.
type PairID string

// Side is one end of a pair. The zero Side is neither.
type Side uint8

// Sides.
const (
	Left  Side = iota + 1 // the CRM
	Right                 // the mailbox
)

// String returns "left" or "right".
func (s Side) String() string {
	switch s {
	case Left:
		return "left"
	case Right:
		return "right"
	}
	return "none"
}

// at returns the side's index, 0 for left and 1 for right.
func (s Side) at() int { return int(s) - 1 }

// MarshalText writes the text form.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Other returns the opposite side.
func (s Side) Other() Side {
	switch s {
	case Left:
		return Right
	case Right:
		return Left
	}
	return 0
}

// Pair is a mailbox and the CRM it is kept alike with, opened for one worker.
type Pair struct {
	ID         PairID
	Resource   authz.Resource  // the user's sync node, on which sync.run and the like are asked
	OnBehalfOf authz.Principal // the mailbox's user; zero if the caller acts for nobody else
	Left       *connectors.Conn
	Right      *connectors.Conn
	Rules      []Rule   // what crosses and how; nil: DefaultRules
	Addresses  []string // the user's own e-mail addresses: who organizes a meeting decides over it

	// Identity is what the two systems are in themselves: the id of the CRM's
	// tenant, the immutable id of the mailbox. They are remembered at the first
	// round; a pair whose systems are others later, as after the copy of a
	// tenant, is refused with ErrIdentity. Empty: not known.
	Identity [2]string
}

// Direction says which way records of a kind cross. The zero Direction is both.
type Direction uint8

// Directions.
const (
	BothWays Direction = iota
	ToRight
	ToLeft
)

// Deletes says what the deletion of a linked record means for its partner.
type Deletes uint8

// What deletions do.
const (
	Propagate Deletes = iota // the partner is deleted too, where SYNC rules allow it
	Unlink                   // the partner stays and is no longer followed
)

// Winner says whose values stand when both sides changed one record
// differently. The zero Winner is nobody: both stay as they are and a person
// is told; the next edit on either side then decides.
type Winner uint8

// Winners.
const (
	Nobody Winner = iota
	LeftWins
	RightWins
)

// Privacy says what of a private calendar item crosses.
type Privacy uint8

// What crosses of a private item.
const (
	PrivateStays Privacy = iota // nothing; it is an issue
	PrivateBlock                // that the time is taken, and nothing else
)

// Rule is how records of one kind are kept alike.
type Rule struct {
	Kind connectors.Kind
	// Mailbox is the kind under which the mailbox keeps these records, where it is
	// another: a visit or a phone call is an appointment there, an individual
	// customer, a lead or an account a contact. Zero: the same kind. Several rules
	// may share items of the mailbox; the policy tells whose an item is, and what one
	// rule follows no other takes.
	Mailbox   connectors.Kind
	Direction Direction
	Deletes   Deletes
	Winner    Winner
	Private   Privacy

	// Back is how long ago a calendar item may have ended to be followed; zero:
	// any time. What leaves the window stays on both sides and is let go.
	Back time.Duration
	// Scope is the filter, for both sides; nil lets everything pass. It sees a
	// record without its text, and must depend on nothing else. What leaves the
	// filter stays on both sides and is let go.
	Scope func(*connectors.Record) bool
	// Cancels marks an appointment that was deleted in the mailbox as cancelled
	// in the CRM, where it can be, instead of deleting it.
	Cancels bool
	// AttendeeDeletes lets an attendee who throws a meeting away delete its CRM
	// record for everybody, as SAP's product does.
	AttendeeDeletes bool
	// WindowDeletes deletes an appointment that came from the CRM, that nobody else
	// takes part in and that nobody changed in the mailbox, from there when it leaves
	// the window or filter, as SAP's product does.
	WindowDeletes bool
	// ToOwner brings a new record of the CRM to the calendar of its owner, where the
	// CRM names one, and not to its organizer's.
	ToOwner bool
	// ReadOnly is about what was deleted in the mailbox: it comes back from the
	// CRM. That nothing crosses to the CRM is the Direction's to say.
	ReadOnly bool
	// Policy is what a profile says beyond that; nil: nothing.
	Policy *Policy
	// Fields remembers a keyed digest of each field, so that changes of different
	// fields of one record on both sides are merged. The key is the pair's own
	// and goes with its state.
	Fields bool
}

// DefaultRules syncs contacts and appointments both ways.
func DefaultRules() []Rule {
	return []Rule{{Kind: connectors.KindContact}, {Kind: connectors.KindAppointment}}
}

// valid checks what a caller hands in, naming the field at fault.
func (p Pair) valid() error {
	switch {
	case !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`).MatchString(string(p.ID)):
		return fmt.Errorf("sync: pair id %q: want 1 to 64 letters, digits, dots, dashes, underscores", p.ID)
	case p.Left == nil || p.Right == nil:
		return fmt.Errorf("sync: pair %s: left and right: both connections are needed: %w", p.ID, authz.ErrDenied)
	case p.Left.Area() != connectors.CRM || p.Right.Area() != connectors.Mailbox:
		return fmt.Errorf("sync: pair %s: want a CRM on the left and a mailbox on the right: %w", p.ID, authz.ErrDenied)
	}
	seen := map[connectors.Kind]bool{}
	for _, r := range p.rules() {
		_, l := p.Left.Capability(r.Kind)
		_, m := p.Right.Capability(r.as())
		switch {
		case !pairable(r.Kind, r.as()):
			return fmt.Errorf("sync: pair %s: rules: %s: no mailbox keeps them as %s", p.ID, r.Kind, r.Mailbox)
		case !l || !m:
			return fmt.Errorf("sync: pair %s: rules: %s: not offered by both sides", p.ID, r.Kind)
		case seen[r.Kind]:
			return fmt.Errorf("sync: pair %s: rules: %s: stated twice", p.ID, r.Kind)
		case r.Direction > ToLeft || r.Deletes > Unlink || r.Winner > RightWins || r.Private > PrivateBlock || r.Back < 0:
			return fmt.Errorf("sync: pair %s: rules: %s: direction, deletes, winner, privacy or window out of range", p.ID, r.Kind)
		}
		seen[r.Kind] = true
	}
	return nil
}

func (p Pair) rules() []Rule {
	if p.Rules == nil {
		return DefaultRules()
	}
	return p.Rules
}
