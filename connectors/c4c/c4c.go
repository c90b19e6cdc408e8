package c4c

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Name is what endpoints call this connector.
const Name = "c4c"

// OptionOverlap is the endpoint's option for how far behind the newest change
// that was seen a round looks again, as a Go duration such as "90s": the
// longest time between the moment a change is stamped and the moment others can
// read it. Absent: five minutes. At least zero, at most one day.
const OptionOverlap = "overlap"

const defaultOverlap = 5 * time.Minute

// OptionVisitsOf is the endpoint's option for whose calendar a visit stands in:
// "organizer", as if absent, or "owner". It decides which of the two a visit's
// organizer is on the other side.
const OptionVisitsOf = "visits_of"

// Plugin offers the connector to a Hub. It is for the CRM side and has
// accounts, contacts, individual customers, leads, appointments, visits, tasks,
// mails and phone calls.
func Plugin() connectors.Plugin { return plugin(time.Now) }

func plugin(now func() time.Time) connectors.Plugin {
	caps := connectors.Capabilities{Area: connectors.CRM, Kinds: map[connectors.Kind]connectors.Capability{}}
	for k, s := range shapes(false) {
		caps.Kinds[k] = s.capability()
	}
	p, err := connectors.NewPlugin(Name, caps, func(s connectors.Settings) (connectors.Driver, error) { return open(s, now) })
	if err != nil {
		panic(err) // the arguments are constants
	}
	return p
}

// driver speaks to one tenant with one credential. It keeps no credential: what
// it remembers between calls is the CSRF token and the cookies that go with it,
// which are worth nothing without one.
type driver struct {
	base    *url.URL // ends in a slash
	overlap time.Duration
	now     func() time.Time
	passes  passes
	shapes  map[connectors.Kind]shape
	numbers directory
}

var _ connectors.Driver = (*driver)(nil)

func open(s connectors.Settings, now func() time.Time) (*driver, error) {
	if s.URL == nil {
		return nil, fmt.Errorf("c4c: open: url: want the address of the OData service")
	}
	base := *s.URL
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
		if base.RawPath != "" {
			base.RawPath += "/"
		}
	}
	d := &driver{base: &base, overlap: defaultOverlap, now: now}
	owner := false
	for name, v := range s.Options {
		switch name {
		case OptionOverlap:
			o, err := time.ParseDuration(v)
			if err != nil || o < 0 || o > 24*time.Hour {
				return nil, fmt.Errorf("c4c: open: option %s: want a duration from 0s to 24h", name)
			}
			d.overlap = o
		case OptionVisitsOf:
			if v != "owner" && v != "organizer" {
				return nil, fmt.Errorf("c4c: open: option %s: want organizer or owner", name)
			}
			owner = v == "owner"
		default:
			return nil, fmt.Errorf("c4c: open: option %q: not known, want %s or %s", name, OptionOverlap, OptionVisitsOf)
		}
	}
	d.shapes = shapes(owner)
	return d, nil
}

func (d *driver) session(hc *http.Client) session { return session{d, hc} }

func (s session) shape(k connectors.Kind) (shape, error) {
	if sh, ok := s.d.shapes[k]; ok {
		return sh, nil
	}
	return shape{}, &connectors.Error{Class: connectors.ErrUnsupported, Kind: k}
}

// Changes implements connectors.Driver.
func (d *driver) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	return d.session(c.Client()).changes(ctx, k, cursor, limit)
}

// Get implements connectors.Driver.
func (d *driver) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	return d.session(c.Client()).records(ctx, k, ids)
}

// Find implements connectors.Driver.
func (d *driver) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	return d.session(c.Client()).find(ctx, k, keys)
}

// List implements connectors.Driver.
func (d *driver) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return d.session(c.Client()).list(ctx, k, after, limit)
}

// Create implements connectors.Driver.
func (d *driver) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	return d.session(c.Client()).create(ctx, k, ds)
}

// Update implements connectors.Driver.
func (d *driver) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	return d.session(c.Client()).update(ctx, k, es)
}

// Delete implements connectors.Driver.
func (d *driver) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return d.session(c.Client()).remove(ctx, k, ts)
}
