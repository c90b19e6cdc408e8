package sync

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// MeetingStore remembers which CRM record a meeting is, for all mailboxes of a
// tenant: the one thing that they share. It holds keyed hashes, ids and dates.
// The engine asks for crm.meetings.use before it touches it. Safe for
// concurrent use, also by several processes.
type MeetingStore interface {
	// MeetingKey returns the key under which UIDs are hashed for a CRM, 32
	// random bytes made at the first call.
	MeetingKey(ctx context.Context, crm authz.Resource) ([]byte, error)
	// Meeting finds a meeting by the hash of its UID.
	Meeting(ctx context.Context, crm authz.Resource, hash string) (Meeting, bool, error)
	// MeetingOf finds a meeting by the id of its CRM record.
	MeetingOf(ctx context.Context, crm authz.Resource, record string) (Meeting, bool, error)
	// PutMeeting stores a meeting durably if its Version is still the stored
	// one (0: if there is none), and reports whether it did.
	PutMeeting(ctx context.Context, crm authz.Resource, m Meeting) (bool, error)
	// ReleaseMeetings leaves the meetings that a pair leads to whoever comes next.
	ReleaseMeetings(ctx context.Context, crm authz.Resource, lead PairID) error
}

// Meeting is one meeting in the table that mailboxes share.
type Meeting struct {
	Hash    string // of the UID, under the tenant's key, in hex
	Record  string // id in the CRM; "" while it is being created
	Lead    PairID // the one pair that writes to the record: the organizer's if it is synced
	Host    bool   // the lead is the organizer's
	Key     string // create key of the record
	Rev     string // of the record, when it said what an attendee's calendar says and nobody had edited it
	Gone    bool   // the record was deleted: nobody makes it again
	Parties string // keyed hashes of addresses that were added from attendees' mailboxes, separated by spaces
	Since   time.Time
	Version int64 // grows with each change
}

// Role is what a mailbox's user is in a meeting.
type Role uint8

// Roles. The zero Role means that nobody is invited or that nothing is known.
const (
	NoRole Role = iota
	Organizer
	Attendee
)

// String returns the role's name.
func (r Role) String() string { return [...]string{"none", "organizer", "attendee"}[r] }

// roleIn says what the user with these addresses is in an appointment. Somebody
// whose organizer is not known is taken for an attendee: less is allowed.
func roleIn(a *connectors.Appointment, addresses []string) Role {
	switch {
	case a == nil || len(a.Attendees) == 0:
		return NoRole
	case mine(a.Organizer.Address, addresses):
		return Organizer
	}
	return Attendee
}

// takeover is how long the creation of a meeting's record is left to the mailbox
// that announced it.
const takeover = 10 * time.Minute

// table is the part of the meetings that a round works with; nil without one.
type table struct {
	MeetingStore
	crm  authz.Resource
	key  []byte
	self PairID
}

// meetings opens the table for a round of appointments.
func (r *round) meetings(ctx context.Context) (*table, error) {
	st := r.e.o.Meetings
	if st == nil {
		return nil, nil
	}
	crm := r.p.Left.Resource()
	_, err := r.e.az.Authorize(ctx, authz.Request{Principal: r.who, OnBehalfOf: r.p.OnBehalfOf,
		Permission: authz.MustPermission("crm.meetings.use"), Resource: crm})
	if err != nil {
		return nil, fmt.Errorf("meetings: %w", err)
	}
	key, err := st.MeetingKey(ctx, crm)
	if err != nil {
		return nil, fmt.Errorf("meetings: %w", err)
	}
	return &table{st, crm, key, r.p.ID}, nil
}

func (t *table) hash(what, s string) string {
	m := hmac.New(sha256.New, t.key)
	m.Write([]byte(what + "\x00" + s))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

func (t *table) party(address string) string {
	return t.hash("party", strings.ToLower(strings.TrimSpace(address)))[:16]
}

// errRaced means that another mailbox changed the same meeting first.
var errRaced = errors.New("sync: the meeting was changed by another mailbox meanwhile")

// put stores a meeting and counts its version up.
func (t *table) put(ctx context.Context, m *Meeting) error {
	ok, err := t.PutMeeting(ctx, t.crm, *m)
	if err != nil {
		return fmt.Errorf("meetings: %w", err)
	}
	if !ok {
		return errRaced
	}
	m.Version++
	return nil
}

// meetingIn returns the appointment in a unit that several people take part in,
// preferably as the mailbox has it.
func meetingIn(u *unit) *connectors.Appointment {
	for _, i := range []int{1, 0} {
		if r := u.views[i].rec; r != nil && r.Appointment != nil && len(r.Appointment.Attendees) > 0 {
			return r.Appointment
		}
	}
	return nil
}

// meet finds out which meeting each unit is, joins what the table knows to be
// one, and brings the table up to date with what is linked.
func (k *kindRound) meet(ctx context.Context, us []*unit) ([]*unit, error) {
	left := map[string]*unit{}
	for _, u := range us {
		if id := u.views[0].id; id != "" {
			left[id] = u
		}
		k.rank(u)
	}
	if k.table == nil {
		return us, nil
	}
	var joined []*unit
	for _, u := range us {
		a := meetingIn(u)
		if a == nil || u.trouble != "" {
			// The copy may be gone; its link still says which record it was.
			if u.link != nil && u.link.Role != NoRole && u.link.ID[0] != "" {
				m, ok, err := k.table.MeetingOf(ctx, k.table.crm, u.link.ID[0])
				if err != nil {
					return nil, err
				}
				if ok {
					u.meeting = &m
				}
			}
			k.rank(u)
			continue
		}
		m, ok, err := k.meetingOf(ctx, u)
		if err != nil {
			return nil, err
		}
		if ok {
			u.meeting = &m
			j, err := k.join(ctx, u, left)
			if err != nil {
				return nil, err
			}
			if j {
				joined = append(joined, u)
			}
		}
		k.rank(u)
		if l := u.link; l != nil && (l.State == Linked || l.State == Conflicted) && !k.dry {
			if err := k.register(ctx, u, l.ID[0], k.told(u)); err != nil {
				return nil, err
			}
			k.rank(u)
		}
	}
	if len(joined) > 0 {
		if _, err := k.read(ctx, joined); err != nil {
			return nil, err
		}
	}
	out := us[:0]
	for _, u := range us {
		if !u.merged {
			out = append(out, u)
		}
	}
	return out, nil
}

// meetingOf looks a unit up, by the UID in the mailbox or else by its record.
func (k *kindRound) meetingOf(ctx context.Context, u *unit) (Meeting, bool, error) {
	if r := u.views[1].rec; r != nil && r.Appointment.UID != "" {
		u.uid = k.table.hash("uid "+k.kind.String(), r.Appointment.UID)
		return k.table.Meeting(ctx, k.table.crm, u.uid)
	}
	if id := u.views[0].id; id != "" {
		return k.table.MeetingOf(ctx, k.table.crm, id)
	}
	return Meeting{}, false, nil
}

// join gives an unlinked calendar item the CRM record that the table names. It
// reports whether that has to be read.
func (k *kindRound) join(ctx context.Context, u *unit, left map[string]*unit) (bool, error) {
	id := u.meeting.Record
	if u.views[1].rec == nil || u.link != nil && u.link.ID[0] != "" || u.views[0].id != "" || id == "" || u.meeting.Gone {
		return false, nil
	}
	o := left[id]
	if o == nil {
		l, ok, err := k.st.Find(ctx, k.kind, Left, id)
		if err != nil {
			return false, err
		}
		o = &unit{}
		if ok {
			o.link = &l
		}
		o.views[0].id = id
	}
	switch {
	case o.link != nil && o.link.ID[1] != "" && o.link.ID[1] != u.views[1].id:
		// A second item with the UID of a linked one: a copy within one
		// mailbox. Nobody knows which is meant.
		u.trouble = CodeAmbiguous
		return false, nil
	case o.link != nil:
		u.link = o.link
	}
	u.views[0], o.merged = o.views[0], true
	return true, nil
}

// rank notes what the user is in the meeting and whether this pair writes to its
// record.
func (k *kindRound) rank(u *unit) {
	u.role, u.lead = NoRole, true
	if a := meetingIn(u); a != nil {
		u.role = roleIn(a, k.t.addresses)
	} else if u.link != nil {
		u.role = u.link.Role
	}
	if m := u.meeting; m != nil {
		u.lead = m.Lead == "" || m.Lead == k.p.ID || u.role == Organizer && !m.Host
	}
}

// told returns the revision of a CRM record that says no more than a calendar does:
// it is as it was created, or both say the same.
func (k *kindRound) told(u *unit) string {
	l, r := u.views[0].rec, u.views[1].rec
	if l == nil || k.made[l.ID] != l.Rev && (r == nil || len(connectors.Diff(l, r, k.t.shared)) > 0) {
		return ""
	}
	return l.Rev
}

// register brings the table up to date once a unit is linked: the record, who leads,
// and who came in through an attendee's mailbox.
func (k *kindRound) register(ctx context.Context, u *unit, record, rev string) error {
	if k.table == nil || u.role == NoRole || u.uid == "" || record == "" {
		return nil
	}
	m := Meeting{Hash: u.uid, Since: k.now}
	if u.meeting != nil {
		m = *u.meeting
	}
	before := m
	if m.Record == "" || m.Record == record {
		m.Record, m.Gone = record, false
	}
	if m.Lead == "" || u.role == Organizer && !m.Host {
		m.Lead, m.Host = k.p.ID, u.role == Organizer
	}
	if rev != "" && u.role == Attendee && !m.Host {
		m.Rev = rev
	}
	if before == m {
		return nil
	}
	err := k.table.put(ctx, &m)
	if errors.Is(err, errRaced) {
		return nil // whoever was first said the same, or the next round sees what it said
	}
	u.meeting = &m
	return err
}

// bury notes that the record of a meeting was deleted.
func (k *kindRound) bury(ctx context.Context, u *unit) error {
	if k.table == nil || u.meeting == nil || u.meeting.Gone {
		return nil
	}
	if u.meeting.Record != u.views[0].id && (u.link == nil || u.meeting.Record != u.link.ID[0]) {
		return nil
	}
	m := *u.meeting
	m.Gone = true
	if err := k.table.put(ctx, &m); err != nil && !errors.Is(err, errRaced) {
		return err
	}
	return nil
}

// claim announces to the other mailboxes that this one creates the record of a
// meeting, under the key that they can find it by. It returns the key, or "" if
// another mailbox has it or is about to.
func (k *kindRound) claim(ctx context.Context, u *unit, key string) (string, error) {
	if k.table == nil || u.uid == "" || u.role == NoRole {
		return key, nil
	}
	m, ok, err := k.table.Meeting(ctx, k.table.crm, u.uid)
	if err != nil {
		return "", err
	}
	u.meeting = nil
	if ok {
		u.meeting = &m
	}
	again := ok && u.link != nil && m.Record == u.link.ID[0] // made again, after a deletion that an edit outweighs
	switch {
	case !ok:
		m = Meeting{Hash: u.uid}
	case m.Gone && !again, m.Record != "" && !again:
		return "", nil
	case m.Record == "" && m.Lead != k.p.ID && m.Key != "":
		found, err := k.p.Left.Find(ctx, k.kind, []string{m.Key})
		if err != nil {
			return "", fmt.Errorf("find left: %w", err)
		}
		if hits := found[m.Key]; len(hits) > 0 {
			m.Record = hits[0].ID
			err := k.table.put(ctx, &m)
			if errors.Is(err, errRaced) {
				err = nil
			}
			return "", err
		}
		if k.now.Sub(m.Since) < takeover {
			return "", nil
		}
		key = m.Key // whoever announced it may still be sending it
	case m.Record == "" && m.Key != "":
		key = m.Key
	}
	m.Record, m.Rev, m.Gone, m.Key, m.Since = "", "", false, key, k.e.o.Clock().UTC().Truncate(time.Second)
	m.Lead, m.Host = k.p.ID, u.role == Organizer
	if err := k.table.put(ctx, &m); errors.Is(err, errRaced) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	u.meeting = &m
	return key, nil
}

// invited returns a copy of the CRM's record without the people who were put
// there from attendees' mailboxes and whom the organizer's own copy does not
// name: they are no news to the organizer.
func (k *kindRound) invited(u *unit, left, right *connectors.Record) *connectors.Record {
	if u.meeting == nil || u.meeting.Parties == "" || left == nil || right == nil {
		return left
	}
	added := strings.Fields(u.meeting.Parties)
	there := map[string]bool{}
	for _, p := range right.Appointment.Attendees {
		there[k.table.party(p.Address)] = true
	}
	c := left.Clone()
	c.Appointment.Attendees = slices.DeleteFunc(c.Appointment.Attendees, func(p connectors.Party) bool {
		h := k.table.party(p.Address)
		if slices.Contains(added, h) && !there[h] {
			u.extra = append(u.extra, p)
			return true
		}
		return false
	})
	return c
}

// united returns the mailbox's record with the guests whom the CRM names beside its
// own, where we cannot write the mailbox's list and the record came from the CRM: the
// mailbox never held the CRM's list, and who is not in it was not taken off it.
func (t terms) united(l *Link, left, right *connectors.Record) *connectors.Record {
	f := connectors.FieldAttendees
	if l == nil || l.Origin != Left || !t.caps[1].Fields[f].ReadOnly || right.Empty(f) || left.Empty(f) {
		return right
	}
	c := right.Clone()
	for _, p := range left.Appointment.Attendees {
		if !slices.ContainsFunc(c.Appointment.Attendees, func(q connectors.Party) bool {
			return strings.EqualFold(strings.TrimSpace(p.Address), strings.TrimSpace(q.Address))
		}) {
			c.Appointment.Attendees = append(c.Appointment.Attendees, p)
		}
	}
	return c
}

// short reports whether the CRM names guests beside those of the mailbox, where we
// cannot write the mailbox's list and the record came from the CRM.
func (t terms) short(l *Link, left, right *connectors.Record) bool {
	if l == nil || l.Origin != Left || !t.caps[1].Fields[connectors.FieldAttendees].ReadOnly {
		return false
	}
	return slices.ContainsFunc(left.Appointment.Attendees, func(p connectors.Party) bool {
		return !slices.ContainsFunc(right.Appointment.Attendees, func(q connectors.Party) bool { return mine(p.Address, []string{q.Address}) })
	})
}

// joins reports whether the user takes part and the record does not say so.
func (k *kindRound) joins(u *unit) (connectors.Party, bool) {
	l, r := u.raw[0], u.raw[1]
	if u.role != Attendee || u.lead || k.table == nil || u.meeting == nil || l == nil || r == nil || len(k.t.addresses) == 0 {
		return connectors.Party{}, false
	}
	if len(k.t.writable([]connectors.Field{connectors.FieldAttendees}, Left, nil)) == 0 || !slices.Contains(k.t.shared, connectors.FieldAttendees) {
		return connectors.Party{}, false
	}
	for _, p := range append([]connectors.Party{l.Appointment.Organizer}, l.Appointment.Attendees...) {
		if mine(p.Address, k.t.addresses) {
			return connectors.Party{}, false
		}
	}
	return connectors.Party{Address: k.t.addresses[0]}, true
}

// Leave gives up the meetings that a pair leads, when its user is removed or no
// longer synced: the next mailbox that takes part goes on. It needs
// crm.meetings.use on the CRM.
func (e *Engine) Leave(ctx context.Context, who authz.Principal, p Pair) error {
	if e == nil || e.az == nil || p.Left == nil {
		return fmt.Errorf("sync: zero engine or pair: %w", authz.ErrDenied)
	}
	if e.o.Meetings == nil {
		return nil
	}
	if _, err := e.az.Authorize(ctx, authz.Request{Principal: who, OnBehalfOf: p.OnBehalfOf,
		Permission: authz.MustPermission("crm.meetings.use"), Resource: p.Left.Resource()}); err != nil {
		return fmt.Errorf("sync: pair %s: %w", p.ID, err)
	}
	return e.o.Meetings.ReleaseMeetings(ctx, p.Left.Resource(), p.ID)
}
