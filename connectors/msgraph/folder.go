package msgraph

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// folder is a container that is followed: a contact folder, a calendar, a list
// of tasks or a mail folder.
type folder struct {
	id   string // the service's own, or its well-known name
	name string // as its user sees it, "" where there is one only
	list string // path below the mailbox that lists its items
	item string // path below the mailbox before the id of an item
	sent bool   // what is in it was sent by the mailbox's user
}

// folders remembers which containers there are, so that not every verb has to
// ask.
type folders struct {
	mu    sync.Mutex
	known map[connectors.Kind]found
}

type found struct {
	at       time.Time
	followed []folder
	all      []folder // where an item may lie, those that are followed first
}

// stale is how long what is known of containers is believed.
const stale = 10 * time.Minute

// collection is the path below the mailbox of the containers of a kind.
func collection(k connectors.Kind) string {
	switch k {
	case connectors.KindContact:
		return "/contactFolders"
	case connectors.KindAppointment:
		return "/calendars"
	case connectors.KindTask:
		return "/todo/lists"
	}
	return "/mailFolders"
}

// place makes the paths of a container.
func place(k connectors.Kind, id, name string) folder {
	base := collection(k) + "/" + url.PathEscape(id)
	switch k {
	case connectors.KindContact:
		return folder{id: id, name: name, list: base + "/contacts", item: "/contacts/"}
	case connectors.KindAppointment:
		if id == defaultCalendar {
			return folder{id: id, name: name, list: "/events", item: "/events/"}
		}
		return folder{id: id, name: name, list: base + "/events", item: "/events/"}
	case connectors.KindTask:
		return folder{id: id, name: name, list: base + "/tasks", item: base + "/tasks/"}
	}
	return folder{id: id, name: name, list: base + "/messages", item: "/messages/"}
}

// The service's own names of containers that everybody has.
const (
	defaultContacts = "contacts"
	defaultCalendar = "calendar"
	defaultList     = "defaultList"
	sentItems       = "sentitems"
)

// wellKnown reports whether a name is one of the service's own.
func wellKnown(k connectors.Kind, name string) bool {
	switch k {
	case connectors.KindContact:
		return name == defaultContacts
	case connectors.KindAppointment:
		return name == defaultCalendar
	case connectors.KindTask:
		return name == defaultList
	}
	return slices.Contains([]string{"inbox", sentItems, "archive", "deleteditems", "junkemail", "clutter", "conversationhistory", "outbox", "msgfolderroot"}, strings.ToLower(name))
}

// english is the name of the mail folders that everybody has, which each mailbox
// calls in its user's language: a profile is for people of all languages.
func english(known string) string {
	switch strings.ToLower(known) {
	case "inbox":
		return "Inbox"
	case sentItems:
		return "Sent Items"
	}
	return ""
}

// dir is a container as the service writes it.
type dir struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	Name        string `json:"name"` // of a calendar
	Known       string `json:"wellknownListName"`
}

func (d dir) title() string {
	return connectors.NormalizeText(connectors.FieldName, d.DisplayName+d.Name)
}

// followed lists the containers that the endpoint names, and all those where an
// item of the kind may lie. A name that nothing has is left out, for its user may
// make it at any time; without any there is nothing to read, which is an error.
func (s session) followed(ctx context.Context) (found, error) {
	s.d.folders.mu.Lock()
	f, ok := s.d.folders.known[s.kind]
	s.d.folders.mu.Unlock()
	if now := s.d.now(); ok && now.Sub(f.at).Abs() < stale {
		return f, nil
	}
	f, err := s.lookUp(ctx)
	if err != nil {
		return found{}, err
	}
	f.at = s.d.now()
	s.d.folders.mu.Lock()
	defer s.d.folders.mu.Unlock()
	s.d.folders.known[s.kind] = f
	return f, nil
}

// forget makes the next verb ask again.
func (s session) forget() {
	s.d.folders.mu.Lock()
	defer s.d.folders.mu.Unlock()
	delete(s.d.folders.known, s.kind)
}

func (s session) lookUp(ctx context.Context) (found, error) {
	wanted := s.d.follow[s.kind]
	if s.kind == connectors.KindContact || s.kind == connectors.KindAppointment {
		if len(wanted) == 1 && wellKnown(s.kind, wanted[0]) {
			one := []folder{place(s.kind, wanted[0], "")}
			return found{followed: one, all: one}, nil
		}
	}
	// Well-known ones and ids are asked for one by one; who names one in words
	// means one of the list.
	var ps []part
	listed := s.kind == connectors.KindTask
	for _, w := range wanted {
		if s.kind != connectors.KindTask && (wellKnown(s.kind, w) || isID(w)) {
			ps = append(ps, part{method: http.MethodGet, path: s.d.user + collection(s.kind) + "/" + url.PathEscape(w) + dirFields(s.kind)})
		} else {
			listed = true
		}
	}
	if s.kind == connectors.KindAppointment {
		ps = slices.DeleteFunc(ps, func(p part) bool { return strings.Contains(p.path, "/"+defaultCalendar+"?") })
	}
	rs, err := s.do(ctx, ps)
	if err != nil {
		return found{}, err
	}
	ds := map[string]dir{}
	n := 0
	for _, w := range wanted {
		if s.kind == connectors.KindTask || !wellKnown(s.kind, w) && !isID(w) {
			continue
		}
		if s.kind == connectors.KindAppointment && w == defaultCalendar {
			ds[w] = dir{ID: w}
			continue
		}
		r := rs[n]
		n++
		err := classify(r, false)
		if errors.Is(err, connectors.ErrNotFound) { // a name that only looks like an id, or nothing that is there
			listed = true
			continue
		}
		if err != nil {
			return found{}, err
		}
		var d dir
		if err := decode(r.Body, &d); err != nil || d.ID == "" {
			return found{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a folder"}
		}
		ds[w] = d
	}
	var all []dir
	if listed {
		if all, err = s.dirs(ctx); err != nil {
			return found{}, err
		}
	}
	var f found
	for _, w := range wanted {
		d, ok := ds[w]
		if !ok {
			for _, x := range all {
				if x.ID == w || strings.EqualFold(x.title(), w) || x.Known == w {
					d, ok = x, true
					break
				}
			}
		}
		if ok && !slices.ContainsFunc(f.followed, func(x folder) bool { return x.id == d.ID }) {
			p := place(s.kind, d.ID, d.title())
			if s.kind == connectors.KindMail {
				p.sent = strings.EqualFold(w, sentItems)
				if n := english(w); n != "" {
					p.name = n
				}
			}
			f.followed = append(f.followed, p)
		}
	}
	if len(f.followed) == 0 {
		return found{}, &connectors.Error{Class: connectors.ErrForbidden, Detail: "none of the folders that the endpoint names is there"}
	}
	f.all = slices.Clone(f.followed)
	if s.kind == connectors.KindTask {
		for _, d := range all {
			if p := place(s.kind, d.ID, d.title()); !slices.ContainsFunc(f.all, func(x folder) bool { return x.id == p.id }) {
				f.all = append(f.all, p)
			}
		}
	}
	return f, nil
}

func dirFields(k connectors.Kind) string {
	if k == connectors.KindAppointment {
		return query("$select", "id,name")
	}
	return query("$select", "id,displayName")
}

// maxDirs is how many containers of a sort are looked at.
const maxDirs = 1000

// dirs lists the containers of a kind.
func (s session) dirs(ctx context.Context) ([]dir, error) {
	path := s.d.user + collection(s.kind)
	if s.kind != connectors.KindTask {
		path += dirFields(s.kind) + "&$top=100"
	}
	var out []dir
	for len(out) < maxDirs {
		var p struct {
			Value []dir  `json:"value"`
			Next  string `json:"@odata.nextLink"`
		}
		if err := s.read(ctx, path, "", &p); err != nil {
			return nil, err
		}
		if p.Value == nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
		}
		for _, d := range p.Value {
			if !isID(d.ID) {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a folder"}
			}
			out = append(out, d)
		}
		if p.Next == "" {
			return out, nil
		}
		next, err := s.follow(p.Next)
		if err != nil || next == path {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "a listing without end"}
		}
		path = next
	}
	return out, nil
}

// named returns the name of a container as its user sees it, "" where only one
// is followed or it is not known.
func (f found) named(id string) string {
	for _, x := range f.all {
		if x.id == id {
			return x.name
		}
	}
	return ""
}
