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
	open     map[string]object // open extensions by name
	headers  []any             // of a message, as internetMessageHeaders
	files    []*file
	gone     bool // deleted, or moved to another folder
}

// file is an attachment.
type file struct {
	id, name, mediaType string
	inline              bool
	content             []byte
	modified            time.Time
}

type collection struct {
	entries map[string]*entry
	order   []string // ids as they came
}

// folder is a container of one sort of items.
type folder struct {
	collection
	kind  string // of its items: "contacts", "events", "tasks" or "messages"
	id    string
	name  string // as its user sees it
	known string // the service's own name of it, "" for one that a user made
}

type mailbox struct {
	address string
	folders []*folder
}

func (s *Server) newMailbox(address string) *mailbox {
	m := &mailbox{address: address}
	for _, f := range []struct{ kind, name, known string }{{"contacts", "Contacts", "contacts"}, {"events", "Calendar", "calendar"},
		{"tasks", "Tasks", "defaultList"}, {"messages", "Inbox", "inbox"}, {"messages", "Sent Items", "sentitems"}, {"messages", "Deleted Items", "deleteditems"}} {
		s.addFolder(m, f.kind, f.name, f.known)
	}
	return m
}

func (s *Server) addFolder(m *mailbox, kind, name, known string) *folder {
	s.serial++
	h := sha256.Sum256(fmt.Append(nil, "folder", s.serial))
	f := &folder{collection: collection{entries: map[string]*entry{}}, kind: kind, id: "AQMkAD" + base64.RawURLEncoding.EncodeToString(h[:15]) + "AAA=", name: name, known: known}
	m.folders = append(m.folders, f)
	return f
}

// folder finds a container by its id or the service's own name of it.
func (m *mailbox) folder(kind, id string) *folder {
	for _, f := range m.folders {
		if f.kind == kind && (f.id == id || f.known != "" && f.known == id) {
			return f
		}
	}
	return nil
}

// standard is the container where items of a sort are unless somebody says
// otherwise.
func (m *mailbox) standard(kind string) *folder {
	return m.folder(kind, map[string]string{"contacts": "contacts", "events": "calendar", "tasks": "defaultList", "messages": "inbox"}[kind])
}

// item finds a live item of a sort wherever it lies.
func (m *mailbox) item(kind, id string) (*folder, *entry) {
	for _, f := range m.folders {
		if e := f.entries[id]; f.kind == kind && e != nil && !e.gone {
			return f, e
		}
	}
	return nil, nil
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
	e := &entry{id: s.newID(), props: props, key: map[string]string{}, names: map[string]string{}, open: map[string]object{}}
	if err := e.extend(ext); err != nil {
		return nil, err
	}
	c.entries[e.id] = e
	c.order = append(c.order, e.id)
	s.touch(e)
	return e, nil
}

// move puts an item into another folder. Its id stays, for a client that asks for
// ids that do.
func (s *Server) move(from, to *folder, e *entry) {
	left := *e
	s.touch(&left)
	left.gone = true
	from.entries[e.id] = &left
	s.touch(e)
	to.entries[e.id] = e
	to.order = append(slices.DeleteFunc(to.order, func(id string) bool { return id == e.id }), e.id)
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

// openType is what stands before the name of an open extension in its id.
const openType = "microsoft.graph.openTypeExtension."

func (e *entry) extendOpen(list []any) error {
	for _, x := range list {
		m, ok := x.(map[string]any)
		name := text(m["extensionName"])
		if !ok || name == "" || strings.ContainsAny(name, " '/") || !strings.HasSuffix(text(m["@odata.type"]), "microsoft.graph.openTypeExtension") {
			return bad("ErrorInvalidExtension")
		}
		e.open[name] = m
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

// expansion is what a client wants to have along with items.
type expansion struct {
	properties []string // ids of extended properties
	open       []string // names of open extensions
}

// show is an item as an answer has it: selected properties, and extended ones if
// they were asked for.
func (e *entry) show(f *folder, sel []string, exp expansion) object {
	o := object{"id": e.id, "@odata.etag": e.etag(), "lastModifiedDateTime": e.modified.Format(time.RFC3339)}
	for k, v := range e.props {
		if len(sel) == 0 || slices.Contains(sel, k) || strings.HasPrefix(k, "@") {
			o[k] = v
		}
	}
	if slices.Contains([]string{"contacts", "messages"}, f.kind) && (len(sel) == 0 || slices.Contains(sel, "parentFolderId")) {
		o["parentFolderId"] = f.id
	}
	if f.kind != "contacts" && (len(sel) == 0 || slices.Contains(sel, "hasAttachments")) {
		o["hasAttachments"] = slices.ContainsFunc(e.files, func(a *file) bool { return !a.inline })
	}
	if slices.Contains(sel, "internetMessageHeaders") && len(e.headers) > 0 {
		o["internetMessageHeaders"] = e.headers
	}
	if len(sel) > 0 && !slices.Contains(sel, "lastModifiedDateTime") {
		delete(o, "lastModifiedDateTime")
	}
	var ext []object
	for _, id := range exp.properties {
		if v, ok := e.key[strings.ToLower(id)]; ok {
			ext = append(ext, object{"id": e.names[strings.ToLower(id)], "value": v})
		}
	}
	if len(ext) > 0 {
		o["singleValueExtendedProperties"] = ext
	}
	var open []object
	for _, name := range exp.open {
		if v, ok := e.open[name]; ok {
			x := clone(v)
			x["id"], x["@odata.type"] = openType+name, "#microsoft.graph.openTypeExtension"
			open = append(open, x)
		}
	}
	if len(open) > 0 {
		o["extensions"] = open
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
