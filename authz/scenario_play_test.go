package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
)

// tally counts what was asked, and what happened meanwhile that is worth being
// sure of.
type tally struct {
	decisions, allowed, denied, reasons       int
	names, handles                            int // how each was asked
	changes, reloads, longRuns, blocks, moved int // moved: blocks that were given back
	biggest, judged                           int
}

func (t *tally) add(o tally) {
	t.decisions += o.decisions
	t.allowed += o.allowed
	t.denied += o.denied
	t.reasons += o.reasons
	t.names += o.names
	t.handles += o.handles
	t.changes += o.changes
	t.reloads += o.reloads
	t.longRuns += o.longRuns
	t.blocks += o.blocks
	t.moved += o.moved
	t.judged += o.judged
	t.biggest = max(t.biggest, o.biggest)
}

// mismatch is a question that the product answers otherwise than the reference.
type mismatch struct {
	event           int
	who, do, on     int
	now             time.Time
	want            bool
	what            string
	rows            []int    // that were there
	members         [][2]int // that were there
	onlyWithHistory bool
}

// play is a scenario that is going on.
type play struct {
	s       *scenario
	a       *Authorizer
	now     time.Time
	who     []Principal
	do      []Permission
	on      []Resource
	keys    []string // of who, in the words of the reference
	ref     refWorld
	ids     []uuid.UUID // of rows
	in      []bool
	members [][2]int
	byID    map[uuid.UUID]int
	whoH    []PrincipalHandle
	doH     []PermissionHandle
	onH     []ResourceHandle
	holds   *index // the index that the handles are of
	lie     func(Decision) Decision
	judge   judge
	tally   tally
}

// judge gives another opinion on everything that is asked: what the reference
// says is in words. It returns what it says otherwise, and how much it was asked.
type judge func(p *play, words []uint64) (*mismatch, int)

// play makes everything happen and asks everything after every few events. It
// returns the first mismatch. lie, if not nil, changes what the product says:
// so a test learns whether a mistake would be found.
func (s *scenario) play(lie func(Decision) Decision, j judge) (found *mismatch, _ tally, _ error) {
	p := &play{s: s, now: beginning, lie: lie, judge: j}
	at := 0
	defer func() {
		if r := recover(); r != nil { // a mistake too, to be shown small like any other
			found = p.mismatch(fmt.Sprint("panic: ", r))
			found.event = at
		}
	}()
	if err := p.begin(); err != nil {
		return nil, p.tally, err
	}
	for i, e := range s.events {
		at = i
		if err := p.happen(e); err != nil {
			return nil, p.tally, fmt.Errorf("event %d: %w", i, err)
		}
		if i == s.handlesAt || p.holds != nil && p.holds != p.a.ix {
			if err := p.hold(); err != nil {
				return nil, p.tally, err
			}
		}
		if i%s.every == 0 || i == len(s.events)-1 {
			if m := p.ask(); m != nil {
				m.event = i
				return m, p.tally, nil
			}
		}
	}
	p.tally.blocks, p.tally.moved = blocks(p.a.ix)
	return nil, p.tally, nil
}

func (p *play) begin() error {
	s := p.s
	p.in, p.byID = make([]bool, len(s.rows)), map[uuid.UUID]int{}
	var ps, rs strings.Builder
	p.ref = refWorld{carries: map[string][]string{}, includes: map[string][]string{}}
	for i := range s.filler {
		fmt.Fprintf(&ps, "a.f%d, filler\n", i)
		fmt.Fprintf(&rs, "p, role:keep, a.f%d\n", i)
	}
	for _, n := range s.permissions {
		fmt.Fprintf(&ps, "%s, asked for\n", n)
		fmt.Fprintf(&rs, "p, role:keep, %s\n", n)
		p.do = append(p.do, Permission{n})
	}
	for _, r := range s.roles {
		for _, c := range r.carries {
			fmt.Fprintf(&rs, "p, %s, %s\n", r.name, c)
		}
		for _, o := range r.includes {
			fmt.Fprintf(&rs, "g, %s, %s\n", r.name, o)
		}
		p.ref.carries[r.name], p.ref.includes[r.name] = r.carries, r.includes
	}
	var err error
	p.a, err = New(context.Background(), fstest.MapFS{"model.conf": {Data: []byte(indexable)}, "permissions.csv": {Data: []byte(ps.String())}, "roles.csv": {Data: []byte(rs.String())}},
		&Options{Clock: func() time.Time { return p.now }})
	if err != nil {
		return err
	}
	for _, n := range s.who {
		var x Principal
		switch n.kind {
		case "user":
			x, err = User(n.parts[0], n.parts[1])
		case "service":
			x, err = Service(n.parts[0])
		default:
			x, err = Team(n.parts[0])
		}
		if err != nil {
			return err
		}
		p.who, p.keys = append(p.who, x), append(p.keys, n.key())
	}
	for _, at := range s.places {
		r, err := NewResource(at...)
		if err != nil {
			return err
		}
		p.on = append(p.on, r)
	}
	for i := range s.rows {
		id := newID()
		p.ids = append(p.ids, id)
		p.byID[id] = i
	}
	return nil
}

func (p *play) row(i int) Authorization {
	r := p.s.rows[i]
	x := Authorization{ID: p.ids[i], Principal: p.who[r.who], Role: Role{p.s.roles[r.role].name}, Resource: p.on[r.place], Effect: Allow}
	if r.deny {
		x.Effect = Deny
	}
	x.From, x.Until = r.times()
	return x
}

// happen makes an event happen to product and reference. What of it means
// nothing any more, since what led to it was left out, is left out too.
func (p *play) happen(e event) error {
	c := Change{Revision: p.a.ix.revision() + 1, Time: p.now}
	for _, i := range e.remove {
		if p.in[i] {
			c.Remove = append(c.Remove, p.row(i))
			p.in[i] = false
		}
	}
	for _, i := range e.add {
		if !p.in[i] {
			c.Add = append(c.Add, p.row(i))
			p.in[i] = true
		}
	}
	link := func(m [2]int) [2]string { return [2]string{p.keys[m[0]], p.keys[m[1]]} }
	for _, m := range e.leave {
		if i := slices.Index(p.members, m); i >= 0 {
			p.members = slices.Delete(p.members, i, i+1)
			c.Leave = append(c.Leave, Membership{p.who[m[0]], p.who[m[1]]})
		}
	}
	p.ref.members = p.ref.members[:0]
	for _, m := range p.members {
		p.ref.members = append(p.ref.members, link(m))
	}
	for _, m := range e.join {
		if x := (Membership{p.who[m[0]], p.who[m[1]]}); !slices.Contains(p.members, m) && !slices.Contains(c.Leave, x) && !p.ref.is(p.keys[m[1]], p.keys[m[0]]) {
			p.members = append(p.members, m)
			p.ref.members = append(p.ref.members, link(m))
			c.Join = append(c.Join, x)
		}
	}
	p.ref.rows = p.ref.rows[:0]
	for i, r := range p.s.rows {
		if p.in[i] {
			from, until := r.times()
			p.ref.rows = append(p.ref.rows, refRow{who: p.keys[r.who], role: p.s.roles[r.role].name, on: p.s.places[r.place], deny: r.deny, from: from, until: until})
		}
	}
	ctx := context.Background()
	if err := p.a.valid(p.a.ix, c); err != nil {
		return err
	}
	if err := p.a.store.Apply(ctx, c); err != nil {
		return err
	}
	p.a.ix.apply(c)
	p.tally.changes++
	p.now = p.now.Add(time.Duration(e.minutes) * time.Minute)
	if e.reload {
		all, moved := blocks(p.a.ix)
		p.tally.blocks, p.tally.moved = p.tally.blocks+all, p.tally.moved+moved
		p.tally.reloads++
		return p.a.load(ctx)
	}
	return nil
}

// hold makes handles of everything.
func (p *play) hold() (err error) {
	p.holds = p.a.ix
	p.whoH, p.doH, p.onH = make([]PrincipalHandle, len(p.who)), make([]PermissionHandle, len(p.do)), make([]ResourceHandle, len(p.on))
	for i := range p.who {
		if p.whoH[i], err = p.a.PrincipalHandle(p.who[i]); err != nil {
			return err
		}
	}
	for i := range p.do {
		if p.doH[i], err = p.a.PermissionHandle(p.do[i]); err != nil {
			return err
		}
	}
	for i := range p.on {
		if p.onH[i], err = p.a.ResourceHandle(p.on[i]); err != nil {
			return err
		}
	}
	return nil
}

// ask asks everything, by names and, once there are any, by handles.
func (p *play) ask() *mismatch {
	ctx := context.Background()
	words := p.ref.matrix(p.keys, p.s.permissions, p.s.places, p.now)
	if p.judge != nil {
		m, n := p.judge(p, words)
		if p.tally.judged += n; m != nil {
			return m
		}
	}
	for i := range p.who {
		if n := len(p.a.ix.heldBy(p.who[i])); n > longRun {
			p.tally.longRuns++
			p.tally.biggest = max(p.tally.biggest, n)
		}
		for k := range p.on {
			word := words[i*len(p.on)+k]
			for j := range p.do {
				want := word>>j&1 == 1
				d, err := p.a.Check(ctx, Request{Principal: p.who[i], Permission: p.do[j], Resource: p.on[k]})
				if p.lie != nil {
					d = p.lie(d)
				}
				p.tally.decisions++
				p.tally.names++
				what := ""
				switch {
				case err != nil:
					what = err.Error()
				case d.Allowed != want:
					what = "by names: " + d.Reason()
				case want != (d.Code == AllowedBy) || d.Revision != p.a.ix.revision() || d.Principal != p.who[i]:
					what = fmt.Sprintf("by names: allowed is %v but the decision is %+v", want, d)
				case (p.tally.decisions)%8 == 0 && !p.reasonHolds(i, j, k, d):
					what = "by names: no such reason: " + d.Reason()
				}
				if what == "" && p.holds != nil {
					p.tally.handles++
					ans := p.a.CheckHandles(p.whoH[i], p.doH[j], &p.onH[k])
					if ans.Allowed() != want {
						what = "by handles: " + ans.Decision().Reason()
					} else if p.tally.decisions%8 == 0 && p.lie == nil && ans.Decision() != d {
						what = fmt.Sprintf("by handles %+v, by names %+v", ans.Decision(), d)
					}
				}
				if what != "" {
					m := p.mismatch(what)
					m.who, m.do, m.on, m.want = i, j, k, want
					return m
				}
				switch d.Code {
				case AllowedBy:
					p.tally.allowed++
				case DeniedBy:
					p.tally.denied++
				}
			}
		}
	}
	return nil
}

func (p *play) mismatch(what string) *mismatch {
	m := &mismatch{what: what, now: p.now, members: slices.Clone(p.members)}
	for r := range p.in {
		if p.in[r] {
			m.rows = append(m.rows, r)
		}
	}
	return m
}

// reasonHolds says whether the reason of a decision is one, by the reference.
func (p *play) reasonHolds(who, do, on int, d Decision) bool {
	if d.Code != AllowedBy && d.Code != DeniedBy {
		return d.Code == NothingHeld && d.Authorization == uuid.Nil && d.Through.IsZero()
	}
	p.tally.reasons++
	i, ok := p.byID[d.Authorization]
	if !ok || !p.in[i] {
		return false
	}
	r := p.s.rows[i]
	from, until := r.times()
	role := p.s.roles[r.role].name
	return r.deny == (d.Code == DeniedBy) && (refRow{from: from, until: until}).counts(p.now) && below(p.s.places[on], p.s.places[r.place]) &&
		p.ref.is(p.keys[who], p.keys[r.who]) && p.ref.has(role, p.s.permissions[do]) &&
		d.Role.name == role && d.On == p.on[r.place] && d.Through == p.who[r.who]
}
