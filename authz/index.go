package authz

import (
	"hash/maphash"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// index is everything that is assigned, made for asking. Checks take no lock
// and go on beside a change, which is written first and published in one stroke.
// Changes come one at a time.
type index struct {
	// What every check reads and changes of Authorizations leave alone. What they
	// write lies elsewhere: whoever reads beside a writer would wait for each
	// line of memory that both need.
	catalogue  atomic.Pointer[catalogue]
	now        func() time.Time
	seed       maphash.Seed
	tree       *tree
	principals chunked[holder]
	who        table // their names
	slab       slab

	_     apart
	rev   atomic.Uint64
	_     apart
	all   turns     // of all changes
	parts [64]turns // of those that concern some of the principals
	_     apart

	mu      sync.RWMutex // for what follows, and for tree.below: changes against lists
	auths   []auth       // by number
	free    []uint32     // numbers to use again
	byID    table
	members map[Membership]bool
	inside  map[*holder][]*holder // who was made a member of a team
	above   map[*holder][]*holder // of which teams somebody was made a member
	defined []RoleDefinition
	when    map[string]*condition // by their text
	recent  [1024]*detail         // those made lately, to be shared
	last    *detail
	runs    []preparedRun // to be used again
	seen    uint64        // what was looked at, so that looking is not left out
}

// turns count changes that are being published, and that were. Reading what they
// concern counts only if none was published meanwhile.
//
// A change of what stands under one name concerns a part of the principals, any
// other all of them. So readers seldom meet a writer that is as fast as they are.
type turns struct {
	begun, done atomic.Uint64
	_           [112]byte
}

// partOf returns what to watch while reading for one principal. Of what many
// hold together, teams, every change is watched, as it is for who is not known.
func (ix *index) partOf(n uint32) *turns {
	if n == 0 || ix.slab.word(n).inTeams() {
		return &ix.all
	}
	return &ix.parts[n%uint32(len(ix.parts))]
}

// apart keeps what is before it and what is after it on different lines of a
// processor's cache, and on different pairs of lines where it fetches pairs.
type apart [128]byte

// holder is a principal that the index knows. It is never removed.
type holder struct {
	name   string
	teams  atomic.Pointer[[]*holder] // all that it is in, through teams too
	number uint32
}

// auth is where an Authorization is found from its id and from its resource.
type auth struct {
	principal  uint32
	node       uint32
	next, prev uint32 // others on the node
}

// newIndex makes an index of what is given, which must be valid.
func newIndex(c *catalogue, as []Authorization, ms []Membership, revision uint64, now func() time.Time) *index {
	if now == nil {
		now = time.Now
	}
	seed := maphash.MakeSeed()
	ix := &index{now: now, seed: seed, tree: newTree(seed), auths: make([]auth, 1), members: map[Membership]bool{},
		inside: map[*holder][]*holder{}, above: map[*holder][]*holder{}, when: map[string]*condition{}}
	ix.principals.next() // number 0 is nobody
	ix.slab.words.next()
	ix.catalogue.Store(c)
	ix.apply(Change{Revision: revision, Join: ms})
	f := &filling{ix: ix, c: c}
	for i := range as {
		if err := f.place(&as[i], c.number16[as[i].Role.name]); err != nil {
			panic(err)
		}
	}
	if err := f.done(); err != nil {
		panic(err)
	}
	return ix
}

func (ix *index) revision() uint64 { return ix.rev.Load() }
func (ix *index) cat() *catalogue  { return ix.catalogue.Load() }

// find returns a principal that the index knows, or nil.
func (ix *index) find(name string) *holder { return ix.findBy(maphash.String(ix.seed, name), name) }

func (ix *index) findBy(hash uint64, name string) *holder {
	for pr := ix.who.probe(hash); ; {
		n := pr.next()
		if n == 0 {
			return nil
		}
		if p := ix.principals.at(n); p.name == name {
			return p
		}
	}
}

// numberOf returns a principal's number, 0 if it is not known.
func (ix *index) numberOf(name string) uint32 {
	if p := ix.find(name); p != nil {
		return p.number
	}
	return 0
}

// know returns a principal, made if need be.
func (ix *index) know(name string) *holder { return ix.knowBy(maphash.String(ix.seed, name), name) }

func (ix *index) knowBy(hash uint64, name string) *holder {
	if p := ix.findBy(hash, name); p != nil {
		return p
	}
	n, p := ix.principals.next()
	ix.slab.words.next()
	p.name, p.number = strings.Clone(name), n
	ix.who.put(hash, n)
	return p
}

// question is one permission in some circumstances, for one principal after
// another. Where it is asked for stays apart, so that it stays on the stack.
type question struct {
	bit     int
	context Context
	now     time.Time // read from the clock when the first entry asks for it
}

// found is what decided: an entry of somebody's run.
type found struct {
	code   Code
	holder uint32
	b      *block
	i      int
}

// ask answers for one principal, by its number, 0 for one that is not known. It
// allocates nothing.
func (ix *index) ask(n uint32, at *place, q *question) found {
	f := found{code: NothingHeld}
	c := ix.catalogue.Load()
	if ix.scan(c, n, at, q, &f).inTeams() {
		for _, t := range ix.principals.at(n).all() {
			if f.code == DeniedBy {
				break
			}
			ix.scan(c, t.number, at, q, &f)
		}
	}
	return f
}

// longRun is from where on a run is searched and not read.
const longRun = 32

// scan takes into account what stands under one name, and returns its run.
func (ix *index) scan(c *catalogue, n uint32, at *place, q *question, f *found) run {
	r, b := ix.slab.read(n)
	if b == nil {
		return r
	}
	from := r.offset()
	es := b.holdings[from : from+r.length()]
	if len(es) <= longRun {
		for i := range es {
			e := es[i].load()
			if e.level() < at.known && at.at[e.level()] == e.node() && ix.weigh(c, n, b, from+i, e, q, f) {
				break
			}
		}
		return r
	}
	for level := range at.known {
		node := at.at[level]
		i, _ := slices.BinarySearchFunc(es, node, func(e holding, n uint32) int {
			if e.node() < n {
				return -1
			}
			if e.node() > n {
				return 1
			}
			return 0
		})
		for ; i < len(es) && es[i].node() == node; i++ {
			if ix.weigh(c, n, b, from+i, es[i], q, f) {
				return r
			}
		}
	}
	return r
}

// weigh takes an entry on the path into account and reports whether it settles
// the question, as a deny does.
func (ix *index) weigh(c *catalogue, n uint32, b *block, i int, e holding, q *question, f *found) bool {
	if !c.carries(e.role(), q.bit) || e.flags()&^isDeny != 0 && !ix.counts(e, b.asides[i].detail, q) {
		return false
	}
	if e.flags()&isDeny != 0 {
		*f = found{DeniedBy, n, b, i}
		return true
	}
	if f.code != AllowedBy {
		*f = found{AllowedBy, n, b, i}
	}
	return false
}

// counts says whether an entry counts at this time and in this context.
func (ix *index) counts(e holding, d *detail, q *question) bool {
	if e.flags()&(isPending|isGone) != 0 {
		return false
	}
	if q.now.IsZero() {
		q.now = ix.now()
	}
	if e.flags()&isBounded != 0 && !active(d.from, d.until, q.now) {
		return false
	}
	if e.flags()&isConditional == 0 {
		return true
	}
	effect := Allow
	if e.flags()&isDeny != 0 {
		effect = Deny
	}
	return d.when.counts(effect, q.context, q.now)
}

// decide answers by names, without context.
func (ix *index) decide(p Principal, bit int, r Resource) Decision {
	return ix.decideIn(p, bit, r, Context{})
}

// decideIn answers by names.
func (ix *index) decideIn(p Principal, bit int, r Resource, in Context) Decision {
	var at place
	q := question{bit: bit, context: in}
	for {
		who := ix.numberOf(p.name)
		part := ix.partOf(who)
		turn, rev := ix.begin(part)
		if who == 0 {
			who = ix.numberOf(p.name) // who may have become known before reading began
		}
		ix.tree.find(r.path, &at)
		f := ix.ask(who, &at, &q)
		if part.end(turn) {
			d := Decision{Principal: p, Revision: rev}
			ix.spell(f, r.path, &d)
			return d
		}
	}
}

// begin starts reading and returns the revision that is read. What was read
// counts only if end says so: a change may be published meanwhile.
func (ix *index) begin(part *turns) (turn, rev uint64) {
	for n := 0; ; n++ {
		turn = part.done.Load()
		if rev = ix.rev.Load(); part.begun.Load() == turn {
			return turn, rev
		}
		if n >= 100 { // it is long over, unless the writer waits for a processor
			runtime.Gosched()
		}
	}
}

func (t *turns) end(turn uint64) bool { return t.begun.Load() == turn }

// spell writes out what decided. The resource is an ancestor of the one that
// was asked for, so its path is the beginning of that path.
func (ix *index) spell(f found, path string, d *Decision) {
	d.Code, d.Allowed = f.code, f.code == AllowedBy
	if f.holder == 0 {
		return
	}
	e := f.b.holdings[f.i].load()
	d.Through, d.Authorization = Principal{ix.principals.at(f.holder).name}, f.b.asides[f.i].id
	d.Role = Role{ix.catalogue.Load().roleName(e.role())}
	d.On = Resource{prefix(path, int(e.level()))}
}

// prefix returns the first level+1 segments of a path.
func prefix(path string, level int) string {
	for i := range len(path) {
		if path[i] == '/' {
			if level == 0 {
				return path[:i]
			}
			level--
		}
	}
	return path
}

// holdsIn is the question that Casbin's matcher asks.
func (ix *index) holdsIn(p Principal, role string, e Effect, r Resource, in Context) bool {
	n, ok := ix.cat().number16[role]
	who := ix.find(p.name)
	if !ok || who == nil {
		return false
	}
	var at place
	ix.tree.find(r.path, &at)
	q := question{context: in}
	match := func(holder *holder) bool {
		v := ix.runOf(holder)
		for i := range v.holdings {
			x := v.at(i)
			if x.role() == n && (x.flags()&isDeny != 0) == (e == Deny) && x.level() < at.known && at.at[x.level()] == x.node() &&
				ix.counts(x, v.asides[i].detail, &q) {
				return true
			}
		}
		return false
	}
	return match(who) || slices.ContainsFunc(who.all(), match)
}

// all returns the teams of a principal.
func (p *holder) all() []*holder {
	if t := p.teams.Load(); t != nil {
		return *t
	}
	return nil
}

// runOf returns what stands under a principal's own name.
func (ix *index) runOf(p *holder) view {
	r, b := ix.slab.read(p.number)
	if b == nil {
		return view{}
	}
	return b.view(r)
}

// heldBy returns what stands under a principal's own name, not its teams', at one
// revision.
func (ix *index) heldBy(p Principal) []Authorization {
	who := ix.find(p.name)
	if who == nil {
		return nil
	}
	part := ix.partOf(who.number)
	for {
		turn, _ := ix.begin(part)
		v := ix.runOf(who)
		out := make([]Authorization, 0, len(v.holdings))
		for i := range v.holdings {
			if e := v.at(i); !e.gone() {
				out = append(out, ix.whole(who, v, i, e))
			}
		}
		if part.end(turn) {
			return out
		}
	}
}

// whole puts an Authorization together again.
func (ix *index) whole(who *holder, v view, i int, e holding) Authorization {
	d := v.asides[i].detail
	x := Authorization{ID: v.asides[i].id, Principal: Principal{who.name}, Role: Role{ix.cat().roleName(e.role())}, Resource: Resource{ix.tree.path(e.node())}, Effect: Allow,
		From: d.from, Until: d.until, GrantedBy: d.grantedBy, Reason: d.reason, Condition: d.condition, Pending: d.pending, ApprovedBy: d.approvedBy}
	if e.flags()&isDeny != 0 {
		x.Effect = Deny
	}
	return x
}

// teamsOf returns every team that a principal is in, through teams too.
func (ix *index) teamsOf(p Principal) []Principal {
	who := ix.find(p.name)
	if who == nil {
		return nil
	}
	var out []Principal
	for _, t := range who.all() {
		out = append(out, Principal{t.name})
	}
	return out
}

// get returns an Authorization by its id.
func (ix *index) get(id uuid.UUID) (Authorization, bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	n := ix.number(id)
	if n == 0 {
		return Authorization{}, false
	}
	return ix.numbered(n), true
}

// numbered returns an Authorization by its number. Under mu.
func (ix *index) numbered(n uint32) Authorization {
	who, v, i := ix.standing(n)
	return ix.whole(who, v, i, v.holdings[i])
}

// standing returns where an Authorization stands, by its number, -1 if that is no
// one's. Under mu.
func (ix *index) standing(n uint32) (who *holder, in view, i int) {
	a := &ix.auths[n]
	who = ix.principals.at(a.principal)
	in = ix.runOf(who)
	return who, in, in.of(n, a.node)
}

// has says whether an id is in use.
func (ix *index) has(id uuid.UUID) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.number(id) != 0
}

// number returns the number of an Authorization, 0 if there is none. Under mu.
func (ix *index) number(id uuid.UUID) uint32 {
	return ix.numberBy(maphash.Bytes(ix.seed, id[:]), id)
}

func (ix *index) numberBy(hash uint64, id uuid.UUID) uint32 {
	for pr := ix.byID.probe(hash); ; {
		n := pr.next()
		if n == 0 {
			return 0
		}
		if _, v, i := ix.standing(n); i >= 0 && v.asides[i].id == id {
			return n
		}
	}
}

// each returns all Authorizations, in any order. What changes meanwhile may be
// among them or not.
func (ix *index) each() iter.Seq[Authorization] {
	return func(yield func(Authorization) bool) {
		ix.mu.RLock()
		size := ix.principals.size()
		ix.mu.RUnlock()
		for n := uint32(1); n < size; n++ {
			who := ix.principals.at(n)
			v := ix.runOf(who)
			for i := range v.holdings {
				if e := v.at(i); !e.gone() && !yield(ix.whole(who, v, i, e)) {
					return
				}
			}
		}
	}
}

// isMember says whether somebody was made a member of a team, itself.
func (ix *index) isMember(m Membership) bool {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.members[m]
}

// memberships returns all of them, in any order.
func (ix *index) memberships() []Membership {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	out := make([]Membership, 0, len(ix.members))
	for m := range ix.members {
		out = append(out, m)
	}
	return out
}

// roles returns the roles that were defined while running.
func (ix *index) roles() []RoleDefinition {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	return ix.defined
}
