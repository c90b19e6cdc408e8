package ews

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// Name is what endpoints call this connector.
const Name = "ews"

// Options of an endpoint.
const (
	OptMailbox = "mailbox" // e-mail address of the mailbox to act as, by impersonation; absent: the credential's own
	OptAllow   = "allow"   // who may be impersonated: addresses and @domains, with commas between; needed with mailbox
	OptFolders = "folders" // whose mails are read: names of folders that every mailbox has, or ids, with commas between; absent: inbox, sentitems
)

// Plugin offers the connector to a Hub. It is for the mailbox side and has
// contacts, appointments, tasks, and mails to be read.
func Plugin() connectors.Plugin {
	caps := connectors.Capabilities{Area: connectors.Mailbox, Kinds: map[connectors.Kind]connectors.Capability{
		connectors.KindContact: contactCapability(), connectors.KindAppointment: eventCapability(), connectors.KindTask: taskCapability(), connectors.KindMail: mailCapability()}}
	p, err := connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) { return open(s) })
	if err != nil {
		panic(err) // the arguments are constants
	}
	return p
}

// driver speaks to one mailbox.
type driver struct {
	url     string
	mailbox string // "" for the credential's own
	folders []string
	zones   *zone.Book
	kept    affinity

	mu        sync.Mutex
	sent      string // id of the folder of sent mails
	sentKnown bool
}

var (
	_ connectors.Driver   = (*driver)(nil)
	_ connectors.Attacher = (*driver)(nil)
)

func open(s connectors.Settings) (*driver, error) {
	if s.URL == nil || s.URL.RawQuery != "" || !strings.HasSuffix(strings.ToLower(s.URL.Path), ".asmx") {
		return nil, fmt.Errorf("ews: open: url: want https://HOST/EWS/Exchange.asmx")
	}
	if online(s.URL) {
		return nil, fmt.Errorf("ews: open: url: this is Exchange Online, which is reached through connectors/msgraph")
	}
	d := &driver{url: s.URL.String(), zones: &zone.Book{}, folders: []string{"inbox", "sentitems"}}
	var allow []string
	for name, v := range s.Options {
		switch name {
		case OptMailbox:
			if i := strings.LastIndex(v, "@"); i <= 0 || i == len(v)-1 || len(v) > 320 || strings.ContainsAny(v, "\r\n\t <>,;\"") {
				return nil, fmt.Errorf("ews: open: option %s: want an e-mail address", name)
			}
			d.mailbox = v
		case OptAllow:
			for a := range strings.SplitSeq(v, ",") {
				allow = append(allow, strings.ToLower(strings.TrimSpace(a)))
			}
		case OptFolders:
			d.folders = nil
			for f := range strings.SplitSeq(v, ",") {
				if f = strings.TrimSpace(f); f == "" || len(f) > 512 || strings.ContainsFunc(f, func(c rune) bool { return c <= ' ' || c > '~' }) || slices.Contains(d.folders, f) || len(d.folders) == 50 {
					return nil, fmt.Errorf("ews: open: option %s: want names or ids of at most 50 folders, each once", OptFolders)
				}
				d.folders = append(d.folders, f)
			}
		default:
			return nil, fmt.Errorf("ews: open: option %q: not one of %s, %s, %s", name, OptMailbox, OptAllow, OptFolders)
		}
	}
	if m := strings.ToLower(d.mailbox); m != "" && !slices.Contains(allow, m) && !slices.Contains(allow, m[strings.LastIndex(m, "@"):]) {
		return nil, fmt.Errorf("ews: open: option %s: not among those that option %s lets be impersonated", OptMailbox, OptAllow)
	}
	return d, nil
}

// online reports whether a host is one of Microsoft's cloud.
func online(u *url.URL) bool {
	h := strings.ToLower(u.Hostname())
	for _, d := range []string{"office365.com", "outlook.com", "office.com", "outlook.cn", "office365.us", "microsoft.com"} {
		if h == d || strings.HasSuffix(h, "."+d) {
			return true
		}
	}
	return false
}

// shape is what differs between the kinds.
type shape struct {
	folder string   // distinguished id
	items  []string // elements of an item, the first of one that is made
	fields []property
	extra  string // properties that are read beside the fields
	body   string // the property that a head lacks, "" if there are no heads
	can    connectors.Capability
	read   func(*item, *zone.Book) (*connectors.Record, error)
}

func (s shape) item() string { return s.items[0] }

func shapeOf(k connectors.Kind) shape {
	switch k {
	case connectors.KindContact:
		return shape{"contacts", []string{"Contact"}, contactProperties(), contactExtra, "", contactCapability(), readContact}
	case connectors.KindTask:
		return shape{"tasks", []string{"Task"}, taskProperties(), taskExtra, "", taskCapability(), readTask}
	case connectors.KindMail:
		return shape{"inbox", mailItems(), nil, mailExtra(), `<t:FieldURI FieldURI="item:Body"/>`, mailCapability(), readMail}
	}
	return shape{"calendar", []string{"CalendarItem"}, eventProperties(), eventExtra, "", eventCapability(), readEvent}
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

// Find implements connectors.Driver.
func (d *driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	return d.session(c, k).find(ctx, keys)
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return d.session(c, k).ids(ctx, after, limit)
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	s := d.session(c, k)
	if !s.s.can.Create {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	return s.create(ctx, ds)
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	s := d.session(c, k)
	if !s.s.can.Update {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	return s.update(ctx, es)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	s := d.session(c, k)
	if !s.s.can.Delete {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported}
	}
	return s.remove(ctx, ts)
}
