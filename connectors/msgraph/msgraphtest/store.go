package msgraphtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// object is an item's properties as JSON has them.
type object map[string]any

// entry is an item in a mailbox.
type entry struct {
	id       string
	props    object
	seq      int // of the last change
	version  int
	modified time.Time
	key      map[string]string // extended properties by lower-case id
	names    map[string]string // and how they were written
	gone     bool
}

type collection struct {
	entries map[string]*entry
	order   []string // ids as they came
}

type mailbox struct {
	address  string
	contacts collection
	events   collection
}

func newMailbox(address string) *mailbox {
	return &mailbox{address, collection{entries: map[string]*entry{}}, collection{entries: map[string]*entry{}}}
}

func (s *Server) newID() string {
	s.serial++
	h := sha256.Sum256(fmt.Append(nil, "item", s.serial))
	return "AAkALgAA" + base64.RawURLEncoding.EncodeToString(h[:]) + "AAA="
}

func (e *entry) etag() string { return fmt.Sprintf(`W/"EQAAAB%04d/%s=="`, e.version, e.id[8:16]) }

func (s *Server) touch(e *entry) {
	s.serial++
	e.seq, e.version, e.modified = s.serial, e.version+1, s.o.Now().UTC().Truncate(time.Second)
}

// insert adds an item.
func (s *Server) insert(c *collection, props object, ext []any) (*entry, error) {
	e := &entry{id: s.newID(), props: props, key: map[string]string{}, names: map[string]string{}}
	if err := e.extend(ext); err != nil {
		return nil, err
	}
	c.entries[e.id] = e
	c.order = append(c.order, e.id)
	s.touch(e)
	return e, nil
}

func (e *entry) extend(ext []any) error {
	for _, x := range ext {
		m, ok := x.(map[string]any)
		id, ok1 := m["id"].(string)
		v, ok2 := m["value"].(string)
		if !ok || !ok1 || !ok2 || !(strings.HasPrefix(id, "String {") || strings.HasPrefix(id, "String 0x")) {
			return bad("ErrorInvalidExtendedProperty")
		}
		e.key[strings.ToLower(id)], e.names[strings.ToLower(id)] = v, id
	}
	return nil
}

// visible lists items in order of their coming.
func (c *collection) visible() []*entry {
	var out []*entry
	for _, id := range c.order {
		if e := c.entries[id]; !e.gone {
			out = append(out, e)
		}
	}
	return out
}

// show is an item as an answer has it: selected properties, and extended ones if
// they were asked for.
func (e *entry) show(sel, expand []string) object {
	o := object{"id": e.id, "@odata.etag": e.etag(), "lastModifiedDateTime": e.modified.Format(time.RFC3339)}
	for k, v := range e.props {
		if len(sel) == 0 || slices.Contains(sel, k) {
			o[k] = v
		}
	}
	if len(sel) > 0 && !slices.Contains(sel, "lastModifiedDateTime") {
		delete(o, "lastModifiedDateTime")
	}
	if len(expand) > 0 {
		var ext []object
		for _, id := range expand {
			if v, ok := e.key[strings.ToLower(id)]; ok {
				ext = append(ext, object{"id": e.names[strings.ToLower(id)], "value": v})
			}
		}
		if len(ext) > 0 {
			o["singleValueExtendedProperties"] = ext
		}
	}
	return o
}

// clone copies properties by way of JSON.
func clone(o object) object {
	b, err := json.Marshal(o)
	if err != nil {
		return maps.Clone(o)
	}
	var out object
	if json.Unmarshal(b, &out) != nil {
		return maps.Clone(o)
	}
	return out
}
