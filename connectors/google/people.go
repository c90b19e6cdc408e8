package google

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// propagation is how long a created contact may be missing in listings: "several
// minutes", says the reference of people.connections.list.
const propagation = 5 * time.Minute

func personCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: 50, Lag: propagation, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range connectors.Fields(connectors.KindContact) {
		c.Fields[f] = connectors.Limit{}
	}
	for _, f := range []connectors.Field{connectors.FieldSensitivity, connectors.FieldCategories} { // not mapped
		delete(c.Fields, f)
	}
	return c
}

// people is the People API, v1.
type people struct {
	service
	group *group
}

const (
	personFields = "addresses,biographies,birthdays,clientData,emailAddresses,metadata,names,nicknames,organizations,phoneNumbers,urls"
	keyData      = "lockkeeperKey"
)

// person is a contact as Google writes it (resource "Person"). What is in its
// lists is kept as it came, so that an update loses nothing that is not mapped.
type person struct {
	Name          string       `json:"resourceName,omitempty"`
	Metadata      *metadata    `json:"metadata,omitempty"`
	Names         []entry      `json:"names,omitempty"`
	Nicknames     []entry      `json:"nicknames,omitempty"`
	Organizations []entry      `json:"organizations,omitempty"`
	Emails        []entry      `json:"emailAddresses,omitempty"`
	Phones        []entry      `json:"phoneNumbers,omitempty"`
	Addresses     []entry      `json:"addresses,omitempty"`
	Birthdays     []birthday   `json:"birthdays,omitempty"`
	URLs          []entry      `json:"urls,omitempty"`
	Biographies   []entry      `json:"biographies,omitempty"`
	ClientData    []clientData `json:"clientData,omitempty"`
	Memberships   []entry      `json:"memberships,omitempty"`
}

// entry is one of a list: a name, a number, an address.
type entry map[string]any

func (e entry) text(key string) string { s, _ := e[key].(string); return s }

// set gives a property its value. What the service makes of the others, as a
// formatted address, it makes anew.
func (e entry) set(key, v string, made ...string) {
	if e.text(key) == v {
		return
	}
	for _, m := range made {
		delete(e, m)
	}
	if v == "" {
		delete(e, key)
		return
	}
	e[key] = v
}

// says reports whether an entry says anything under the keys.
func (e entry) says(keys ...string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return e.text(k) != "" })
}

type metadata struct {
	Sources []source `json:"sources,omitempty"`
	Deleted bool     `json:"deleted,omitempty"`
}

type source struct {
	Type    string `json:"type,omitempty"`
	ID      string `json:"id,omitempty"`
	ETag    string `json:"etag,omitempty"`
	Updated string `json:"updateTime,omitempty"`
}

type birthday struct {
	Date *date `json:"date,omitempty"`
}

type date struct {
	Year  int `json:"year,omitempty"`
	Month int `json:"month,omitempty"`
	Day   int `json:"day,omitempty"`
}

type clientData struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// id is the id of a person: the resource name without its collection.
func (p *person) id() string { return strings.TrimPrefix(p.Name, "people/") }

func isPersonID(s string) bool {
	return len(s) > 1 && s[0] == 'c' && word(s[1:], "0123456789")
}

// contact is what the address book itself says of a person. The etag of the whole
// person changes with what Google knows of him elsewhere.
func (p *person) contact() (source, bool) {
	if p.Metadata != nil {
		for _, s := range p.Metadata.Sources {
			if s.Type == "CONTACT" && s.ETag != "" {
				return s, true
			}
		}
	}
	return source{}, false
}

func (s source) modified() time.Time {
	t, err := time.Parse(time.RFC3339, s.Updated)
	if err != nil {
		return time.Time{}
	}
	return t
}

type connections struct {
	Connections []person `json:"connections"`
	Page        string   `json:"nextPageToken"`
	Sync        string   `json:"nextSyncToken"`
}

func (g people) changes(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	t, err := readToken(cursor)
	if err != nil {
		return connectors.Page{}, err
	}
	in, err := g.in(ctx)
	if err != nil {
		return connectors.Page{}, err
	}
	q := url.Values{"personFields": {g.fields(personFields)}, "pageSize": {strconv.Itoa(min(limit, 1000))}}
	if t.Sync != "" {
		q.Set("syncToken", t.Sync)
	}
	if t.Page != "" {
		q.Set("pageToken", t.Page)
	}
	p, err := g.page(ctx, q)
	if err != nil {
		return connectors.Page{}, err
	}
	out := connectors.Page{}
	if out.Cursor, out.More, err = t.next(p.Page, p.Sync); err != nil {
		return connectors.Page{}, err
	}
	for i := range p.Connections {
		v := &p.Connections[i]
		s, ok := v.contact()
		switch {
		case v.id() == "":
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "person without a name"}
		case v.Metadata != nil && v.Metadata.Deleted:
			out.Changes = append(out.Changes, connectors.Change{ID: v.id(), Gone: true})
		case !ok:
			return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "person without a source"}
		case !v.member(in): // whoever leaves the group is not gone
		default:
			out.Changes = append(out.Changes, connectors.Change{ID: v.id(), Rev: s.ETag, Modified: s.modified(), Record: g.filed(v)})
		}
	}
	return out, nil
}

// maxGet is how many people one request reads ("people.getBatchGet").
const maxGet = 200

func (g people) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	found, errs, err := g.persons(ctx, ids)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if out[i].Err = errs[i]; errs[i] == nil {
			out[i].Record = g.filed(found[i])
		}
	}
	return out, nil
}

// persons reads people by id, each with its own error.
func (g people) persons(ctx context.Context, ids []string) ([]*person, []error, error) {
	found, errs := make([]*person, len(ids)), make([]error, len(ids))
	for i, id := range ids {
		errs[i] = &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	var at []int
	for i, id := range ids {
		if isPersonID(id) {
			at = append(at, i)
		}
	}
	for chunk := range slices.Chunk(at, maxGet) {
		q := url.Values{"personFields": {g.fields(personFields)}, "sources": {"READ_SOURCE_TYPE_CONTACT"}}
		for _, i := range chunk {
			q.Add("resourceNames", "people/"+ids[i])
		}
		var p struct {
			Responses []struct {
				Requested string  `json:"requestedResourceName"`
				Status    int     `json:"httpStatusCode"`
				Person    *person `json:"person"`
			} `json:"responses"`
		}
		if err := g.do(ctx, http.MethodGet, "/people:batchGet", q, "", nil, &p); err != nil {
			return nil, nil, err
		}
		if len(p.Responses) == 0 {
			return nil, nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "no answer for anybody"}
		}
		for _, r := range p.Responses {
			i := slices.Index(ids, strings.TrimPrefix(r.Requested, "people/"))
			if i < 0 {
				return nil, nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "another person than asked for"}
			}
			switch {
			case r.Person == nil || r.Status == http.StatusNotFound || r.Person.Metadata != nil && r.Person.Metadata.Deleted:
			case r.Status != 0 && r.Status != http.StatusOK:
				errs[i] = &connectors.Error{Class: connectors.ErrUnavailable, ID: ids[i], Status: r.Status}
			default:
				if _, ok := r.Person.contact(); !ok || r.Person.id() != ids[i] {
					errs[i] = &connectors.Error{Class: connectors.ErrMalformed, ID: ids[i], Detail: "person without a source"}
					continue
				}
				found[i], errs[i] = r.Person, nil
			}
		}
	}
	return found, errs, nil
}

// find reads the whole address book: there is no search by client data.
func (g people) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	out := map[string][]connectors.Change{}
	err := g.all(ctx, "clientData,metadata", func(v *person) {
		if k := v.key(); k != "" && slices.Contains(keys, k) {
			s, _ := v.contact()
			out[k] = append(out[k], connectors.Change{ID: v.id(), Rev: s.ETag, Modified: s.modified()})
		}
	})
	return out, err
}

// maxPages ends a listing that has no end.
const maxPages = 200

// page reads one page of the address book. A sync token is asked for always: an
// empty address book has nothing else by which its listing can be told from no
// listing at all.
func (g people) page(ctx context.Context, q url.Values) (connections, error) {
	q.Set("sources", "READ_SOURCE_TYPE_CONTACT")
	q.Set("requestSyncToken", "true")
	var p connections
	err := g.do(ctx, http.MethodGet, "/people/me/connections", q, "", nil, &p)
	if err == nil && p.Page == "" && p.Sync == "" {
		err = &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a listing"}
	}
	return p, err
}

func (g people) all(ctx context.Context, fields string, each func(*person)) error {
	q := url.Values{"personFields": {fields}, "pageSize": {"1000"}}
	for range maxPages {
		p, err := g.page(ctx, q)
		if err != nil {
			return err
		}
		for i := range p.Connections {
			each(&p.Connections[i])
		}
		if p.Page == "" {
			return nil
		}
		q.Set("pageToken", p.Page)
	}
	return &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing without end"}
}

func (g people) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	in, err := g.in(ctx)
	if err != nil {
		return connectors.IDs{}, err
	}
	q := url.Values{"personFields": {g.fields("metadata")}, "pageSize": {strconv.Itoa(min(limit, 1000))}}
	if after != "" {
		q.Set("pageToken", after)
	}
	p, err := g.page(ctx, q)
	if err != nil {
		return connectors.IDs{}, err
	}
	out := connectors.IDs{Next: p.Page}
	for i := range p.Connections {
		if p.Connections[i].member(in) {
			out.IDs = append(out.IDs, p.Connections[i].id())
		}
	}
	return out, nil
}

func (g people) create(ctx context.Context, d connectors.Draft) connectors.Written {
	if err := personCapability().Fit(d.Record, connectors.Fields(connectors.KindContact)); err != nil {
		return connectors.Written{Err: err}
	}
	var p person
	if _, err := p.apply(d.Record, connectors.Fields(connectors.KindContact)); err != nil {
		return connectors.Written{Err: err}
	}
	in, err := g.in(ctx)
	if err != nil {
		return connectors.Written{Err: remote.Unsent(err)}
	}
	p.Memberships = joined(in)
	p.ClientData = []clientData{{keyData, d.Key}}
	return g.send(ctx, http.MethodPost, "/people:createContact", url.Values{"personFields": {personFields}}, p)
}

func (g people) send(ctx context.Context, method, path string, q url.Values, p person) connectors.Written {
	var v person
	if err := g.do(ctx, method, path, q, "", p, &v); err != nil {
		return connectors.Written{ID: p.id(), Err: named(err, p.id())}
	}
	s, ok := v.contact()
	if !ok || v.id() == "" {
		return connectors.Written{ID: p.id(), Err: &connectors.Error{Class: connectors.ErrUnknownOutcome, ID: p.id(), Detail: "answer to a write"}}
	}
	return connectors.Written{ID: v.id(), Rev: s.ETag, Modified: s.modified()}
}

// filed is a person with the group as the folder.
func (g people) filed(p *person) *connectors.Record {
	r := p.record()
	if g.group != nil && g.group.id != "" && p.member(g.group.id) {
		r.Marks = &connectors.Marks{Folder: g.group.name}
	}
	return r
}

// current reads one person as it was last seen, or says that it changed.
func (g people) current(ctx context.Context, id, rev string) (*person, error) {
	found, errs, err := g.persons(ctx, []string{id})
	if err == nil {
		err = errs[0]
	}
	if err != nil {
		return nil, remote.Unsent(err)
	}
	if s, _ := found[0].contact(); s.ETag != rev {
		return nil, &connectors.Error{Class: connectors.ErrPrecondition, ID: id}
	}
	return found[0], nil
}

func (g people) update(ctx context.Context, e connectors.Edit) connectors.Written {
	if err := writable(personCapability(), e); err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	// A list is replaced as a whole, so that what is in it is read first.
	p, err := g.current(ctx, e.ID, e.Rev)
	if err != nil {
		return connectors.Written{ID: e.ID, Err: err}
	}
	changed, err := p.apply(e.Record, e.Fields)
	if err != nil {
		return connectors.Written{ID: e.ID, Err: named(err, e.ID)}
	}
	s, _ := p.contact()
	p.Metadata = &metadata{Sources: []source{{Type: s.Type, ID: s.ID, ETag: e.Rev}}}
	return g.send(ctx, http.MethodPatch, "/people/"+e.ID+":updateContact", url.Values{"updatePersonFields": {strings.Join(changed, ",")}, "personFields": {personFields}}, *p)
}

func (g people) remove(ctx context.Context, t connectors.Target) connectors.Written {
	w := connectors.Written{ID: t.ID}
	// Deleting is not conditional here; what changed meanwhile is left alone.
	if _, err := g.current(ctx, t.ID, t.Rev); err != nil {
		if !errors.Is(err, connectors.ErrNotFound) {
			w.Err = err
		}
		return w
	}
	err := g.do(ctx, http.MethodDelete, "/people/"+t.ID+":deleteContact", nil, "", nil, nil)
	if err != nil && !errors.Is(err, connectors.ErrNotFound) {
		w.Err = named(err, t.ID)
	}
	return w
}

func (p *person) key() string {
	for _, d := range p.ClientData {
		if d.Key == keyData {
			return d.Value
		}
	}
	return ""
}

func emailFields() []connectors.Field {
	return []connectors.Field{connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3}
}

// record reads a person.
func (p *person) record() *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	s, _ := p.contact()
	r.ID, r.Rev, r.Modified, r.Key = p.id(), s.ETag, s.modified(), p.key()
	for _, f := range connectors.Fields(connectors.KindContact) {
		if at := placeOf(f); at.list != "" {
			if e := p.entry(at, false); e != nil {
				r.SetText(f, e.text(at.key))
			}
		}
	}
	for i, f := range emailFields() {
		if i < len(p.Emails) {
			r.SetText(f, p.Emails[i].text("value"))
		}
	}
	if len(p.Birthdays) > 0 && p.Birthdays[0].Date != nil {
		if d := p.Birthdays[0].Date; d.Month > 0 && d.Day > 0 {
			y := d.Year
			if y == 0 {
				y = 1604 // a birthday without its year
			}
			r.SetText(connectors.FieldBirthday, fmt.Sprintf("%04d-%02d-%02d", y, d.Month, d.Day))
		}
	}
	if e := p.entry(placeOf(connectors.FieldNote), false); e != nil && e.text("contentType") == "TEXT_HTML" {
		r.SetText(connectors.FieldNote, "") // not shown as if it were text
	}
	return r
}

// place is where a field stands in a person.
type place struct {
	list string
	key  string
	kind string   // type of the entry; "" for the first one
	made []string // what the service makes of the entry
}

// placeOf tells where a field stands, with an empty list for one that is not a text
// of an entry.
func placeOf(f connectors.Field) place {
	name := func(key string) place {
		return place{list: "names", key: key, made: []string{"unstructuredName", "displayName", "displayNameLastFirst"}}
	}
	work := func(key string) place {
		return place{"addresses", key, "work", []string{"formattedValue", "countryCode"}}
	}
	phone := func(kind string) place { return place{"phoneNumbers", "value", kind, []string{"canonicalForm"}} }
	switch f {
	case connectors.FieldPrefix:
		return name("honorificPrefix")
	case connectors.FieldGivenName:
		return name("givenName")
	case connectors.FieldMiddleName:
		return name("middleName")
	case connectors.FieldFamilyName:
		return name("familyName")
	case connectors.FieldSuffix:
		return name("honorificSuffix")
	case connectors.FieldNickname:
		return place{list: "nicknames", key: "value"}
	case connectors.FieldCompany:
		return place{list: "organizations", key: "name"}
	case connectors.FieldDepartment:
		return place{list: "organizations", key: "department"}
	case connectors.FieldJobTitle:
		return place{list: "organizations", key: "title"}
	case connectors.FieldPhone:
		return phone("work")
	case connectors.FieldMobile:
		return phone("mobile")
	case connectors.FieldHomePhone:
		return phone("home")
	case connectors.FieldFax:
		return phone("workFax")
	case connectors.FieldStreet:
		return work("streetAddress")
	case connectors.FieldCity:
		return work("city")
	case connectors.FieldRegion:
		return work("region")
	case connectors.FieldPostalCode:
		return work("postalCode")
	case connectors.FieldCountry:
		return work("country")
	case connectors.FieldWebsite:
		return place{list: "urls", key: "value"}
	case connectors.FieldNote:
		return place{list: "biographies", key: "value"}
	}
	return place{}
}

func (p *person) list(name string) *[]entry {
	switch name {
	case "names":
		return &p.Names
	case "nicknames":
		return &p.Nicknames
	case "organizations":
		return &p.Organizations
	case "phoneNumbers":
		return &p.Phones
	case "addresses":
		return &p.Addresses
	case "urls":
		return &p.URLs
	}
	return &p.Biographies
}

// entry is the entry in which a field stands, made if there is none and it should be.
func (p *person) entry(at place, make bool) entry {
	l := p.list(at.list)
	for _, e := range *l {
		if at.kind == "" || e.text("type") == at.kind {
			return e
		}
	}
	if !make {
		return nil
	}
	e := entry{}
	if at.kind != "" {
		e["type"] = at.kind
	}
	*l = append(*l, e)
	return e
}

// apply gives fields their values and names the lists that changed. What a list
// holds beyond what is mapped stays in it.
func (p *person) apply(r *connectors.Record, fields []connectors.Field) ([]string, error) {
	var changed []string
	touch := func(list string) {
		if !slices.Contains(changed, list) {
			changed = append(changed, list)
		}
	}
	for _, f := range fields {
		v := r.Text(f)
		switch f {
		case connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3:
			touch("emailAddresses")
		case connectors.FieldBirthday:
			touch("birthdays")
			p.Birthdays = nil
			if v != "" {
				t, err := time.Parse(time.DateOnly, v)
				if err != nil {
					return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: f, Detail: "not a date"}
				}
				d := &date{t.Year(), int(t.Month()), t.Day()}
				if d.Year == 1604 {
					d.Year = 0
				}
				p.Birthdays = []birthday{{d}}
			}
		default:
			at := placeOf(f)
			if at.list == "" {
				continue
			}
			touch(at.list)
			e := p.entry(at, true)
			e.set(at.key, v, at.made...)
			if f == connectors.FieldNote {
				e["contentType"] = "TEXT_PLAIN"
			}
		}
	}
	if slices.Contains(changed, "emailAddresses") {
		if err := p.emails(r, fields); err != nil {
			return nil, err
		}
	}
	p.tidy()
	return changed, nil
}

// emails makes the list of e-mail addresses. It has no gaps: a second address
// without a first would become the first, and is refused.
func (p *person) emails(r *connectors.Record, fields []connectors.Field) error {
	list := p.Emails
	for len(list) < len(emailFields()) {
		list = append(list, entry{})
	}
	for i, f := range emailFields() {
		if slices.Contains(fields, f) {
			list[i].set("value", r.Text(f), "displayName")
		}
	}
	for len(list) > 0 && list[len(list)-1].text("value") == "" {
		list = list[:len(list)-1]
	}
	for i, e := range list {
		if e.text("value") == "" {
			return &connectors.Error{Class: connectors.ErrInvalid, Field: emailFields()[i], Detail: "the address before another one is empty, and the mailbox keeps no gaps"}
		}
	}
	p.Emails = list
	return nil
}

// tidy removes entries that have become empty.
func (p *person) tidy() {
	keys := map[string][]string{}
	for _, f := range connectors.Fields(connectors.KindContact) {
		if at := placeOf(f); at.list != "" {
			keys[at.list] = append(keys[at.list], at.key)
		}
	}
	for list, ks := range keys {
		l := p.list(list)
		*l = slices.DeleteFunc(*l, func(e entry) bool { return !e.says(append(ks, "unstructuredName", "formattedValue")...) })
	}
}
