package google

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// Name is what endpoints call this connector.
const Name = "google"

// Addresses of Google's services, for an endpoint's URL and Elsewhere.
const (
	CalendarURL = "https://www.googleapis.com/calendar/v3"
	PeopleURL   = "https://people.googleapis.com/v1"
	MailURL     = "https://gmail.googleapis.com/gmail/v1"
	TasksURL    = "https://tasks.googleapis.com/tasks/v1"
)

// OptCalendar is the endpoint's option for the id of the calendar, as in
// team@group.calendar.google.com; absent: the primary one.
const OptCalendar = "calendar"

// OptVisits is the endpoint's option for the id of a calendar all of whose events are
// visits; absent: there are none.
const OptVisits = "visits"

// OptContactGroup is the endpoint's option for the name of a group of contacts: only
// those in it are looked at, and new ones are put into it; absent: all contacts.
const OptContactGroup = "contact-group"

// OptTasks is the endpoint's option for the id of the list of tasks; absent: the
// user's first one.
const OptTasks = "tasks"

// Options for mails. OptMailLabel names the label that is looked at besides Inbox and
// Sent; absent: "SAP E-Mails". OptMailDays is how many days back the first reading
// goes; absent: 30; 0: to the beginning.
const (
	OptMailLabel = "mail-label"
	OptMailDays  = "mail-days"
)

// Plugin offers the connector to a Hub. It is for the mailbox side and has
// contacts, appointments, tasks and mails; these are read only.
func Plugin() connectors.Plugin {
	caps := connectors.Capabilities{Area: connectors.Mailbox, Kinds: map[connectors.Kind]connectors.Capability{
		connectors.KindContact: personCapability(), connectors.KindAppointment: eventCapability(), connectors.KindVisit: eventCapability(), connectors.KindMail: mailCapability(), connectors.KindTask: taskCapability()}}
	p, err := connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) { return open(s) })
	if err != nil {
		panic(err) // the arguments are constants
	}
	return p
}

// driver speaks to one account.
type driver struct {
	people   *url.URL
	calendar string // address of the calendar
	visits   string // address of that of visits, "" if there is none
	zones    *zone.Book
	mail     string // address of the mailbox
	letters  *mailOptions
	group    *group
	tasks    string // address of the list of tasks
}

var _ connectors.Driver = (*driver)(nil)

func open(s connectors.Settings) (*driver, error) {
	if s.URL == nil {
		return nil, fmt.Errorf("google: open: url: want %s, and %s for contacts elsewhere", CalendarURL, PeopleURL)
	}
	d := &driver{people: s.At(connectors.KindContact), zones: &zone.Book{}, letters: &mailOptions{label: "SAP E-Mails", days: 30}, group: &group{}}
	id, list, visits := "primary", "@default", ""
	for name, v := range s.Options {
		switch name {
		case OptCalendar:
			if v == "" || len(v) > 1024 || v == "." || v == ".." {
				return nil, fmt.Errorf("google: open: option %s: want the id of a calendar", name)
			}
			id = v
		case OptVisits:
			if v == "" || len(v) > 1024 || v == "." || v == ".." {
				return nil, fmt.Errorf("google: open: option %s: want the id of a calendar", name)
			}
			visits = v
		case OptContactGroup:
			if v == "" || len(v) > 1024 {
				return nil, fmt.Errorf("google: open: option %s: want the name of a group", name)
			}
			d.group.name = v
		case OptTasks:
			if v == "" || len(v) > 1024 || v == "." || v == ".." {
				return nil, fmt.Errorf("google: open: option %s: want the id of a list", name)
			}
			list = v
		case OptMailLabel:
			if len(v) > 225 { // "Labels: create"
				return nil, fmt.Errorf("google: open: option %s: want the name of a label", name)
			}
			d.letters.label = v
		case OptMailDays:
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || n > 36500 {
				return nil, fmt.Errorf("google: open: option %s: want a number of days", name)
			}
			d.letters.days = n
		default:
			return nil, fmt.Errorf("google: open: option %q: not known, want %s", name, strings.Join([]string{OptCalendar, OptVisits, OptContactGroup, OptTasks, OptMailLabel, OptMailDays}, ", "))
		}
	}
	d.tasks = strings.TrimSuffix(s.At(connectors.KindTask).String(), "/") + "/lists/" + url.PathEscape(list)
	d.mail = strings.TrimSuffix(s.At(connectors.KindMail).String(), "/")
	at := func(k connectors.Kind, id string) string {
		return strings.TrimSuffix(s.At(k).String(), "/") + "/calendars/" + url.PathEscape(id)
	}
	if d.calendar = at(connectors.KindAppointment, id); visits != "" {
		if d.visits = at(connectors.KindVisit, visits); visits == id {
			return nil, fmt.Errorf("google: open: option %s: appointments and visits want two calendars", OptVisits)
		}
	}
	return d, nil
}

// ofMe is whose mailbox the credential opens.
const ofMe = "/users/me"

// system is what a kind of records is kept by.
type system interface {
	changes(ctx context.Context, cursor string, limit int) (connectors.Page, error)
	get(ctx context.Context, ids []string) ([]connectors.Result, error)
	find(ctx context.Context, keys []string) (map[string][]connectors.Change, error)
	ids(ctx context.Context, after string, limit int) (connectors.IDs, error)
	create(ctx context.Context, d connectors.Draft) connectors.Written
	update(ctx context.Context, e connectors.Edit) connectors.Written
	remove(ctx context.Context, t connectors.Target) connectors.Written
}

func (d *driver) system(c connectors.Call, k connectors.Kind) (system, error) {
	switch k {
	case connectors.KindContact:
		return people{service{hc: c.Client(), base: strings.TrimSuffix(d.people.String(), "/")}, d.group}, nil
	case connectors.KindTask:
		return tasks{service{hc: c.Client(), base: d.tasks}, time.Now}, nil
	case connectors.KindMail:
		return mails{service{hc: c.Client(), base: d.mail + ofMe, user: ofMe}, d.letters}, nil
	}
	base := d.calendar
	if k == connectors.KindVisit {
		if base = d.visits; base == "" {
			return nil, &connectors.Error{Class: connectors.ErrUnsupported, Detail: "the endpoint names no calendar of visits"}
		}
	}
	return calendar{service{hc: c.Client(), base: base}, d.zones, k}, nil
}

// Changes implements connectors.Driver.
func (d *driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return connectors.Page{}, err
	}
	return sys.changes(ctx, cursor, limit)
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, err
	}
	return sys.get(ctx, ids)
}

// Find implements connectors.Driver.
func (d *driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, err
	}
	return sys.find(ctx, keys)
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return connectors.IDs{}, err
	}
	return sys.ids(ctx, after, limit)
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, err
	}
	return each(ctx, ds, sys.create)
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, err
	}
	return each(ctx, es, sys.update)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	sys, err := d.system(c, k)
	if err != nil {
		return nil, err
	}
	return each(ctx, ts, sys.remove)
}

// each writes one after the other.
func each[T any](ctx context.Context, in []T, write func(context.Context, T) connectors.Written) ([]connectors.Written, error) {
	out := make([]connectors.Written, 0, len(in))
	for _, x := range in {
		out = append(out, write(ctx, x))
	}
	return out, nil
}
