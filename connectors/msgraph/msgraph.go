package msgraph

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
const Name = "msgraph"

// Options of an endpoint.
const (
	OptFolder = "contact_folder" // id of the contact folder; absent: the default one
	OptPast   = "past_days"      // how far back appointments are followed; absent: 30
	OptAhead  = "ahead_days"     // how far ahead; absent: 690. Both together at most 730
)

const (
	defaultPast  = 30
	defaultAhead = 690
	maxRange     = 730 // days of one calendar view
)

// Plugin offers the connector to a Hub. It is for the mailbox side and has
// contacts and appointments.
func Plugin() connectors.Plugin { return plugin(time.Now) }

func plugin(now func() time.Time) connectors.Plugin {
	caps := connectors.Capabilities{Area: connectors.Mailbox, Kinds: map[connectors.Kind]connectors.Capability{
		connectors.KindContact: contactCapability(), connectors.KindAppointment: eventCapability()}}
	p, err := connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) { return open(s, now) })
	if err != nil {
		panic(err) // the arguments are constants
	}
	return p
}

// driver speaks to one mailbox.
type driver struct {
	root        *url.URL // of the service, without a slash at the end
	user        string   // path of the mailbox below it, as in /users/ana@acme.example
	folder      string
	past, ahead int // days
	now         func() time.Time
	zones       *zone.Book
}

var _ connectors.Driver = (*driver)(nil)

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
	d := &driver{user: "/" + user, folder: "contacts", past: defaultPast, ahead: defaultAhead, now: now, zones: &zone.Book{},
		root: &url.URL{Scheme: s.URL.Scheme, Host: s.URL.Host, Path: root + "/v1.0"}}
	for name, v := range s.Options {
		switch name {
		case OptFolder:
			if !isID(v) {
				return nil, fmt.Errorf("msgraph: open: option %s: want the id of a contact folder", name)
			}
			d.folder = v
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
			return nil, fmt.Errorf("msgraph: open: option %q: not one of %s, %s, %s", name, OptFolder, OptPast, OptAhead)
		}
	}
	if d.past+d.ahead > maxRange || d.past+d.ahead == 0 {
		return nil, fmt.Errorf("msgraph: open: options %s and %s: want 1 to %d days together", OptPast, OptAhead, maxRange)
	}
	return d, nil
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
	list   string // path below the mailbox that lists and takes new items
	item   string // path below the mailbox before an id
	fields string // to select when reading
	can    connectors.Capability
	read   func([]byte) (*connectors.Record, error)
	write  func(r *connectors.Record, fields []connectors.Field, now *item) (map[string]any, error)
}

func (d *driver) shape(k connectors.Kind) shape {
	if k == connectors.KindContact {
		return shape{"/contactFolders/" + d.folder + "/contacts", "/contacts/", contactSelect, contactCapability(), readContact, writeContact}
	}
	return shape{"/events", "/events/", eventSelect, eventCapability(),
		func(b []byte) (*connectors.Record, error) { return readEvent(b, d.zones) }, writeEvent}
}

// Changes implements connectors.Driver.
func (d *driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	return session{d, d.shape(k), k, c.Client()}.changes(ctx, cursor, limit)
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	return session{d, d.shape(k), k, c.Client()}.get(ctx, ids)
}

// Find implements connectors.Driver.
func (d *driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	return session{d, d.shape(k), k, c.Client()}.find(ctx, keys)
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return session{d, d.shape(k), k, c.Client()}.ids(ctx, after, limit)
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	return session{d, d.shape(k), k, c.Client()}.create(ctx, ds)
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	return session{d, d.shape(k), k, c.Client()}.update(ctx, es)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return session{d, d.shape(k), k, c.Client()}.remove(ctx, ts)
}
