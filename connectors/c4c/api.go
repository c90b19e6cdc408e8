package c4c

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// The entity sets, navigations and codes used here, named as the metadata of
// the service c4codataapi names them.
const (
	setContact     = "ContactCollection"
	setAccount     = "CorporateAccountCollection"
	setAppointment = "AppointmentCollection"
	setContactText = "ContactTextCollectionCollection"
	setMeetingText = "AppointmentTextCollectionCollection"
	setParty       = "AppointmentInvolvedPartiesCollection"
	setCustomer    = "IndividualCustomerCollection"

	navContactText = "ContactTextCollection"
	navMeetingText = "AppointmentTextCollection"
	navParty       = "AppointmentInvolvedParties"

	propID      = "ObjectID"
	propETag    = "ETag"
	propChanged = "EntityLastChangedOn"
)

// entity is one record as it came over the wire; what it holds is only looked
// at when it is asked for.
type entity map[string]json.RawMessage

// maxEntities is the most records that one answer may hold.
const maxEntities = 20000

var errShape = errors.New("answer is not of the shape of OData V2")

// payload is the answer to a reading: {"d": {"results": [...], "__next": "..."}},
// {"d": [...]}, or for one record {"d": {...}} or {"d": {"results": {...}}}.
type payload struct {
	Entities []entity
	Next     string
}

// UnmarshalJSON reads any of these shapes.
func (p *payload) UnmarshalJSON(b []byte) error {
	var outer struct {
		D json.RawMessage `json:"d"`
	}
	if err := json.Unmarshal(b, &outer); err != nil || len(outer.D) == 0 {
		return errShape
	}
	es, next, err := results(outer.D)
	if err != nil {
		return err
	}
	p.Entities, p.Next = es, next
	return nil
}

// results reads a list of records, or one record as a list of one.
func results(b []byte) ([]entity, string, error) {
	b = bytes.TrimSpace(b)
	if bytes.HasPrefix(b, []byte("[")) {
		var es []entity
		if err := json.Unmarshal(b, &es); err != nil || len(es) > maxEntities {
			return nil, "", errShape
		}
		return es, "", nil
	}
	var one entity
	if err := json.Unmarshal(b, &one); err != nil || one == nil {
		return nil, "", errShape
	}
	list, ok := one["results"]
	if !ok {
		return []entity{one}, "", nil
	}
	if list = bytes.TrimSpace(list); !bytes.HasPrefix(list, []byte("[")) {
		// The system writes one record as results without a list.
		var e entity
		if err := json.Unmarshal(list, &e); err != nil || e == nil {
			return nil, "", errShape
		}
		return []entity{e}, "", nil
	}
	es, _, err := results(list)
	if err != nil {
		return nil, "", err
	}
	next, err := one.text("__next")
	return es, next, err
}

func decode(b []byte) (payload, error) {
	var p payload
	if err := json.Unmarshal(b, &p); err != nil {
		return payload{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: errShape.Error()}
	}
	return p, nil
}

// text returns a text property, "" if it is absent or null.
func (e entity) text(name string) (string, error) {
	b, ok := e[name]
	if !ok || string(b) == "null" {
		return "", nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return "", errShape
	}
	return s, nil
}

func (e entity) boolean(name string) (bool, error) {
	b, ok := e[name]
	if !ok || string(b) == "null" {
		return false, nil
	}
	var v bool
	if err := json.Unmarshal(b, &v); err != nil {
		return false, errShape
	}
	return v, nil
}

// date returns a date property, the zero time if it is absent, null or empty.
func (e entity) date(name string) (time.Time, error) {
	s, err := e.text(name)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	return parseDate(s)
}

// children returns the records of a navigation that was expanded. One that was
// not is an error: it must not look empty.
func (e entity) children(name string) ([]entity, error) {
	b, ok := e[name]
	if !ok {
		return nil, errShape
	}
	if string(b) == "null" {
		return nil, nil
	}
	es, next, err := results(b)
	if err != nil {
		return nil, err
	}
	if next != "" {
		return nil, errors.New("more records below one than a page holds")
	}
	if len(es) == 1 && es[0]["__deferred"] != nil {
		return nil, errShape
	}
	return es, nil
}

// rev returns the revision: the entity tag of the metadata as it is, else the
// tag that the property ETag stands for. It is only ever compared and sent back.
func (e entity) rev() string {
	var meta struct {
		ETag string `json:"etag"`
	}
	if b, ok := e["__metadata"]; ok && json.Unmarshal(b, &meta) == nil && meta.ETag != "" {
		return meta.ETag
	}
	if t, err := e.date(propETag); err == nil && !t.IsZero() {
		return `W/"` + offsetLiteral(t) + `"`
	}
	return ""
}

// id returns the object id.
func (e entity) id() (string, error) {
	id, err := e.text(propID)
	if err == nil && (id == "" || len(id) > connectors.MaxID) {
		err = errShape
	}
	return id, err
}
