package c4ctest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Props are properties of one record by name: string, bool, time.Time or nil.
// Below the name of a navigation stands a []Props.
type Props map[string]any

// table is one entity set with its rows in the order of their creation.
type table struct {
	rows  map[string]*row
	order []string
	below map[string][]*row // by id of the parent
}

func newTable() *table { return &table{rows: map[string]*row{}, below: map[string][]*row{}} }

func (t *table) add(r *row) {
	t.rows[r.id] = r
	t.order = append(t.order, r.id)
	if p := r.text("ParentObjectID"); p != "" {
		t.below[p] = append(t.below[p], r)
	}
}

func (t *table) remove(r *row) {
	delete(t.rows, r.id)
	t.order = slices.DeleteFunc(t.order, func(id string) bool { return id == r.id })
	if p := r.text("ParentObjectID"); p != "" {
		t.below[p] = slices.DeleteFunc(slices.Clone(t.below[p]), func(o *row) bool { return o == r })
	}
}

type row struct {
	id    string
	props Props
	n     uint64
}

// failure is what the service answers when it refuses.
type failure struct {
	status int
	code   string
	text   string
}

func (f *failure) Error() string { return "c4ctest: " + strconv.Itoa(f.status) + " " + f.text }

func bad(format string, args ...any) *failure {
	return &failure{400, "CX_SXML_PARSE_ERROR", fmt.Sprintf(format, args...)}
}

// tick returns the next instant of the tenant. Two changes never share one,
// even if the clock stands still.
func (s *Server) tick() time.Time {
	t := s.now().UTC().Truncate(100 * time.Nanosecond)
	if !t.After(s.stamp) {
		t = s.stamp.Add(100 * time.Nanosecond)
	}
	s.stamp = t
	return t
}

func (s *Server) newID() string {
	s.serial++
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], s.serial)
	h := sha256.Sum256(b[:])
	return "00163E" + strings.ToUpper(hex.EncodeToString(h[:13]))
}

// value checks one value against its property and returns it as it is stored.
func (p property) value(v any) (any, *failure) {
	switch p.typ {
	case "String", "LargeString":
		if v == nil {
			return "", nil
		}
		t, ok := v.(string)
		if !ok {
			return nil, bad("Property %s has invalid type", p.name)
		}
		if p.length > 0 && utf8.RuneCountInString(t) > p.length {
			return nil, bad("Property %s exceeds its maximum length %d", p.name, p.length)
		}
		return t, nil
	case "UUID", "Decimal":
		if v == nil {
			return "", nil
		}
		if t, ok := v.(string); ok {
			return t, nil
		}
	case "Boolean":
		if v == nil {
			return false, nil
		}
		if t, ok := v.(bool); ok {
			return t, nil
		}
	case "Binary":
		switch t := v.(type) {
		case []byte:
			return t, nil
		case string:
			b, err := base64.StdEncoding.DecodeString(t)
			if err != nil || len(b) > maxFile {
				return nil, bad("Property %s has invalid type or is too large", p.name)
			}
			return b, nil
		}
	case "Integer":
		if n, ok := v.(float64); ok && n == math.Trunc(n) {
			return strconv.FormatInt(int64(n), 10), nil
		}
		if t, ok := v.(string); ok {
			return t, nil
		}
		if v == nil {
			return "", nil
		}
	case "Timestamp", "Date":
		switch t := v.(type) {
		case nil:
			return nil, nil
		case time.Time:
			return t.UTC(), nil
		case string:
			if d, ok := dateValue(t, p.typ == "Timestamp"); ok {
				return d, nil
			}
		}
	}
	return nil, bad("Property %s has invalid type", p.name)
}

// dateValue reads a date as it may stand in JSON: /Date(ms)/, an ISO instant,
// or for a property without zone an ISO date and time without one.
func dateValue(t string, zoned bool) (time.Time, bool) {
	if strings.HasPrefix(t, "/Date(") && strings.HasSuffix(t, ")/") {
		n := strings.TrimSuffix(strings.TrimSuffix(t[6:len(t)-2], "+0000"), "-0000")
		ms, err := strconv.ParseInt(n, 10, 64)
		d := time.UnixMilli(ms).UTC()
		return d, err == nil && d.Year() >= 1 && d.Year() <= 9999
	}
	layouts := []string{"2006-01-02T15:04:05.9999999"}
	if zoned {
		layouts = []string{time.RFC3339Nano}
	}
	for _, l := range layouts {
		if d, err := time.Parse(l, t); err == nil && d.Year() >= 1 {
			return d.UTC(), true
		}
	}
	return time.Time{}, false
}

// change applies properties to a row after checking all of them.
func (s *Server) change(set *entitySet, r *row, in Props, system bool) *failure {
	for name, v := range in {
		p, ok := set.props[name]
		if !ok {
			return bad("Property %s is invalid", name)
		}
		if p.nav != "" {
			continue
		}
		if !system && readOnly(set.name, name) {
			return bad("Property %s is read-only", name)
		}
		val, f := p.value(v)
		if f != nil {
			return f
		}
		if val == nil {
			delete(r.props, name)
		} else {
			r.props[name] = val
		}
	}
	return s.derive(set, r)
}

// derive tests what must hold for a row and fills in what follows from it.
func (s *Server) derive(set *entitySet, r *row) *failure {
	switch set.name {
	case "ContactCollection":
		if r.text("LastName") == "" {
			return bad("Last name is missing")
		}
		r.props["Name"] = strings.TrimSpace(r.text("FirstName") + " " + r.text("LastName"))
		r.props["AccountFormattedName"] = ""
		if id := r.text("AccountID"); id != "" {
			a := s.accountByNumber(id)
			if a == nil {
				return bad("Account %s does not exist", id)
			}
			r.props["AccountFormattedName"] = a.text("BusinessPartnerFormattedName")
		}
	case "CorporateAccountCollection":
		if r.text("Name") == "" {
			return bad("Name is missing")
		}
		r.props["BusinessPartnerFormattedName"] = strings.TrimSpace(r.text("Name") + " " + r.text("AdditionalName"))
		for _, c := range s.sets["ContactCollection"].rows {
			if n := r.text("AccountID"); n != "" && c.text("AccountID") == n {
				c.props["AccountFormattedName"] = r.props["BusinessPartnerFormattedName"]
			}
		}
	case "IndividualCustomerCollection":
		if r.text("LastName") == "" {
			return bad("Last name is missing")
		}
		r.props["FormattedName"] = strings.TrimSpace(r.text("FirstName") + " " + r.text("LastName"))
	case "LeadCollection":
		if r.text("Name")+r.text("Company")+r.text("ContactLastName") == "" {
			return bad("Name, company and contact are missing")
		}
		if n := r.text("AccountPartyID"); n != "" && !s.partner(n, "CorporateAccountCollection") {
			return bad("Account %s does not exist", n)
		}
	case "AppointmentCollection", "VisitCollection", "PhoneCallCollection":
		from, to := "StartDateTime", "EndDateTime"
		if set.name == "AppointmentCollection" {
			from, to = "StartDate", "EndDate"
		}
		a, b := r.time(from), r.time(to)
		if a.IsZero() || b.IsZero() || b.Before(a) {
			return bad("Start and end are missing or in the wrong order")
		}
	case "TasksCollection":
		if r.text("Subject") == "" {
			return bad("Subject is missing")
		}
	default:
		if _, file := set.props["Binary"]; file {
			if b, ok := r.props["Binary"].([]byte); r.text("Name") == "" || !ok || b == nil {
				return bad("Name or content is missing")
			}
		}
	}
	if n := r.text("MainAccountPartyID"); n != "" && !s.partner(n, "CorporateAccountCollection", "IndividualCustomerCollection") {
		return bad("Account %s does not exist", n)
	}
	if n := r.text("MainContactPartyID"); n != "" && !s.partner(n, "ContactCollection", "IndividualCustomerCollection") {
		return bad("Contact %s does not exist", n)
	}
	return nil
}

// maxFile is the largest content of an attachment, in bytes.
const maxFile = 25 << 20

// partner reports whether a number is that of a record of one of the sets.
func (s *Server) partner(number string, sets ...string) bool {
	for _, set := range sets {
		for _, r := range s.sets[set].rows {
			if r.text(numberOf(set)) == number {
				return true
			}
		}
	}
	return false
}

// numberOf is the property with the number that the system gives a record.
func numberOf(set string) string {
	switch set {
	case "ContactCollection":
		return "ContactID"
	case "CorporateAccountCollection":
		return "AccountID"
	case "IndividualCustomerCollection":
		return "CustomerID"
	}
	return "ID"
}

func (s *Server) accountByNumber(number string) *row {
	for _, a := range s.sets["CorporateAccountCollection"].rows {
		if a.text("AccountID") == number {
			return a
		}
	}
	return nil
}

func (r *row) text(name string) string {
	t, _ := r.props[name].(string)
	return t
}

func (r *row) time(name string) time.Time {
	t, _ := r.props[name].(time.Time)
	return t
}

// remember notes how to take a change to a row back.
func (s *Server) remember(set string, r *row) {
	old := maps.Clone(r.props)
	s.undo = append(s.undo, func() { r.props = old })
}

// stampRow gives a row a new revision and, in a child's place, its parent too.
func (s *Server) stampRow(set *entitySet, r *row, created bool) {
	t := s.tick()
	for _, n := range []string{"ETag", "EntityLastChangedOn", "ChangedOn", "UpdatedOn", "LastChangeDateTime"} {
		if _, ok := set.props[n]; ok {
			r.props[n] = t
		}
	}
	if created {
		for _, n := range []string{"CreationOn", "CreatedOn", "CreationDateTime"} {
			if _, ok := set.props[n]; ok {
				r.props[n] = t
			}
		}
	}
	s.stampParent(set.name, r.text("ParentObjectID"), t)
}

func (s *Server) stampParent(set, parentID string, t time.Time) {
	parent, _ := s.model.parent(set)
	if parent == "" || s.opts.QuietChildren {
		return
	}
	if p := s.sets[parent].rows[parentID]; p != nil {
		s.remember(parent, p)
		p.props["ETag"], p.props["EntityLastChangedOn"] = t, t
	}
}

// insert makes a row and what stands below it.
func (s *Server) insert(name string, in Props, parentID string, system bool) (*row, *failure) {
	set, t := s.model[name], s.sets[name]
	r := &row{id: s.newID(), props: Props{}, n: s.serial}
	if id, ok := in["ObjectID"].(string); ok && system {
		r.id = id
	}
	if t.rows[r.id] != nil {
		return nil, bad("Object %s exists already", r.id)
	}
	r.props["ObjectID"] = r.id
	number := strconv.FormatUint(1000000+s.serial, 10)
	switch name {
	case "ContactCollection":
		r.props["ContactID"], r.props["StatusCode"] = number, "2"
	case "CorporateAccountCollection":
		r.props["AccountID"], r.props["LifeCycleStatusCode"] = number, "2"
	case "IndividualCustomerCollection":
		r.props["CustomerID"], r.props["LifeCycleStatusCode"] = number, "2"
	case "AppointmentCollection":
		r.props["ID"], r.props["LifeCycleStatusCode"], r.props["InformationSensitivityCode"] = number, "1", "1"
	case "VisitCollection", "TasksCollection", "PhoneCallCollection", "EMailCollection":
		r.props["ID"], r.props["Status"] = number, "1"
	case "LeadCollection":
		r.props["ID"], r.props["UserStatusCode"] = number, "1"
	}
	if _, ok := set.props["UUID"]; ok && len(r.id) == 32 {
		r.props["UUID"] = r.id[:8] + "-" + r.id[8:12] + "-" + r.id[12:16] + "-" + r.id[16:20] + "-" + r.id[20:]
	}
	if parent, _ := s.model.parent(name); parent != "" {
		if p, ok := in["ParentObjectID"].(string); ok {
			parentID = p
		}
		if s.sets[parent].rows[parentID] == nil {
			return nil, bad("Parent object does not exist")
		}
		r.props["ParentObjectID"] = parentID
	}
	if f := s.change(set, r, in, system); f != nil {
		return nil, f
	}
	t.add(r)
	s.undo = append(s.undo, func() { t.remove(r) })
	for nav, v := range in {
		p := set.props[nav]
		if p.nav == "" {
			continue
		}
		children, ok := v.([]Props)
		if !ok {
			return nil, bad("Navigation %s has invalid type", nav)
		}
		for _, c := range children {
			if _, f := s.insert(p.nav, c, r.id, system); f != nil {
				return nil, f
			}
		}
	}
	s.stampRow(set, r, true)
	for _, n := range []string{"ETag", "EntityLastChangedOn", "CreationOn", "CreatedOn"} {
		if v, ok := in[n].(time.Time); ok && system {
			r.props[n] = v.UTC()
		}
	}
	return r, nil
}

// drop removes a row and what stands below it.
func (s *Server) drop(name string, r *row) {
	t := s.sets[name]
	t.remove(r)
	s.undo = append(s.undo, func() { t.add(r) })
	s.stampParent(name, r.text("ParentObjectID"), s.tick())
	for _, p := range s.model[name].props {
		if p.nav == "" {
			continue
		}
		for _, c := range s.children(p.nav, r.id) {
			s.drop(p.nav, c)
		}
	}
}

// children lists the rows below one, oldest first.
func (s *Server) children(set, parentID string) []*row {
	return slices.Clone(s.sets[set].below[parentID])
}

// atomic runs changes that happen together or not at all.
func (s *Server) atomic(do func() *failure) *failure {
	s.undo = nil
	f := do()
	if f != nil {
		for _, u := range slices.Backward(s.undo) {
			u()
		}
	}
	s.undo = nil
	return f
}

// Seed makes a record as somebody in the CRM would and returns its id. Unlike
// clients it may set what the system otherwise sets itself, such as ObjectID
// and EntityLastChangedOn.
func (s *Server) Seed(set string, p Props) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model[set] == nil {
		return "", bad("entity set %s is not emulated", set)
	}
	var r *row
	if f := s.atomic(func() (f *failure) { r, f = s.insert(set, p, "", true); return f }); f != nil {
		return "", f
	}
	return r.id, nil
}

// Edit changes a record as somebody in the CRM would.
func (s *Server) Edit(set, id string, p Props) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, f := s.row(set, id)
	if f != nil {
		return f
	}
	if f := s.atomic(func() *failure {
		s.remember(set, r)
		if f := s.change(s.model[set], r, p, true); f != nil {
			return f
		}
		s.stampRow(s.model[set], r, false)
		return nil
	}); f != nil {
		return f
	}
	return nil
}

// Remove deletes a record for good, as an administrator could, whatever its
// kind.
func (s *Server) Remove(set, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, f := s.row(set, id)
	if f != nil {
		return f
	}
	s.drop(set, r)
	s.undo = nil
	return nil
}

func (s *Server) row(set, id string) (*row, *failure) {
	if s.model[set] == nil {
		return nil, &failure{404, "/IWFND/CM_MGW/003", "entity set is not emulated"}
	}
	r := s.sets[set].rows[id]
	if r == nil {
		return nil, &failure{404, "/IWBEP/CM_MGW_RT/020", "Requested entity could not be found."}
	}
	return r, nil
}

// Get returns a copy of a record with what stands below it.
func (s *Server) Get(set, id string) (Props, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, f := s.row(set, id)
	if f != nil {
		return nil, false
	}
	return s.copyOf(set, r), true
}

// All returns copies of all records of a set in the order of their creation.
func (s *Server) All(set string) []Props {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.sets[set]
	if t == nil {
		return nil
	}
	out := make([]Props, 0, len(t.order))
	for _, id := range t.order {
		out = append(out, s.copyOf(set, t.rows[id]))
	}
	return out
}

func (s *Server) copyOf(set string, r *row) Props {
	p := maps.Clone(r.props)
	for _, n := range s.model[set].props {
		if n.nav == "" {
			continue
		}
		below := []Props{}
		for _, c := range s.children(n.nav, r.id) {
			below = append(below, maps.Clone(c.props))
		}
		p[n.name] = below
	}
	return p
}

// Touch gives every record of a set the same new revision without any other
// change, as technical jobs of the real system do.
func (s *Server) Touch(set string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tick()
	for _, r := range s.sets[set].rows {
		r.props["ETag"] = t
	}
}

// Dump writes all records as JSON, for Load.
func (s *Server) Dump() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]Props{}
	for _, name := range s.model.names() {
		for _, id := range s.sets[name].order {
			out[name] = append(out[name], s.sets[name].rows[id].props)
		}
	}
	return json.Marshal(struct {
		Version int                `json:"version"`
		Serial  uint64             `json:"serial"`
		Sets    map[string][]Props `json:"sets"`
	}{1, s.serial, out})
}

// Load replaces all records by those that Dump wrote, ids and revisions
// included.
func (s *Server) Load(b []byte) error {
	var in struct {
		Version int
		Serial  uint64
		Sets    map[string][]Props
	}
	if err := json.Unmarshal(b, &in); err != nil || in.Version != 1 {
		return fmt.Errorf("c4ctest: load: not written by Dump")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := map[string]*table{}
	for _, name := range s.model.names() {
		t := newTable()
		for i, p := range in.Sets[name] {
			r := &row{props: Props{}, n: uint64(i)}
			for n, v := range p {
				if t, ok := v.(string); ok { // JSON has no dates: Dump wrote them as instants
					if d, err := time.Parse(time.RFC3339Nano, t); err == nil && s.model[name].props[n].typ == "Date" {
						v = d
					}
				}
				val, f := s.model[name].props[n].value(v)
				if f != nil {
					return f
				}
				if val != nil {
					r.props[n] = val
				}
				if d, ok := val.(time.Time); ok && n == "ETag" && d.After(s.stamp) {
					s.stamp = d
				}
			}
			if r.id = r.text("ObjectID"); r.id == "" || t.rows[r.id] != nil {
				return fmt.Errorf("c4ctest: load: record without an id of its own")
			}
			t.add(r)
		}
		fresh[name] = t
	}
	s.sets, s.serial = fresh, in.Serial
	return nil
}
