package ewstest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
)

// mailbox is what one person has.
type mailbox struct {
	address string
	folders []*folder
}

// folder is one of a mailbox. Whatever it is for, it holds what is put there.
type folder struct {
	id      string
	name    string // by which every mailbox has it, "" for one that people made
	display string
	class   string
	parent  string // id
	entries map[string]*entry
	order   []string
}

type entry struct {
	id       string
	kind     string // element
	in       *folder
	props    map[string]string // by the name of the property; lists have a line for each value
	exts     map[string]string // extended properties: how a request named them
	files    []*file
	seq      int
	born     int
	version  int
	created  time.Time
	modified time.Time
	gone     bool
}

// distinguished are the folders that every mailbox has.
func distinguished() []folder {
	return []folder{{name: "root", display: "Root"}, {name: "msgfolderroot", display: "Top of Information Store"}, {name: "inbox", display: "Inbox", class: "IPF.Note"},
		{name: "sentitems", display: "Sent Items", class: "IPF.Note"}, {name: "drafts", display: "Drafts", class: "IPF.Note"}, {name: "outbox", display: "Outbox", class: "IPF.Note"},
		{name: "deleteditems", display: "Deleted Items", class: "IPF.Note"}, {name: "junkemail", display: "Junk E-Mail", class: "IPF.Note"},
		{name: "calendar", display: "Calendar", class: "IPF.Appointment"}, {name: "contacts", display: "Contacts", class: "IPF.Contact"}, {name: "tasks", display: "Tasks", class: "IPF.Task"}}
}

// opaque is an id as long as those of Exchange, which some know by their length.
func opaque(of ...any) string {
	b := []byte("of a mailbox")
	for i := range 3 {
		h := sha256.Sum256(fmt.Append([]byte{byte(i)}, of...))
		b = append(b, h[:]...)
	}
	return "AAMkAGU0" + base64.StdEncoding.EncodeToString(b)
}

func newMailbox(address string) *mailbox {
	m := &mailbox{address: address}
	root := opaque("folder", address, "root")
	for _, f := range distinguished() {
		f.id, f.entries = opaque("folder", address, f.name), map[string]*entry{}
		switch f.name {
		case "root":
		case "msgfolderroot":
			f.parent = root
		default:
			f.parent = opaque("folder", address, "msgfolderroot")
		}
		m.folders = append(m.folders, &f)
	}
	return m
}

// folder finds one by its name or id, nil if there is none.
func (m *mailbox) folder(name string) *folder {
	i := slices.IndexFunc(m.folders, func(f *folder) bool { return f.id == name || f.name != "" && f.name == name })
	if i < 0 {
		return nil
	}
	return m.folders[i]
}

// home is the folder that items of a kind go to if a request does not say.
func home(kind string) string {
	switch kind {
	case "Contact":
		return "contacts"
	case "CalendarItem":
		return "calendar"
	case "Task":
		return "tasks"
	}
	return "drafts"
}

// find returns an item that is there.
func (m *mailbox) find(id string) *entry {
	for _, f := range m.folders {
		if e := f.entries[id]; e != nil && !e.gone {
			return e
		}
	}
	return nil
}

func (e *entry) changeKey() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%d", e.id[40:52], e.version))
}

func (s *Server) touch(e *entry) {
	s.serial++
	e.seq, e.version, e.modified = s.serial, e.version+1, s.o.Now().UTC().Truncate(time.Second)
}

func (s *Server) insert(f *folder, kind string, props map[string]string) *entry {
	s.serial++
	e := &entry{id: opaque("item", s.serial), kind: kind, in: f, props: props, exts: map[string]string{}, born: s.serial, created: s.o.Now().UTC().Truncate(time.Second)}
	f.entries[e.id] = e
	f.order = append(f.order, e.id)
	s.touch(e)
	return e
}

// move takes an item to another folder, where it has another id.
func (s *Server) move(e *entry, to *folder) *entry {
	s.touch(e)
	e.gone = true
	n := s.insert(to, e.kind, e.props)
	n.exts, n.files, n.created = e.exts, e.files, e.created
	return n
}

// box finds a mailbox by its address, nil if there is none.
func (s *Server) box(address string) *mailbox { return s.boxes[strings.ToLower(address)] }

// Edit changes a property of an item, as its owner does with another program. It
// reports whether there is such an item.
func (s *Server) Edit(mailbox, id, property, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.box(mailbox)
	if box == nil || box.find(id) == nil {
		return false
	}
	e := box.find(id)
	e.props[property] = text
	s.touch(e)
	return true
}

// Discard removes an item as its owner does, telling nobody.
func (s *Server) Discard(mailbox, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.box(mailbox).find(id); e != nil {
		s.touch(e)
		e.gone = true
	}
}

// Move takes an item to another folder, as its owner does, and returns the id
// that it has there.
func (s *Server) Move(mailbox, id, folder string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.box(mailbox)
	e, to := box.find(id), box.folder(folder)
	if e == nil || to == nil {
		return ""
	}
	return s.move(e, to).id
}
