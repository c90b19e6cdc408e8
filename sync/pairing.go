package sync

import (
	"context"
	"io"
	"slices"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// sides are the two connections of a pair as one rule sees them: what the mailbox
// keeps under another kind is that of the rule here.
type sides struct {
	Pair
	rule Rule
}

func (p sides) conn(s Side) side {
	if s == Left {
		return side{Conn: p.Left}
	}
	return side{Conn: p.Right, as: p.rule.Mailbox}
}

// side is one connection. Its methods are those of the Conn.
type side struct {
	*connectors.Conn
	as connectors.Kind // what the system calls the kind of the rule; zero: the same
}

func (d side) kind(k connectors.Kind) connectors.Kind {
	if d.as != 0 {
		return d.as
	}
	return k
}

// pairable reports whether a mailbox can keep records of a kind under another.
func pairable(k, mailbox connectors.Kind) bool {
	return k.Shape() == mailbox.Shape() || k == connectors.KindAccount && mailbox == connectors.KindContact
}

// inside is a record of the system as one of the rule's kind.
func (d side) inside(k connectors.Kind, r *connectors.Record) *connectors.Record {
	if r == nil || d.as == 0 {
		return r
	}
	c := *r
	c.Kind = k
	if k == connectors.KindAccount && r.Contact != nil {
		c.Contact, c.Account = nil, connectors.AccountOf(r.Contact)
	}
	return &c
}

// outside is the inverse, for writing.
func (d side) outside(r *connectors.Record) *connectors.Record {
	if r == nil || d.as == 0 {
		return r
	}
	c := *r
	c.Kind = d.as
	if r.Account != nil && d.as.Shape() == connectors.ShapeContact {
		c.Account, c.Contact = nil, connectors.ContactOf(r.Account)
	}
	return &c
}

// field is what the system calls a field of the rule's kind.
func (d side) field(k connectors.Kind, f connectors.Field) connectors.Field {
	if k == connectors.KindAccount && d.as == connectors.KindContact && f == connectors.FieldName {
		return connectors.FieldCompany
	}
	return f
}

func (d side) Capability(k connectors.Kind) (connectors.Capability, bool) {
	c, ok := d.Conn.Capability(d.kind(k))
	if !ok || d.as == 0 {
		return c, ok
	}
	fields := map[connectors.Field]connectors.Limit{}
	for _, f := range connectors.Fields(k) {
		if l, ok := c.Fields[d.field(k, f)]; ok {
			fields[f] = l
		}
	}
	c.Fields = fields
	_, series := fields[connectors.FieldRecurrence]
	c.Exceptions = c.Exceptions && series
	c.Search = nil // nobody searches a mailbox, and its fields have other names
	return c, true
}

func (d side) Changes(ctx context.Context, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	p, err := d.Conn.Changes(ctx, d.kind(k), cursor, limit)
	for i := range p.Changes {
		p.Changes[i].Record = d.inside(k, p.Changes[i].Record)
	}
	return p, err
}

func (d side) Get(ctx context.Context, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	rs, err := d.Conn.Get(ctx, d.kind(k), ids)
	for i := range rs {
		rs[i].Record = d.inside(k, rs[i].Record)
	}
	return rs, err
}

func (d side) Find(ctx context.Context, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	found, err := d.Conn.Find(ctx, d.kind(k), keys)
	for _, cs := range found {
		for i := range cs {
			cs[i].Record = d.inside(k, cs[i].Record)
		}
	}
	return found, err
}

func (d side) List(ctx context.Context, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return d.Conn.List(ctx, d.kind(k), after, limit)
}

func (d side) Create(ctx context.Context, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	out := slices.Clone(ds)
	for i := range out {
		out[i].Record = d.outside(out[i].Record)
	}
	return d.Conn.Create(ctx, d.kind(k), out)
}

func (d side) Update(ctx context.Context, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	out := slices.Clone(es)
	for i := range out {
		out[i].Record, out[i].Fields = d.outside(out[i].Record), slices.Clone(out[i].Fields)
		for n, f := range out[i].Fields {
			out[i].Fields[n] = d.field(k, f)
		}
	}
	return d.Conn.Update(ctx, d.kind(k), out)
}

func (d side) Delete(ctx context.Context, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return d.Conn.Delete(ctx, d.kind(k), ts)
}

func (d side) OpenAttachment(ctx context.Context, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	return d.Conn.OpenAttachment(ctx, d.kind(k), id, attachment)
}

func (d side) Attach(ctx context.Context, k connectors.Kind, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	return d.Conn.Attach(ctx, d.kind(k), t, a, content)
}

func (d side) Detach(ctx context.Context, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	return d.Conn.Detach(ctx, d.kind(k), t, attachment)
}

// ours leaves out items of the mailbox that this rule has not linked and that are
// another rule's, of those that keep theirs among the same items.
func (k *kindRound) ours(ctx context.Context, us []*unit) ([]*unit, error) {
	if len(k.siblings) == 0 {
		return us, nil
	}
	out := us[:0]
	for _, u := range us {
		theirs := false
		if v := u.views[1]; u.link == nil && v.id != "" {
			var err error
			if theirs, err = k.elsewhere(ctx, v.id, v.rec); err != nil {
				return nil, err
			}
		}
		if !theirs {
			out = append(out, u)
		}
	}
	return out, nil
}

// elsewhere reports whether an item is followed by another rule, or is what a create
// of another rule has made. One that its user took away from that rule, by marking
// it for this one, is free.
func (k *kindRound) elsewhere(ctx context.Context, id string, r *connectors.Record) (bool, error) {
	for _, other := range k.siblings {
		l, ok, err := k.st.Find(ctx, other.Kind, Right, id)
		if err != nil {
			return false, err
		}
		free := l.State == Unlinked
		if p := other.Policy; l.State == Outside && p != nil && p.Wants != nil && r != nil {
			free = p.Wants(Right, side{as: other.as()}.inside(other.Kind, k.p.conn(Right).outside(r)), k.now).Unmarked
		}
		if ok && !free {
			return true, nil
		}
	}
	return r != nil && r.Key != "" && k.theirs[r.Key], nil
}

// as is the kind under which the mailbox keeps what a rule is about.
func (r Rule) as() connectors.Kind {
	if r.Mailbox != 0 {
		return r.Mailbox
	}
	return r.Kind
}

// relate finds out which rules keep records among the same items of the mailbox.
func (k *kindRound) relate(ctx context.Context) error {
	for _, rule := range k.p.rules() {
		if rule.Kind != k.kind && rule.as() == k.t.rule.as() {
			k.siblings = append(k.siblings, rule)
		}
	}
	if len(k.siblings) == 0 {
		return nil
	}
	open, err := k.st.Intents(ctx)
	if err != nil {
		return err
	}
	k.theirs = map[string]bool{}
	for _, in := range open {
		if in.Side == Right && slices.ContainsFunc(k.siblings, func(r Rule) bool { return r.Kind == in.Kind }) {
			k.theirs[in.Key] = true
		}
	}
	return nil
}
