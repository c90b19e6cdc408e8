package authz

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// detail is what of an Authorization few checks read: bounds and condition, and
// what is only shown. It is never changed, and Authorizations that agree in it
// share one.
type detail struct {
	from, until time.Time
	grantedBy   Principal
	reason      string
	condition   string
	when        *condition // it, ready to be asked
	pending     bool
	approvedBy  Principal
}

// prepared is a change that is written and not yet published.
type prepared struct {
	runs      []preparedRun
	teams     []preparedTeams
	catalogue *catalogue
}

type preparedRun struct {
	p    *holder
	r    run
	gone *holding // in the run before, to be marked so
}

type preparedTeams struct {
	p   *holder
	all *[]*holder
}

// apply makes a valid change and returns the index. What it costs depends on
// the change and on what the principals in it hold, not on how much is kept.
// Everything is written first and then published in one stroke: whoever asks
// meanwhile is answered from before the change or from after it.
func (ix *index) apply(c Change) *index {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	todo := prepared{runs: ix.runs[:0], catalogue: ix.cat()}
	if len(c.Define)+len(c.Undefine) > 0 {
		ix.defined = c.apply(Assignments{Roles: ix.defined}).Roles
		todo.catalogue = ix.cat().after(ix.defined)
	}
	if len(c.Leave)+len(c.Join) > 0 {
		ix.join(&todo, c.Leave, c.Join)
	}
	ix.assign(&todo, c.Remove, c.Add)

	concerned := ix.parts[:]
	if len(todo.runs) == 1 && len(todo.teams) == 0 && todo.catalogue == ix.cat() {
		i := todo.runs[0].p.number % uint32(len(ix.parts))
		concerned = ix.parts[i : i+1]
	}
	ix.all.begun.Add(1)
	for i := range concerned {
		concerned[i].begun.Add(1)
	}
	if todo.catalogue != ix.cat() {
		ix.catalogue.Store(todo.catalogue)
	}
	for _, t := range todo.teams {
		t.p.teams.Store(t.all)
		ix.slab.mark(t.p.number, t.all != nil)
	}
	for i, r := range todo.runs {
		if r.gone != nil {
			r.gone.strike()
		}
		todo.runs[i].r = ix.slab.publish(r.p, r.r)
	}
	ix.rev.Store(c.Revision)
	for i := range concerned {
		concerned[i].done.Add(1)
	}
	ix.all.done.Add(1)
	for _, r := range todo.runs {
		ix.slab.count(r.p, r.r)
	}
	for _, r := range todo.runs {
		ix.slab.tidy(r.r)
	}
	ix.runs = todo.runs[:0]
	return ix
}

// step is one Authorization of a change: removed, or added.
type step struct {
	who    uint32
	remove bool
	i      int
}

// fits refuses a change after which a principal would hold more than a run can
// name.
func (ix *index) fits(c Change) error {
	if len(c.Add) == 0 {
		return nil
	}
	more, text := map[string]int{}, ix.tree.names.used
	for i := range c.Add {
		more[c.Add[i].Principal.name]++
		text += len(c.Add[i].Resource.path)
	}
	if text > maxText {
		return errNames
	}
	for name, n := range more {
		p := ix.find(name)
		if p == nil {
			p = new(holder)
		}
		v := ix.runOf(p)
		if n += v.living(); n <= maxRun {
			continue
		}
		gone := map[uuid.UUID]bool{}
		for i := range c.Remove {
			gone[c.Remove[i].ID] = true
		}
		for i, e := range v.holdings {
			if !e.gone() && gone[v.asides[i].id] {
				n--
			}
		}
		if n > maxRun {
			return tooMuch(name, n)
		}
	}
	return nil
}

var errNames = fmt.Errorf("authz: change: names of resources would take more than %d bytes", maxText)

func tooMuch(name string, n int) error {
	return fmt.Errorf("authz: authorization: %s would hold %d, %d at most: give them to a team or higher up", name, n, maxRun)
}

func usedTwice(id uuid.UUID) error {
	return fmt.Errorf("authz: authorization: id %s: missing or used twice", id)
}

func (ix *index) assign(todo *prepared, remove, add []Authorization) {
	if len(remove)+len(add) == 1 {
		ix.assignOne(todo, remove, add)
		return
	}
	steps := make([]step, 0, len(remove)+len(add))
	for i := range remove {
		steps = append(steps, step{ix.know(remove[i].Principal.name).number, true, i})
	}
	for i := range add {
		steps = append(steps, step{ix.know(add[i].Principal.name).number, false, i})
	}
	slices.SortFunc(steps, func(a, b step) int {
		if a.who != b.who {
			return cmp.Compare(a.who, b.who)
		}
		if a.remove != b.remove {
			if a.remove {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.i, b.i)
	})
	for i := 0; i < len(steps); {
		j := i
		for j < len(steps) && steps[j].who == steps[i].who {
			j++
		}
		ix.write(todo, ix.principals.at(steps[i].who), remove, add, steps[i:j])
		i = j
	}
}

// assignOne is assign of one, as most changes are.
func (ix *index) assignOne(todo *prepared, remove, add []Authorization) {
	if len(remove) == 1 {
		x := &remove[0]
		id := ix.lookAgain(x)
		n := ix.numberBy(id, x.ID)
		if n == 0 {
			return
		}
		p, _, i := ix.standing(n)
		gone, r := ix.slab.strike(p, i)
		if gone == nil {
			r = ix.slab.prepare(p, 0, func(v view) view { return v.remove(v.of(n, ix.auths[n].node)) })
		}
		ix.delist(n, id)
		todo.runs = append(todo.runs, preparedRun{p, r, gone})
		return
	}
	x := &add[0]
	l := ix.look(x)
	p := ix.knowBy(l.who, x.Principal.name)
	e, a := ix.give(todo.catalogue, p, x, l.on, l.id)
	b, r, i := ix.slab.spare(p)
	if b == nil {
		r = ix.slab.prepare(p, 1, func(v view) view { return v.insert(e, a) })
	} else {
		b.holdings[i], b.asides[i] = e, a
	}
	todo.runs = append(todo.runs, preparedRun{p: p, r: r})
}

// write prepares the steps of one principal.
func (ix *index) write(todo *prepared, p *holder, remove, add []Authorization, steps []step) {
	adds := 0
	for _, s := range steps {
		if !s.remove {
			adds++
		}
	}
	give := func(x *Authorization) (holding, aside) {
		return ix.give(todo.catalogue, p, x, maphash.String(ix.seed, x.Resource.path), maphash.Bytes(ix.seed, x.ID[:]))
	}
	if len(steps) == 1 && adds == 1 {
		if b, r, i := ix.slab.spare(p); b != nil {
			b.holdings[i], b.asides[i] = give(&add[steps[0].i])
			todo.runs = append(todo.runs, preparedRun{p: p, r: r})
			return
		}
	}
	r := ix.slab.prepare(p, adds, func(v view) view {
		for _, s := range steps {
			if s.remove {
				v = ix.take(v, remove[s.i].ID)
			} else {
				v = v.insert(give(&add[s.i]))
			}
		}
		return v
	})
	todo.runs = append(todo.runs, preparedRun{p: p, r: r})
}

// give returns the entry of an Authorization, known to all but the run. It goes
// by the hashes of its resource and of its id.
func (ix *index) give(c *catalogue, p *holder, x *Authorization, on, id uint64) (holding, aside) {
	node := ix.tree.addBy(on, x.Resource.path)
	n := ix.enlist(p.number, node)
	ix.byID.put(id, n)
	return newHolding(node, c.number16[x.Role.name], ix.tree.nodes.at(node).depth, flagged(x)), aside{x.ID, ix.detail(x), n}
}

// enlist gives a number to what a principal is given on a node.
func (ix *index) enlist(principal, node uint32) (n uint32) {
	if last := len(ix.free) - 1; last >= 0 {
		n, ix.free = ix.free[last], ix.free[:last]
	} else {
		n = uint32(len(ix.auths))
		ix.auths = append(ix.auths, auth{})
	}
	head := &ix.tree.below[node].auths
	ix.auths[n] = auth{principal: principal, node: node, next: *head}
	if *head != 0 {
		ix.auths[*head].prev = n
	}
	*head = n
	return n
}

func (ix *index) take(v view, id uuid.UUID) view {
	i := slices.IndexFunc(v.asides, func(a aside) bool { return a.id == id })
	if i < 0 {
		return v
	}
	ix.delist(v.asides[i].auth, maphash.Bytes(ix.seed, id[:]))
	return v.remove(i)
}

// delist takes back a number, known by the hash of its id.
func (ix *index) delist(n uint32, id uint64) {
	a := ix.auths[n]
	if a.prev != 0 {
		ix.auths[a.prev].next = a.next
	} else {
		ix.tree.below[a.node].auths = a.next
	}
	if a.next != 0 {
		ix.auths[a.next].prev = a.prev
	}
	ix.byID.remove(id, n)
	ix.free = append(ix.free, n)
}

// flagged returns the flags of an Authorization's holding.
func flagged(x *Authorization) (flags uint8) {
	if x.Effect == Deny {
		flags |= isDeny
	}
	if !x.From.IsZero() || !x.Until.IsZero() {
		flags |= isBounded
	}
	if x.Condition != "" {
		flags |= isConditional
	}
	if x.Pending {
		flags |= isPending
	}
	return flags
}

// detailOf returns the detail of an Authorization, shared with none. One of
// several that differ in nothing has the same condition, ready to be asked. For
// whoever has the pen.
func (ix *index) detailOf(x *Authorization) *detail {
	d := &detail{from: x.From, until: x.Until, grantedBy: x.GrantedBy, reason: x.Reason, condition: x.Condition, pending: x.Pending, approvedBy: x.ApprovedBy}
	if x.Condition != "" {
		if d.when = ix.when[x.Condition]; d.when == nil {
			d.when, _ = compileCondition(x.Condition) // nil, and it gives nothing, if that cannot be
		}
	}
	return d
}

// detail returns what agrees with an Authorization, made if it was not made
// lately.
func (ix *index) detail(x *Authorization) *detail {
	if l := ix.last; l != nil && l.of(x) {
		return l
	}
	h := maphash.String(ix.seed, x.Reason) + uint64(x.From.UnixNano())*3 + uint64(x.Until.UnixNano())*5
	slot := &ix.recent[h*0x9E3779B97F4A7C15>>54] // by the upper bits of a product, which all the lower ones change
	if *slot == nil || !(*slot).of(x) {
		*slot = ix.own(ix.detailOf(x))
	}
	ix.last = *slot
	return ix.last
}

// of says whether this is the detail of an Authorization.
func (d *detail) of(x *Authorization) bool {
	return d.from == x.From && d.until == x.Until && d.grantedBy == x.GrantedBy && d.reason == x.Reason && d.condition == x.Condition &&
		d.pending == x.Pending && d.approvedBy == x.ApprovedBy
}

// own returns a copy that shares no text with what it was read from.
func (ix *index) own(d *detail) *detail {
	to := *d
	if l := ix.last; l != nil && l.grantedBy == d.grantedBy {
		to.grantedBy = l.grantedBy
	} else {
		to.grantedBy.name = strings.Clone(d.grantedBy.name)
	}
	to.reason, to.condition = strings.Clone(d.reason), strings.Clone(d.condition)
	to.approvedBy.name = strings.Clone(d.approvedBy.name)
	if d.when != nil {
		ix.when[to.condition] = d.when
	}
	return &to
}

// join changes memberships and prepares the teams of all whom it concerns.
func (ix *index) join(todo *prepared, leave, join []Membership) {
	concerned := map[*holder]bool{}
	mark := func(p *holder) {
		below := []*holder{p}
		for len(below) > 0 {
			p, below = below[len(below)-1], below[:len(below)-1]
			if !concerned[p] {
				concerned[p] = true
				below = append(below, ix.inside[p]...)
			}
		}
	}
	for _, m := range leave {
		if !ix.members[m] {
			continue
		}
		delete(ix.members, m)
		p, t := ix.know(m.Member.name), ix.know(m.Team.name)
		without(ix.inside, t, p)
		without(ix.above, p, t)
		mark(p)
	}
	for _, m := range join {
		if ix.members[m] {
			continue
		}
		ix.members[m] = true
		p, t := ix.know(m.Member.name), ix.know(m.Team.name)
		ix.inside[t] = append(ix.inside[t], p)
		ix.above[p] = append(ix.above[p], t)
		mark(p)
	}
	for p := range concerned {
		var all []*holder
		seen := map[*holder]bool{p: true}
		for level := ix.above[p]; len(level) > 0; {
			var next []*holder
			for _, t := range level {
				if !seen[t] {
					seen[t] = true
					all = append(all, t)
					next = append(next, ix.above[t]...)
				}
			}
			level = next
		}
		t := preparedTeams{p: p}
		if all != nil {
			t.all = &all
		}
		todo.teams = append(todo.teams, t)
	}
}

func without(m map[*holder][]*holder, key, gone *holder) {
	if m[key] = slices.DeleteFunc(m[key], func(p *holder) bool { return p == gone }); len(m[key]) == 0 {
		delete(m, key)
	}
}
