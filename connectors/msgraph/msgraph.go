package msgraph

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// Name is what endpoints call this connector.
const Name = "msgraph"

// Options of an endpoint. Those that name folders list one or several, separated
// by commas, each by its id, by the service's own name of it or by the name that
// its user sees; new records are made in the first that is there.
const (
	OptContacts  = "contact_folders" // absent: "contacts", the one that everybody has
	OptCalendars = "calendars"       // absent: "calendar", the one that everybody has
	OptTasks     = "task_lists"      // absent: "defaultList", the one that everybody has
	OptMails     = "mail_folders"    // absent: "inbox, sentitems"
	OptPast      = "past_days"       // how far back appointments are followed; absent: 30
	OptAhead     = "ahead_days"      // how far ahead; absent: 690. Both together at most 730
)

const (
	defaultPast  = 30
	defaultAhead = 690
	maxRange     = 730 // days of one calendar view
	maxFollowed  = 20  // folders of one kind: their histories share a cursor
)

// Plugin offers the connector to a Hub. It is for the mailbox side and has
// contacts, appointments, tasks and mails, which are read only.
func Plugin() connectors.Plugin { return plugin(time.Now) }

func plugin(now func() time.Time, only ...connectors.Kind) connectors.Plugin {
	caps := connectors.Capabilities{Area: connectors.Mailbox, Kinds: map[connectors.Kind]connectors.Capability{}}
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment, connectors.KindTask, connectors.KindMail} {
		if len(only) == 0 || slices.Contains(only, k) {
			caps.Kinds[k] = capability(k)
		}
	}
	p, err := connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) { return open(s, now) })
	if err != nil {
		panic(err) // the arguments are constants
	}
	return p
}

func capability(k connectors.Kind) connectors.Capability {
	switch k {
	case connectors.KindContact:
		return contactCapability()
	case connectors.KindAppointment:
		return eventCapability()
	case connectors.KindTask:
		return taskCapability()
	}
	return mailCapability()
}

// driver speaks to one mailbox.
type driver struct {
	root        *url.URL // of the service, without a slash at the end
	user        string   // path of the mailbox below it, as in /users/ana@acme.example
	follow      map[connectors.Kind][]string
	past, ahead int // days
	now         func() time.Time
	zones       *zone.Book
	folders     *folders
	lanes       chan struct{} // requests under way
}

var _ connectors.Driver = (*driver)(nil)

// maxLanes is how many requests Graph serves at a time for one application and
// mailbox ("Outlook service limits").
const maxLanes = 4

func open(s connectors.Settings, now func() time.Time) (*driver, error) {
	const want = "want https://HOST/v1.0/users/ADDRESS or https://HOST/v1.0/me"
	if s.URL == nil {
		return nil, fmt.Errorf("msgraph: open: url: %s", want)
	}
	root, user, ok := strings.Cut(strings.TrimSuffix(s.URL.EscapedPath(), "/"), "/v1.0/")
	parts := strings.Split(user, "/")
	if !ok || s.URL.RawQuery != "" || !(user == "me" || len(parts) == 2 && parts[0] == "users" && parts[1] != "") {
		return nil, fmt.Errorf("msgraph: open: url: %s", want)
	}
	d := &driver{user: "/" + user, past: defaultPast, ahead: defaultAhead, now: now, zones: &zone.Book{},
		folders: &folders{known: map[connectors.Kind]found{}}, lanes: make(chan struct{}, maxLanes),
		root: &url.URL{Scheme: s.URL.Scheme, Host: s.URL.Host, Path: root + "/v1.0"},
		follow: map[connectors.Kind][]string{connectors.KindContact: {defaultContacts}, connectors.KindAppointment: {defaultCalendar},
			connectors.KindTask: {defaultList}, connectors.KindMail: {"inbox", sentItems}}}
	kinds := map[string]connectors.Kind{OptContacts: connectors.KindContact, OptCalendars: connectors.KindAppointment, OptTasks: connectors.KindTask, OptMails: connectors.KindMail}
	for name, v := range s.Options {
		switch name {
		case OptContacts, OptCalendars, OptTasks, OptMails:
			var list []string
			for f := range strings.SplitSeq(v, ",") {
				if f = connectors.NormalizeText(connectors.FieldName, f); f == "" || len(f) > connectors.MaxID || strings.ContainsAny(f, "/\\?#%") {
					return nil, fmt.Errorf("msgraph: open: option %s: want ids or names of folders, separated by commas", name)
				}
				list = append(list, f)
			}
			if len(list) > maxFollowed {
				return nil, fmt.Errorf("msgraph: open: option %s: want at most %d folders", name, maxFollowed)
			}
			d.follow[kinds[name]] = list
		case OptPast, OptAhead:
			n, err := strconv.Atoi(v)
			if err != nil || n < 0 || n > maxRange {
				return nil, fmt.Errorf("msgraph: open: option %s: want a number of days from 0 to %d", name, maxRange)
			}
			if name == OptPast {
				d.past = n
			} else {
				d.ahead = n
			}
		default:
			return nil, fmt.Errorf("msgraph: open: option %q: not one of %s", name, strings.Join([]string{OptContacts, OptCalendars, OptTasks, OptMails, OptPast, OptAhead}, ", "))
		}
	}
	if d.past+d.ahead > maxRange || d.past+d.ahead == 0 {
		return nil, fmt.Errorf("msgraph: open: options %s and %s: want 1 to %d days together", OptPast, OptAhead, maxRange)
	}
	return d, nil
}

// owner is the address of the mailbox, "" if the endpoint does not say it.
func (d *driver) owner() string {
	_, a, _ := strings.Cut(d.user, "/users/")
	if a, err := url.PathUnescape(a); err == nil && strings.Contains(a, "@") {
		return a
	}
	return ""
}

// isID reports whether a text can be an id of Outlook's: base64 for URLs. A
// shorter or other one could name a function of the service instead of an item.
func isID(s string) bool {
	return len(s) >= 16 && len(s) <= connectors.MaxID && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '=')
	}) < 0
}

// shape is what differs between the kinds.
type shape struct {
	fields string // to select when reading; "" for everything
	expand string
	page   int // most items of a page of changes
	can    connectors.Capability
	write  func(r *connectors.Record, fields []connectors.Field, now *item) (map[string]any, error)
}

func shapeOf(k connectors.Kind) shape {
	switch k {
	case connectors.KindContact:
		return shape{contactSelect, expand(keyProperty, faxProperty), 200, contactCapability(), writeContact}
	case connectors.KindAppointment: // its changes bring their bodies
		return shape{eventSelect, expand(keyProperty), 100, eventCapability(), writeEvent}
	case connectors.KindTask:
		return shape{"", "extensions($filter=id eq '" + keyID + "')", 200, taskCapability(), writeTask}
	}
	return shape{mailSelect, expand(classProperty), 200, mailCapability(), nil}
}

func (d *driver) session(c connectors.Call, k connectors.Kind) session {
	return session{d, shapeOf(k), k, c.Client()}
}

// Changes implements connectors.Driver.
func (d *driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	return d.session(c, k).changes(ctx, cursor, limit)
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	return d.session(c, k).get(ctx, ids)
}

// Find implements connectors.Driver. Mails are found by their message ids.
func (d *driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	return d.session(c, k).find(ctx, keys)
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return d.session(c, k).ids(ctx, after, limit)
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	return d.session(c, k).create(ctx, ds)
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	return d.session(c, k).update(ctx, es)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return d.session(c, k).remove(ctx, ts)
}
