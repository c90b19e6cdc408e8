package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// op is what a step does.
type op uint8

const (
	opUser      op = iota // somebody edits something
	opRound               // a mailbox's round
	opWait                // time passes, or jumps
	opEnv                 // a cursor expires, a record is touched, a system denies or recovers
	opFault               // the call at the tick fails, or its answer does
	opCrash               // the process dies at the tick
	opTakeover            // a second worker does a whole round at the tick; the first one goes on, stale
	opPlan                // a dry run
	opMeanwhile           // another mailbox has its round at the tick
	opRestore             // the state is put back to what it was earlier
	opExact               // n says what happens, and nothing is drawn
	ops
)

func (o op) String() string {
	return [...]string{"user", "round", "wait", "env", "fault", "crash", "takeover", "plan", "meanwhile", "restore", "exact"}[o]
}

// step is one thing that happens: between rounds, or with a tick at that call or
// commit of the round before it. Its choices come from its own number, so that
// they stay as they are when other steps are left out.
type step struct {
	op   op
	tick int
	n    uint64
}

// settings are what a world is made of.
type settings struct {
	seed    uint64
	boxes   []string // dialects of the mailboxes
	winner  lksync.Winner
	meeting bool // meetings stand in several synced mailboxes
	parties bool // meetings made in the CRM have attendees
	page    int
	steps   []step
}

// arena is what worlds share one after the other: making an authorizer is dearer
// than a whole world.
type arena struct {
	az     *authz.Authorizer
	w      *world
	worker authz.Principal
	users  []authz.Principal
	crm    authz.Resource
	boxes  []authz.Resource
	nodes  []authz.Resource
}

const maxBoxes = 5

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func newArena(t testing.TB) *arena {
	a := &arena{worker: authztest.Principal(t, "service:sync-worker"), crm: authztest.Resource(t, "tenants/acme/crm")}
	lines := []string{"service:sync-worker role:sync-worker tenants/acme"}
	for i := range maxBoxes {
		u := fmt.Sprintf("u%d", i)
		lines = append(lines, "user:idp/"+u+" role:user tenants/acme/users/"+u, "user:idp/"+u+" role:crm-user tenants/acme/crm")
		a.users = append(a.users, authztest.Principal(t, "user:idp/"+u))
		a.boxes = append(a.boxes, authztest.Resource(t, "tenants/acme/users/"+u+"/mailbox"))
		a.nodes = append(a.nodes, authztest.Resource(t, "tenants/acme/users/"+u+"/sync"))
	}
	o := &authz.Options{Audit: authz.NewMemory(500), Clock: func() time.Time {
		if a.w == nil {
			return start
		}
		return a.w.now
	}}
	for _, l := range lines {
		f := strings.Fields(l)
		o.Seed = append(o.Seed, authz.Authorization{Principal: authztest.Principal(t, f[0]), Role: authztest.Role(t, f[1]), Resource: authztest.Resource(t, f[2]), Effect: authz.Allow})
	}
	az, err := authz.New(context.Background(), policyFiles(), o)
	if err != nil {
		t.Fatal(err)
	}
	a.az = az
	return a
}

// world is one run.
type world struct {
	meetings *lksync.MemoryMeetings
	a        *arena
	set      settings
	ctx      context.Context
	rng      *rand.Rand
	now      time.Time
	off      time.Duration // how wrong our own clock is
	crm      *system
	boxes    []*system
	hub      *connectors.Hub
	caps     map[string]connectors.Capabilities
	e        *lksync.Engine
	disk     *disk
	pairs    []lksync.Pair
	keys     *rand.ChaCha8 // where create keys come from

	things  []*thing
	uid     int
	edits   int
	pending []delayed
	resting bool

	box    int // whose round it is
	tick   int
	last   int // ticks of the last round
	calls  int
	mids   []step
	nested bool

	trace  uint64
	log    []string
	tell   bool
	active bool // a fault is at work in this step
	count  counters
	broken *violation
}

type delayed struct {
	due time.Time
	do  func()
}

// counters say how interesting a run was.
type counters struct {
	steps, faulty int // with an effect, and of these with a fault at work
	rounds        int
	some          [somes]int
}

type violation struct {
	rule string
	what string
}

func (v *violation) Error() string { return v.rule + ": " + v.what }

type crashed struct{ where string }

// violate ends the run.
func (w *world) violate(rule, format string, args ...any) {
	v := &violation{rule, fmt.Sprintf(format, args...)}
	w.note("VIOLATION %s", v)
	panic(v)
}

func (w *world) note(format string, args ...any) {
	if w.tell {
		w.log = append(w.log, w.now.Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
	}
}

func (w *world) hash(n uint64) {
	for range 8 {
		w.trace = (w.trace ^ n&0xff) * 1099511628211
		n >>= 8
	}
}

func (w *world) say(parts ...string) {
	for _, p := range parts {
		for i := range len(p) {
			w.trace = (w.trace ^ uint64(p[i])) * 1099511628211
		}
		w.trace = (w.trace ^ 0xff) * 1099511628211
	}
}

func newWorld(t testing.TB, a *arena, set settings) *world {
	w := &world{a: a, set: set, meetings: &lksync.MemoryMeetings{}, ctx: context.Background(), now: start, trace: 14695981039346656037,
		rng: rand.New(rand.NewPCG(set.seed, 1)), caps: map[string]connectors.Capabilities{}}
	a.w = w
	var key [32]byte
	copy(key[:], fmt.Sprintf("%032d", set.seed))
	w.keys = rand.NewChaCha8(key)
	ds := map[string]dialect{}
	var ps []connectors.Plugin
	for _, d := range dialects() {
		ds[d.name] = d
		w.caps[d.name] = capabilities(d)
		p, err := connectors.NewPlugin(d.name, w.caps[d.name], func(s connectors.Settings) (connectors.Driver, error) {
			user := int(s.Options["user"][0] - '0')
			if d.area == connectors.CRM {
				return driver{w.crm, user}, nil
			}
			return driver{w.boxes[user], user}, nil
		})
		must(t, err)
		ps = append(ps, p)
	}
	w.crm = newSystem(w, ds["c4c"], "c", -1)
	for i, name := range set.boxes {
		w.boxes = append(w.boxes, newSystem(w, ds[name], fmt.Sprintf("m%d", i), i))
	}
	var err error
	w.hub, err = connectors.NewHub(a.az, nil, ps...)
	must(t, err)
	w.disk = &disk{w: w, m: &lksync.Memory{}, past: map[lksync.PairID][]lksync.Batch{}}
	for i, name := range set.boxes {
		open := func(plugin string, on authz.Resource) *connectors.Conn {
			c, err := w.hub.Open(w.ctx, a.worker, connectors.Endpoint{Plugin: plugin, OnBehalfOf: a.users[i], Resource: on, Options: map[string]string{"user": string(rune('0' + i))}})
			must(t, err)
			return c
		}
		rules := lksync.DefaultRules()
		for j := range rules {
			rules[j].Winner = set.winner
		}
		w.pairs = append(w.pairs, lksync.Pair{ID: lksync.PairID(fmt.Sprintf("u%d", i)), Resource: a.nodes[i], OnBehalfOf: a.users[i],
			Left: open("c4c", a.crm), Right: open(name, a.boxes[i]), Rules: rules, Addresses: []string{address(i)}})
	}
	w.e = w.engine()
	return w
}

func must(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

// engine starts a process.
func (w *world) engine() *lksync.Engine {
	page := w.set.page
	if page == 0 {
		page = 7
	}
	return lksync.New(w.a.az, w.disk, &lksync.Options{Clock: func() time.Time { return w.now.Add(w.off) }, Rand: w.keys, PageSize: page,
		Logger: slog.New(slog.NewTextHandler(spy{w}, nil)), BrakeCount: 1000, BrakeChanges: 1000, Meetings: calendarTable{w.meetings, w}, SweepEvery: 12 * time.Hour,
		Progress: func(e lksync.Event) { w.leaks("progress", string(e.Phase)) }})
}

// spy reads the log for what must not be in it.
type spy struct{ w *world }

func (s spy) Write(b []byte) (int, error) {
	s.w.leaks("the log", string(b))
	return io.Discard.Write(b)
}

func (w *world) leaks(where string, ss ...string) {
	for _, s := range ss {
		if strings.Contains(s, canary) {
			w.violate("I7", "content of a record in %s", where)
		}
	}
}

// advance lets time pass and what is due happen.
func (w *world) advance(d time.Duration) {
	to := w.now.Add(d)
	for len(w.pending) > 0 && !w.pending[0].due.After(to) {
		p := w.pending[0]
		w.pending = w.pending[1:]
		w.now = p.due
		p.do()
	}
	w.now = to
}

func (w *world) later(d time.Duration, do func()) {
	w.pending = append(w.pending, delayed{w.now.Add(d), do})
	slices.SortStableFunc(w.pending, func(a, b delayed) int { return a.due.Compare(b.due) })
}

// fault is what happens to a call.
type fault struct {
	class error
	after bool // it took effect all the same
	late  bool // it takes effect later
	item  int  // 1-based: only this record; 0: the whole call
	again bool // delivered twice
	crash bool // the process dies when it is done

	replay, shuffle, twice bool // of Changes
}

// call notes a driver call.
func (w *world) call(d driver, op string, k connectors.Kind, ids []string) {
	w.say(d.s.name, op, k.String())
	w.say(ids...)
	w.hash(uint64(d.user))
	if w.tell {
		if op == "create" {
			ids = []string{fmt.Sprint(len(ids), " records")}
		}
		w.note("  %s %s %s %v", d.s.name, op, k, ids)
	}
	if d.user != w.box {
		w.violate("I6", "mailbox %d's round called as user %d", w.box, d.user)
	}
	if w.calls++; w.calls > 3000 {
		w.violate("I9", "more than 3,000 calls in one round")
	}
}

// boundary is a moment between two effects of the engine: a call or a commit is
// about to happen. Whatever was planned for this moment happens now.
func (w *world) boundary(network bool, op string) (f fault) {
	w.count.steps++
	w.advance(time.Duration(50+w.rng.IntN(400)) * time.Millisecond)
	if w.active {
		w.count.faulty++
		w.active = false
	}
	if w.nested {
		return f
	}
	w.tick++
	overtaken := false
	for _, m := range w.mids {
		overtaken = overtaken || m.tick == w.tick && m.op == opTakeover
	}
	for _, m := range w.mids {
		if m.tick != w.tick {
			continue
		}
		if m.op == opWait && network && overtaken && (op == "create" || op == "update" || op == "delete") {
			// A process that is suspended between its last look at the clock and
			// the call, for longer than another one waits, cannot be fenced by
			// anybody but the system that it calls. See README.md.
			continue
		}
		r := rand.New(rand.NewPCG(w.set.seed, m.n))
		switch m.op {
		case opUser:
			w.some(midEdits)
			w.act(r)
		case opEnv:
			w.env(r)
		case opWait:
			w.jump(r)
		case opFault:
			w.count.faulty++
			f = w.fault(r, network, op)
		case opCrash:
			w.count.faulty++
			w.some(crashes)
			if !network || r.IntN(2) == 0 || op != "create" && op != "update" && op != "delete" {
				if !network && r.IntN(2) == 0 {
					f.crash = true
				} else {
					w.crash("before " + op)
				}
			} else {
				f.crash = true
			}
		case opTakeover:
			w.takeover(op)
		case opMeanwhile:
			w.meanwhile(r)
		case opExact:
			f = w.exact(exact(m.n), network, op)
		}
	}
	return f
}

// exact is one thing that can go wrong at one moment.
type exact uint64

const (
	dies exact = iota
	diesAfter
	losesReply
	losesRequest
	arrivesLate
	isRefused
	isOvertaken
	lastsLong // and the next call or commit is refused
	exacts
)

func (x exact) String() string {
	return [...]string{"dies before", "dies after", "loses the reply", "loses the request", "arrives late", "is refused", "is overtaken", "lasts long"}[x]
}

// exact does one thing at one moment; it returns the fault that is left to do.
func (w *world) exact(x exact, network bool, op string) (f fault) {
	w.count.faulty++
	write := op == "create" || op == "update" || op == "delete"
	switch x {
	case dies:
		w.some(crashes)
		w.crash("before " + op)
	case diesAfter:
		w.some(crashes)
		f.crash = true // of writes and commits; reading has no effect to die after
	case losesReply:
		f.class, f.after = connectors.ErrUnavailable, true
		if write {
			f.class = connectors.ErrUnknownOutcome
		}
	case losesRequest:
		f.class = connectors.ErrUnavailable
		if write {
			f.class = connectors.ErrUnknownOutcome
		}
	case arrivesLate:
		f.class, f.late = connectors.ErrUnknownOutcome, write
	case isRefused:
		f.class = connectors.ErrThrottled
	case isOvertaken:
		w.takeover(op)
	case lastsLong:
		w.advance(22 * time.Minute)
		w.mids = append(w.mids, step{op: opExact, tick: w.tick + 1, n: uint64(isRefused)})
	}
	if !network && f.class != nil {
		// A file system may run out of room when all is written, and what failed
		// is there after all when it is opened again.
		f = fault{class: errDiskFull, after: x == losesReply}
	}
	return f
}

func (w *world) crash(where string) {
	w.note("  CRASH %s", where)
	panic(crashed{where})
}

// fault draws what goes wrong with a call.
func (w *world) fault(r *rand.Rand, network bool, op string) (f fault) {
	if !network {
		w.some(diskFaults)
		return fault{class: errDiskFull}
	}
	switch op {
	case "changes":
		switch r.IntN(8) {
		case 0:
			f.replay = true
			w.some(pagesAgain)
		case 1:
			f.shuffle = true
			w.some(pagesShuffled)
		case 2:
			f.twice = true
			w.some(listedTwice)
		case 3:
			f.class = connectors.ErrCursorExpired
			w.some(expired)
		default:
			f.class = []error{connectors.ErrUnavailable, connectors.ErrThrottled, connectors.ErrUnauthorized, connectors.ErrForbidden}[r.IntN(4)]
		}
	case "get", "find", "list":
		f.class = []error{connectors.ErrUnavailable, connectors.ErrThrottled, connectors.ErrForbidden, connectors.ErrUnauthorized}[r.IntN(4)]
		if op == "get" {
			if f.item = r.IntN(3); f.item > 0 {
				w.some(unreadable)
			}
		}
	case "create", "update", "delete":
		f.item = r.IntN(3)
		switch r.IntN(9) {
		case 0, 1, 2:
			f.class, f.after = connectors.ErrUnknownOutcome, true
			w.some(lostReplies)
		case 3:
			f.class = connectors.ErrUnknownOutcome
			w.some(lostRequests)
		case 4:
			f.class, f.late = connectors.ErrUnknownOutcome, true
			w.some(lateRequests)
		case 5:
			f.again = true
		case 6:
			f.class = connectors.ErrThrottled
		case 7:
			f.class = connectors.ErrUnavailable
		case 8:
			f.class = []error{connectors.ErrPrecondition, connectors.ErrForbidden, connectors.ErrUnauthorized}[r.IntN(3)]
		}
	}
	switch f.class {
	case connectors.ErrThrottled:
		w.some(throttled)
	case connectors.ErrUnauthorized:
		w.some(refusedCredentials)
	}
	return f
}

// round runs one round of a mailbox and judges what it says.
func (w *world) round(m int, mids []step) (rep lksync.Report, err error) {
	w.box, w.tick, w.calls, w.mids = m, 0, 0, mids
	w.count.rounds++
	w.note("round of mailbox %d (%s)", m, w.boxes[m].d.name)
	defer func() {
		w.mids = nil
		if v := recover(); v != nil {
			c, ok := v.(crashed)
			if !ok {
				panic(v)
			}
			w.e = w.engine()
			err = errors.New("crashed " + c.where)
		}
		if err != nil {
			for _, it := range w.crm.items {
				it.what.unsaid = it.what.unsaid || it.what.meeting && it.written[m] != ""
			}
		}
		w.note("  end: %d writes, error %v", rep.Writes(), err)
		w.leaks("an error or report", fmt.Sprint(err), rep.Held)
		for _, a := range rep.Plan.Actions {
			w.leaks("a plan", a.Left, a.Right, a.Why)
		}
		w.hash(uint64(rep.Writes()))
		w.last, w.tick = w.tick, 0
	}()
	return w.e.Sync(w.ctx, w.a.worker, w.pairs[m])
}

// takeover lets a second process do a round of the same mailbox while the first
// one stands still. A request that was about to leave does so soon: nobody can call
// back what is on its way.
func (w *world) takeover(op string) {
	out := op == "create" || op == "update" || op == "delete"
	w.some(takeovers)
	w.note("  a second worker takes over")
	was := w.calls
	w.nested = true
	var err error
	rounds := 1
	if !out {
		rounds += w.rng.IntN(3)
	}
	e := w.engine()
	for range rounds {
		w.calls = 0
		_, err = e.Sync(w.ctx, w.a.worker, w.pairs[w.box])
		if !out {
			w.advance(time.Duration(w.rng.IntN(20)) * time.Minute)
		}
	}
	w.nested, w.calls = false, was
	w.note("  the second worker is done: %v; the first one goes on", err)
}

// meanwhile lets another mailbox have its round while the first one's stands still.
func (w *world) meanwhile(r *rand.Rand) {
	if len(w.boxes) < 2 {
		return
	}
	w.some(meanwhiles)
	box, calls := w.box, w.calls
	w.box = (box + 1 + r.IntN(len(w.boxes)-1)) % len(w.boxes)
	w.note("  meanwhile mailbox %d has its round", w.box)
	w.nested, w.calls = true, 0
	_, err := w.engine().Sync(w.ctx, w.a.worker, w.pairs[w.box])
	w.nested, w.box, w.calls = false, box, calls
	w.note("  it is done: %v; mailbox %d goes on", err, box)
}

// run executes the steps that are kept and judges what is left. It returns the
// violation, if any.
func (w *world) run(keep func(i int) bool) *violation {
	return w.guard(func() {
		w.play(keep)
		w.rest()
		w.judge()
	})
}

// guard returns the violation that ends what it runs.
func (w *world) guard(do func()) (v *violation) {
	defer func() {
		if x := recover(); x != nil {
			var ok bool
			if v, ok = x.(*violation); !ok {
				panic(x)
			}
			w.broken = v
		}
	}()
	do()
	return nil
}

func (w *world) play(keep func(i int) bool) {
	steps := w.set.steps
	for i := 0; i < len(steps); i++ {
		s := steps[i]
		if s.tick > 0 || !keep(i) {
			continue
		}
		r := rand.New(rand.NewPCG(w.set.seed, s.n))
		w.note("step %d: %s", i, s.op)
		switch s.op {
		case opUser:
			w.act(r)
		case opWait:
			w.jump(r)
		case opEnv:
			w.env(r)
		case opRestore:
			w.restore(r)
		case opPlan:
			w.plan(r.IntN(len(w.boxes)))
		case opRound:
			var mids []step
			for j := i + 1; j < len(steps) && steps[j].tick > 0; j++ {
				if keep(j) {
					mids = append(mids, steps[j])
				}
			}
			w.advance(time.Duration(1+r.IntN(90)) * time.Second)
			_, _ = w.round(r.IntN(len(w.boxes)), mids)
		}
	}
}

func (w *world) plan(m int) {
	w.box, w.tick, w.calls, w.mids = m, 0, 0, nil
	writes := w.disk.commits
	w.note("plan of mailbox %d", m)
	for _, s := range w.systems() {
		s.frozen = true
	}
	p, _ := w.e.Plan(w.ctx, w.a.worker, w.pairs[m])
	for _, s := range w.systems() {
		s.frozen = false
	}
	for _, a := range p.Actions {
		w.leaks("a plan", a.String())
	}
	if w.disk.commits != writes {
		w.violate("I8", "a dry run wrote to the state")
	}
	w.some(plans)
}

func (w *world) systems() []*system { return append([]*system{w.crm}, w.boxes...) }

// rest heals everything and lets rounds run until they write nothing.
func (w *world) rest() {
	w.note("REST")
	w.resting = true
	w.advance(time.Hour)
	for _, s := range w.systems() {
		s.denied = nil
	}
	for pass := 0; ; pass++ {
		quiet := true
		var last error
		for m := range w.boxes {
			w.advance(26 * time.Hour)
			rep, err := w.round(m, nil)
			if err != nil {
				last = err
			}
			if err != nil || rep.Writes() > 0 || w.announced(m) {
				quiet = false
			}
		}
		if quiet {
			break
		}
		if pass == 20 {
			w.violate("I9", "no rest after twenty rounds of each mailbox, last error: %v", last)
		}
	}
	writes := w.count.some[engineWrites]
	for m := range w.boxes {
		w.advance(time.Minute)
		if rep, err := w.round(m, nil); err != nil || rep.Writes() > 0 {
			w.violate("I8", "a round without news wrote %d records or failed: %v", rep.Writes(), err)
		}
	}
	if w.count.some[engineWrites] != writes {
		w.violate("I8", "a round without news wrote and did not say so")
	}
}

// announced reports whether a mailbox waits for a create whose outcome is not known,
// or put something off until later.
func (w *world) announced(m int) bool {
	st, err := w.disk.m.Open(w.ctx, w.pairs[m].ID)
	if err != nil {
		panic(err)
	}
	open, err := st.Intents(w.ctx)
	if err != nil {
		panic(err)
	}
	issues, err := st.Issues(w.ctx, 0, 1000)
	if err != nil {
		panic(err)
	}
	return len(open) > 0 || slices.ContainsFunc(issues, func(t lksync.Trouble) bool { return t.Code == lksync.CodeLater || t.Code == lksync.CodeFirst })
}
