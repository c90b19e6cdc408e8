package davtest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/emersion/go-webdav"
	"github.com/emersion/go-webdav/caldav"
	"github.com/emersion/go-webdav/carddav"
)

func href(base, name string) string { return text((&url.URL{Path: base + name}).EscapedPath()) }

// principal is who go-webdav's handlers ask about.
type principal struct{}

func (principal) CurrentUserPrincipal(ctx context.Context) (string, error) {
	u, _ := ctx.Value(userKey{}).(string)
	return "/" + u + "/", nil
}

var (
	errNotFound  = webdav.NewHTTPError(http.StatusNotFound, errors.New("no such object"))
	errForbidden = webdav.NewHTTPError(http.StatusForbidden, errors.New("one address book and one calendar"))
)

// entries returns the members of a collection, none if the path is of no one's.
func (s *Server) entries(path string) ([]entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.boxes[path]
	if b == nil {
		return nil, errNotFound
	}
	var out []entry
	for _, e := range b.list() {
		out = append(out, *e)
	}
	return out, nil
}

func (s *Server) entry(path string) (entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := strings.LastIndexByte(path, '/') + 1
	if b := s.boxes[path[:i]]; b != nil {
		if e := b.get(path[i:]); e != nil {
			return *e, nil
		}
	}
	return entry{}, errNotFound
}

// cards is the backend of go-webdav's CardDAV handler.
type cards struct {
	principal
	*Server
}

var _ carddav.Backend = cards{}

func (c cards) AddressBookHomeSetPath(ctx context.Context) (string, error) {
	p, err := c.CurrentUserPrincipal(ctx)
	return p + string(Contacts) + "/", err
}

func (c cards) ListAddressBooks(ctx context.Context) ([]carddav.AddressBook, error) {
	h, err := c.AddressBookHomeSetPath(ctx)
	return []carddav.AddressBook{{Path: h + "default/", Name: "Contacts", MaxResourceSize: MaxObject}}, err
}

func (c cards) GetAddressBook(ctx context.Context, path string) (*carddav.AddressBook, error) {
	bs, err := c.ListAddressBooks(ctx)
	if err != nil || bs[0].Path != path {
		return nil, errNotFound
	}
	return &bs[0], nil
}

func (cards) CreateAddressBook(context.Context, *carddav.AddressBook) error { return errForbidden }
func (cards) DeleteAddressBook(context.Context, string) error               { return errForbidden }

func addressObject(path string, e entry, parse bool) (carddav.AddressObject, error) {
	o := carddav.AddressObject{Path: path, ModTime: e.ModTime, ContentLength: int64(len(e.Data)), ETag: strings.Trim(e.ETag, `"`)}
	if !parse {
		return o, nil
	}
	var err error
	o.Card, err = vcard.NewDecoder(bytes.NewReader(e.Data)).Decode()
	return o, err
}

func (c cards) GetAddressObject(_ context.Context, path string, _ *carddav.AddressDataRequest) (*carddav.AddressObject, error) {
	e, err := c.entry(path)
	if err != nil {
		return nil, err
	}
	o, err := addressObject(path, e, true)
	return &o, err
}

func (c cards) ListAddressObjects(_ context.Context, path string, _ *carddav.AddressDataRequest) ([]carddav.AddressObject, error) {
	es, err := c.entries(path)
	var out []carddav.AddressObject
	for _, e := range es {
		o, _ := addressObject(path+e.Name, e, false)
		out = append(out, o)
	}
	return out, err
}

func (c cards) QueryAddressObjects(_ context.Context, path string, q *carddav.AddressBookQuery) ([]carddav.AddressObject, error) {
	es, err := c.entries(path)
	if err != nil {
		return nil, err
	}
	var out []carddav.AddressObject
	for _, e := range es {
		if o, err := addressObject(path+e.Name, e, true); err == nil {
			out = append(out, o)
		}
	}
	return carddav.Filter(q, out)
}

func (cards) PutAddressObject(context.Context, string, vcard.Card, *carddav.PutAddressObjectOptions) (*carddav.AddressObject, error) {
	return nil, errForbidden
}
func (cards) DeleteAddressObject(context.Context, string) error { return errForbidden }

// events is the backend of go-webdav's CalDAV handler.
type events struct {
	principal
	*Server
}

var _ caldav.Backend = events{}

func (c events) CalendarHomeSetPath(ctx context.Context) (string, error) {
	p, err := c.CurrentUserPrincipal(ctx)
	return p + string(Calendar) + "/", err
}

func (c events) ListCalendars(ctx context.Context) ([]caldav.Calendar, error) {
	h, err := c.CalendarHomeSetPath(ctx)
	return []caldav.Calendar{{Path: h + "default/", Name: "Calendar", MaxResourceSize: MaxObject, SupportedComponentSet: []string{"VEVENT"}}}, err
}

func (c events) GetCalendar(ctx context.Context, path string) (*caldav.Calendar, error) {
	cs, err := c.ListCalendars(ctx)
	if err != nil || cs[0].Path != path {
		return nil, errNotFound
	}
	return &cs[0], nil
}

func (events) CreateCalendar(context.Context, *caldav.Calendar) error { return errForbidden }

func calendarObject(path string, e entry, parse bool) (caldav.CalendarObject, error) {
	o := caldav.CalendarObject{Path: path, ModTime: e.ModTime, ContentLength: int64(len(e.Data)), ETag: strings.Trim(e.ETag, `"`)}
	if !parse {
		return o, nil
	}
	var err error
	o.Data, err = ical.NewDecoder(bytes.NewReader(e.Data)).Decode()
	return o, err
}

func (c events) GetCalendarObject(_ context.Context, path string, _ *caldav.CalendarCompRequest) (*caldav.CalendarObject, error) {
	e, err := c.entry(path)
	if err != nil {
		return nil, err
	}
	o, err := calendarObject(path, e, true)
	return &o, err
}

func (c events) ListCalendarObjects(_ context.Context, path string, _ *caldav.CalendarCompRequest) ([]caldav.CalendarObject, error) {
	es, err := c.entries(path)
	var out []caldav.CalendarObject
	for _, e := range es {
		o, _ := calendarObject(path+e.Name, e, false)
		out = append(out, o)
	}
	return out, err
}

func (c events) QueryCalendarObjects(_ context.Context, path string, q *caldav.CalendarQuery) ([]caldav.CalendarObject, error) {
	es, err := c.entries(path)
	if err != nil {
		return nil, err
	}
	var out []caldav.CalendarObject
	for _, e := range es {
		if o, err := calendarObject(path+e.Name, e, true); err == nil {
			out = append(out, o)
		}
	}
	return caldav.Filter(q, out)
}

func (events) PutCalendarObject(context.Context, string, *ical.Calendar, *caldav.PutCalendarObjectOptions) (*caldav.CalendarObject, error) {
	return nil, errForbidden
}
func (events) DeleteCalendarObject(context.Context, string) error { return errForbidden }
