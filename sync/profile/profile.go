package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Profile is what is synchronised for one mailbox, and how. The zero Profile
// wants nothing. It never changes, and is safe for concurrent use.
type Profile struct {
	rules   map[connectors.Kind]*Rule
	private Private
	zone    *time.Location
	past    days
	ahead   days
	blocked book
	own     book
	free    book
	mail    mailSpec
	matches []connectors.Kind
	version string // stands for all that was written
}

// Compile merges layers, each over those before it and all over the template
// that comes with this package, and checks the result. Its error is an Errors.
//
// Maps are merged key by key; lists and single values replace those below them,
// except that blocklists, own addresses, refused types of files and locks only
// ever grow. What a layer names under "locked" no later layer may say.
func Compile(layers ...Layer) (*Profile, error) {
	if len(layers) > MaxLayers {
		return nil, Errors{{Layer: layers[MaxLayers].Name, Problem: fmt.Sprintf("is one of more than %d layers", MaxLayers)}}
	}
	t := &tree{owner: map[*yaml.Node]string{}}
	var root *yaml.Node
	locks := map[string]string{}
	for _, l := range append([]Layer{{"template", template}}, layers...) {
		n := t.parse(l)
		if n == nil {
			continue
		}
		root = t.merge(root, n, "", locks)
		lockedBy(n, l.Name, locks)
	}
	d := &decoder{layerOf: t.layerOf, errs: t.errs}
	var s spec
	if root != nil {
		d.decode(root, reflect.ValueOf(&s).Elem(), "", "")
	}
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	c := &compiler{decoder: d, root: root}
	p := c.profile(&s)
	if len(d.errs) > 0 {
		return nil, d.errs
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return nil, Errors{{Problem: "cannot be written again"}}
	}
	sum := sha256.Sum256(text)
	p.version = hex.EncodeToString(sum[:])
	return p, nil
}

// compiler turns a spec into a profile; it knows the nodes for what is wrong.
type compiler struct {
	*decoder
	root *yaml.Node
}

// at finds the node of a path.
func (c *compiler) at(path ...string) *yaml.Node {
	n := c.root
	for _, key := range path {
		found := false
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				n, found = n.Content[i+1], true
				break
			}
		}
		if !found {
			return n
		}
	}
	return n
}

func (c *compiler) bad(problem, fix string, path ...string) {
	at := ""
	for _, key := range path {
		at = join(at, key)
	}
	c.fail(c.at(path...), at, problem, fix)
}

func (c *compiler) profile(s *spec) *Profile {
	p := &Profile{rules: map[connectors.Kind]*Rule{}, private: s.Private, past: s.Window.Past, ahead: s.Window.Ahead, mail: s.Mail}
	p.zone, _ = time.LoadLocation(string(s.Zone))
	p.blocked, p.own, p.free = newBook(s.Blocklist), newBook(s.Own), newBook(people{Domains: s.FreeMail})
	for name, k := range s.Kinds {
		kind, _ := connectors.ParseKind(string(name))
		p.rules[kind] = c.rule(p, kind, string(name), k)
	}
	for _, m := range s.Mail.Match {
		k, _ := connectors.ParseKind(string(m))
		if sh := k.Shape(); sh != connectors.ShapeContact && sh != connectors.ShapeAccount {
			c.bad("is a kind that no mail is addressed to", "write accounts, contacts, individual-customers or leads", "mail", "match")
		}
		p.matches = append(p.matches, k)
	}
	paths := map[string]bool{}
	walkPaths(reflect.TypeOf(*s), "", paths)
	for i, l := range s.Locked {
		if !known(paths, l) {
			c.fail(c.at("locked").Content[i], fmt.Sprintf("locked[%d]", i), "is no path of a profile", "write keys joined by dots, as in kinds.contacts.direction")
		}
	}
	return p
}

// walkPaths lists the paths that a type has; a star stands for any key.
func walkPaths(t reflect.Type, path string, out map[string]bool) {
	out[path] = true
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			at := t.Field(i).Tag.Get("key")
			if path != "" {
				at = path + "." + at
			}
			walkPaths(t.Field(i).Type, at, out)
		}
	case reflect.Map:
		walkPaths(t.Elem(), path+".*", out)
	}
}

func known(paths map[string]bool, path string) bool {
	parts := strings.Split(path, ".")
	if len(parts) > 1 && parts[0] == "kinds" {
		if _, err := connectors.ParseKind(parts[1]); err != nil {
			return false
		}
		parts[1] = "*"
	}
	if len(parts) > 3 && parts[2] == "fields" {
		parts[3] = "*"
	}
	return path != "" && paths[strings.Join(parts, ".")]
}

func (c *compiler) rule(p *Profile, k connectors.Kind, name string, s *kinds) *Rule {
	r := &Rule{profile: p, kind: k, spec: *s, direction: s.Direction, fields: map[connectors.Field]*field{}}
	at := func(keys ...string) []string { return append([]string{"kinds", name}, keys...) }
	shape := k.Shape()
	activity := shape == connectors.ShapeAppointment || shape == connectors.ShapeTask || shape == connectors.ShapeMail
	for _, x := range []struct {
		key  string
		says bool
		ok   bool
		only string
	}{
		{"windowed", s.Windowed, activity, "appointments, visits, tasks, mails and phone calls"},
		{"reminder", !isZero(s.Reminder), shape == connectors.ShapeAppointment || shape == connectors.ShapeTask, "appointments, visits, tasks and phone calls"},
		{"attachments", !isZero(s.Attachments), activity, "appointments, visits, tasks, mails and phone calls"},
		{"attendees", !isZero(s.Attendees), shape == connectors.ShapeAppointment, "appointments, visits and phone calls"},
		{"cancels", s.Cancels, shape == connectors.ShapeAppointment, "appointments, visits and phone calls"},
		{"attendee_deletes", s.AttendeeDeletes, shape == connectors.ShapeAppointment, "appointments, visits and phone calls"},
		{"window_deletes", s.WindowDeletes, shape == connectors.ShapeAppointment, "appointments, visits and phone calls"},
		{"calendar", s.Calendar != "", k == connectors.KindVisit, "visits"},
		{"account", !isZero(s.Account), k == connectors.KindContact || k == connectors.KindLead, "contacts and leads"},
	} {
		if x.says && !x.ok {
			c.bad("means nothing for "+name, "leave it out: only for "+x.only, at(x.key)...)
		}
	}
	if k == connectors.KindMail && s.Direction != ToCRM {
		c.bad("would write mails into a mailbox", "write to-crm", at("direction")...)
	}
	if s.Attachments.Max > 0 && s.Attachments.Min > s.Attachments.Max {
		c.bad("is more than the largest", "write less than max_size", at("attachments", "min_size")...)
	}
	if s.ReadOnly {
		if s.Direction == ToCRM {
			c.bad("does not go with a direction to the CRM", "write both or to-mailbox", at("direction")...)
		}
		r.direction = ToMailbox
	}
	r.filters[connectors.CRM] = c.filter(k, s.Filters.CRM, at("filters", "crm"))
	r.filters[connectors.Mailbox] = c.filter(k, s.Filters.Mailbox, at("filters", "mailbox"))
	all := connectors.Fields(k)
	for key, v := range s.Fields {
		f := connectors.Field(key)
		if !slices.Contains(all, f) {
			var names []string
			for _, x := range all {
				names = append(names, string(x))
			}
			c.bad("is no field of "+name, oneOf(key, names), at("fields", key)...)
			continue
		}
		r.fields[f] = c.field(k, f, v, at("fields", key))
	}
	return r
}

func isZero[T any](v T) bool { return reflect.ValueOf(v).IsZero() }

func (c *compiler) filter(k connectors.Kind, text string, path []string) *expression {
	if text == "" {
		return nil
	}
	e, err := compileExpr(text, k, true)
	if err != nil {
		c.bad("is an expression that "+err.Error(), "see README.md, Expressions", path...)
	}
	return e
}

func (c *compiler) field(k connectors.Kind, f connectors.Field, s fieldSpec, path []string) *field {
	out := &field{carry: s.Carry, standard: map[connectors.Area]string{}, compute: map[connectors.Area]*expression{}}
	for _, x := range []struct {
		area     connectors.Area
		key      string
		standard string
		compute  string
		against  Carry
	}{{connectors.CRM, "crm", s.Default.CRM, s.Compute.CRM, CarryToMailbox}, {connectors.Mailbox, "mailbox", s.Default.Mailbox, s.Compute.Mailbox, CarryToCRM}} {
		if x.standard == "" && x.compute == "" {
			continue
		}
		key := "default"
		if x.compute != "" {
			key = "compute"
		}
		at := append(slices.Clone(path), key, x.key)
		if !connectors.NewRecord(k).SetText(f, "x") {
			c.bad("is for a field that is no text", "leave it out", at...)
			continue
		}
		if x.standard != "" {
			out.standard[x.area] = connectors.NormalizeText(f, x.standard)
		}
		if x.compute == "" {
			continue
		}
		if s.Carry == x.against || s.Carry == CarryNever || s.Carry == CarryAsRecord {
			// What is computed one way and copied the other would go round
			// and round.
			c.bad("is computed for one side while the field also crosses from there", "write carry: "+map[connectors.Area]string{connectors.CRM: "to-crm", connectors.Mailbox: "to-mailbox"}[x.area], at...)
			continue
		}
		e, err := compileExpr(x.compute, k, "")
		if err != nil {
			c.bad("is an expression that "+err.Error(), "see README.md, Expressions", at...)
			continue
		}
		out.compute[x.area] = e
	}
	return out
}

// Rule returns what a profile says of a kind, nil if it does not synchronise it.
func (p *Profile) Rule(k connectors.Kind) *Rule {
	if p == nil || p.rules[k] == nil || !p.rules[k].spec.Enabled {
		return nil
	}
	return p.rules[k]
}

// Kinds lists the kinds that are synchronised, in the order in which that is
// done.
func (p *Profile) Kinds() []connectors.Kind {
	return slices.DeleteFunc(connectors.Kinds(), func(k connectors.Kind) bool { return p.Rule(k) == nil })
}

// Zone is where the mailbox's user lives, for days and times of day.
func (p *Profile) Zone() *time.Location {
	if p == nil || p.zone == nil {
		return time.UTC
	}
	return p.zone
}

// Window returns the first and the last instant that is synchronised; a zero end
// is open.
func (p *Profile) Window(now time.Time) (from, to time.Time) {
	if p.past != openDays {
		from = now.AddDate(0, 0, -int(p.past))
	}
	if p.ahead != openDays {
		to = now.AddDate(0, 0, int(p.ahead))
	}
	return from, to
}
