package sync_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// counted is a system whose contacts are computed from their numbers, so that what
// a measurement finds is the engine's: it keeps two bytes for each contact.
type counted struct {
	area      connectors.Area
	id, rev   string // what ids and revisions begin with; as long as the real ones
	mu        sync.Mutex
	said      []uint8 // what contact i says, 0 if it is not there
	revs      []uint8
	log       []int32 // numbers in the order of their changes
	calls     int     // verbs
	got       int     // records read by id
	wrote     int
	underWay  func()
	shortRead bool // changes come without content
}

// newC4C and the others are systems with n contacts, or room for n, whose ids and
// revisions are of the length and shape that the vendor's documentation shows.
func newC4C(n int) *counted {
	return newCounted(connectors.CRM, n, "00163E0D3DDE1EE9", "W/\"datetimeoffset'2026-01-01T00%3A00%3A00.00", "Z'\"")
}

func newGraph(n int) *counted {
	return newCounted(connectors.Mailbox, n, "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0AICBLjeY9dUC9SX7l", "W/\"ZlnW4RIAV06KYYwlrfNZvQAA", "==\"")
}

func newEWS(n int) *counted {
	return newCounted(connectors.Mailbox, n, "AAMkADk1ZTVjZTA0LTUyNzYtNDQzNi04OTU2LTY5OTc0ZWVmNzYzMABGAAAAAAAiQ8W967B7TKBjgx9rVEURBwAiIsqMbYjsT5e-T7KzowPTAAAAAAEOAAAiIsqMbYjsT5e-",
		"EQAAABYAAAAiIsqMbYjsT5e/T7KzowPT", "")
}

func newCounted(a connectors.Area, n int, id, rev, end string) *counted {
	s := &counted{area: a, id: id, rev: rev + "%05d" + end, said: make([]uint8, n), revs: make([]uint8, n), underWay: func() {}}
	return s
}

// fill puts all contacts in.
func (s *counted) fill() *counted {
	for i := range s.said {
		s.said[i], s.revs[i] = 1, 1
	}
	return s
}

// edit changes a contact as a user would.
func (s *counted) edit(n int) {
	s.said[n]++
	s.touched(n)
}

func (s *counted) touched(n int) {
	s.revs[n]++
	s.log = append(s.log, int32(n))
}

// name is the id of a contact. What stands before its number is spread, as ids
// are that come from many servers.
func (s *counted) name(n int) string {
	b := make([]byte, 0, len(s.id)+16)
	b = append(b, s.id...)
	b = fmt.Appendf(b, "%08X", uint32(n)*2654435761)
	return string(fmt.Appendf(b, "%08X", n))
}

func number(id string) int {
	n, err := strconv.ParseUint(id[max(0, len(id)-8):], 16, 32)
	if err != nil {
		return -1
	}
	return int(n)
}

func (s *counted) revision(n int) string { return fmt.Sprintf(s.rev, s.revs[n]) }

func (s *counted) contact(n int) *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	x := strconv.Itoa(n)
	r.ID, r.Rev = s.name(n), s.revision(n)
	r.Contact.GivenName, r.Contact.FamilyName, r.Contact.Email = "Given", "Family "+x, "person."+x+"@customer.example"
	r.Contact.Company, r.Contact.Department, r.Contact.JobTitle = "Company "+strconv.Itoa(n%1000), "Sales", "Title "+strconv.Itoa(int(s.said[n]))
	r.Contact.Phone, r.Contact.Mobile = "+49 30 "+x, "+49 170 "+x
	r.Contact.Street, r.Contact.City, r.Contact.PostalCode, r.Contact.Country = x+" Long Street", "Berlin", "10115", "DE"
	r.Contact.Note = "met at the fair, wants to hear of news"
	return r
}

// plugin offers the system: contacts, and appointments of which there are none.
func (s *counted) plugin(name string) (connectors.Plugin, error) {
	caps := connectors.Capabilities{Area: s.area, Kinds: map[connectors.Kind]connectors.Capability{}}
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment} {
		c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}, Create: true, Update: true, Delete: true, Tombstones: true, Batch: 50}
		for _, f := range connectors.Fields(k) {
			c.Fields[f] = connectors.Limit{}
		}
		caps.Kinds[k] = c
	}
	return connectors.NewPlugin(name, caps, func(connectors.Settings) (connectors.Driver, error) { return s, nil })
}

func (s *counted) enter(c connectors.Call) (leave func(), err error) {
	if err := c.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.calls++
	s.underWay()
	return s.mu.Unlock, nil
}

// Changes implements connectors.Driver: a cursor is how far the listing of
// everything is and where the log stood when it began, or a place in the log.
func (s *counted) Changes(_ context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	leave, err := s.enter(c)
	if err != nil {
		return connectors.Page{}, err
	}
	defer leave()
	if k != connectors.KindContact {
		return connectors.Page{Cursor: "0 0"}, nil
	}
	from, at := 0, len(s.log)
	if cursor != "" {
		if _, err := fmt.Sscan(cursor, &from, &at); err != nil {
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrCursorExpired}
		}
	}
	var p connectors.Page
	add := func(n int) {
		ch := connectors.Change{ID: s.name(n), Rev: s.revision(n)}
		if !s.shortRead {
			ch.Record = s.contact(n)
		}
		p.Changes = append(p.Changes, ch)
	}
	for ; from < len(s.said) && len(p.Changes) < limit; from++ {
		if s.said[from] > 0 {
			add(from)
		}
	}
	if from == len(s.said) {
		for ; at < len(s.log) && len(p.Changes) < limit; at++ {
			add(int(s.log[at]))
		}
	}
	p.More = from < len(s.said) || at < len(s.log)
	p.Cursor = fmt.Sprint(from, " ", at)
	return p, nil
}

// Get implements connectors.Driver.
func (s *counted) Get(_ context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	leave, err := s.enter(c)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]connectors.Result, len(ids))
	for i, id := range ids {
		if n := number(id); k == connectors.KindContact && n >= 0 && n < len(s.said) && s.said[n] > 0 {
			out[i].Record = s.contact(n)
			s.got++
		} else {
			out[i].Err = &connectors.Error{Class: connectors.ErrNotFound}
		}
	}
	return out, nil
}

// Find implements connectors.Driver. No answer is ever lost here.
func (s *counted) Find(_ context.Context, c connectors.Call, _ connectors.Kind, _ []string) (map[string][]connectors.Change, error) {
	leave, err := s.enter(c)
	if err != nil {
		return nil, err
	}
	defer leave()
	return nil, nil
}

// List implements connectors.Driver.
func (s *counted) List(_ context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	leave, err := s.enter(c)
	if err != nil {
		return connectors.IDs{}, err
	}
	defer leave()
	var p connectors.IDs
	from := 0
	if after != "" {
		from = number(after) + 1
	}
	for ; k == connectors.KindContact && from < len(s.said); from++ {
		if s.said[from] == 0 {
			continue
		}
		if len(p.IDs) == limit {
			p.Next = p.IDs[limit-1]
			break
		}
		p.IDs = append(p.IDs, s.name(from))
	}
	return p, nil
}

// Create implements connectors.Driver: a contact has the number that its name says.
func (s *counted) Create(_ context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	return s.write(c, k, len(ds), func(i int) (int, *connectors.Record) {
		n, _ := strconv.Atoi(strings.TrimPrefix(ds[i].Record.Contact.FamilyName, "Family "))
		return n, ds[i].Record
	})
}

// Update implements connectors.Driver.
func (s *counted) Update(_ context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	return s.write(c, k, len(es), func(i int) (int, *connectors.Record) { return number(es[i].ID), es[i].Record })
}

// Delete implements connectors.Driver.
func (s *counted) Delete(_ context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return s.write(c, k, len(ts), func(i int) (int, *connectors.Record) { return number(ts[i].ID), nil })
}

func (s *counted) write(c connectors.Call, k connectors.Kind, n int, which func(int) (int, *connectors.Record)) ([]connectors.Written, error) {
	leave, err := s.enter(c)
	if err != nil {
		return nil, err
	}
	defer leave()
	out := make([]connectors.Written, n)
	for i := range out {
		x, r := which(i)
		if k != connectors.KindContact || x < 0 || x >= len(s.said) {
			out[i].Err = &connectors.Error{Class: connectors.ErrInvalid}
			continue
		}
		s.said[x] = 0
		if r != nil {
			v, _ := strconv.Atoi(strings.TrimPrefix(r.Contact.JobTitle, "Title "))
			s.said[x] = uint8(v)
		}
		s.touched(x)
		s.wrote++
		out[i] = connectors.Written{ID: s.name(x), Rev: s.revision(x)}
	}
	return out, nil
}
