package authz

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// scenario is a world and what happens to it, as plain data: nothing of it is
// known to the product, and any part can be left out.
type scenario struct {
	seed, number uint64
	filler       int // permissions that nobody asks for, before the others
	permissions  []string
	roles        []scenarioRole
	who          []name     // principals
	places       [][]string // resources, by segments
	rows         []scenarioRow
	events       []event
	handlesAt    int // the event after which handles are made and kept
	every        int // how many events lie between two times of asking
}

// name is a kind of principal and its parts, not escaped.
type name struct {
	kind  string
	parts []string
}

func (n name) key() string  { return n.kind + "\x00" + strings.Join(n.parts, "\x00") }
func (n name) isTeam() bool { return n.kind == "team" }

type scenarioRole struct {
	name     string
	carries  []string
	includes []string
}

type scenarioRow struct {
	who, role, place int
	deny             bool
	from, until      int // minutes after the beginning; none: open
}

const open = -1 << 20

// event is one change, made in one stroke, and then perhaps time that passes or
// a start from the store.
type event struct {
	add, remove []int    // rows, by number
	join, leave [][2]int // member, team
	minutes     int
	reload      bool
}

var beginning = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func (r scenarioRow) times() (from, until time.Time) {
	if r.from != open {
		from = beginning.Add(time.Duration(r.from) * time.Minute)
	}
	if r.until != open {
		// An instant is the same in every place.
		until = beginning.Add(time.Duration(r.until) * time.Minute).In(time.FixedZone("", 3600))
	}
	return from, until
}

// hostile are parts of names that something might take for something else:
// separators, escapes, look-alikes, two forms of one letter, long ones.
var hostile = []string{
	"a/b", "a%2Fb", "a%2fb", "%", "%%", "a:b", "a,b", "a b", " a", "a ", "/", "//", "a/", "/a", "team:a", "user:idp/a", "role:r0", "*", "a.*", "...", "..a",
	"A", "\u0430", "\u0251", "\u00e9", "e\u0301", "\ufb01", "fi", "\u212a", "K", "\u017f", "s", "\u00df", "ss", "\u0130", "i", "1", "\u0661", "a\u00a0b", "a\u3000b", "'", `"`, "\\", "<a>", "a;b", "a|b", "$1", "{{.}}", "\ufffd", "\U0001f600", "a\u0327\u0301", "a\u0301\u0327",
	strings.Repeat("a", MaxSegment), strings.Repeat("a", MaxSegment-1), strings.Repeat("/", MaxSegment), strings.Repeat("\u00e9", MaxSegment/2),
}

// generate makes scenario number of seed. Names are few and used again and
// again, so that what is alike meets.
func generate(seed, number uint64) *scenario { return generateOf(seed, number, false) }

// generateSmall makes worlds that can be asked of an engine that is slow where
// there is much, and that does not look deeper than ten.
func generateSmall(seed, number uint64) *scenario { return generateOf(seed, number, true) }

func generateOf(seed, number uint64, small bool) *scenario {
	rnd := rand.New(rand.NewPCG(seed, number))
	s := &scenario{seed: seed, number: number, every: 1 + rnd.IntN(3), handlesAt: rnd.IntN(8) - 1}
	between := func(a, b int) int { return a + rnd.IntN(b-a+1) }
	people, teams, places, rows, events, churn := between(3, 5), between(1, 4), between(6, 14), between(4, 30), between(4, 16), 4
	big := -1
	switch k := number % 20; {
	case small:
		teams, places, rows = between(1, 3), between(4, 10), between(3, 16)
	case k == 7: // wide
		people, teams, places, rows, events, churn = between(10, 24), between(3, 8), between(30, 80), between(100, 300), between(6, 12), 60
	case k == 4 || k == 11: // one that holds very much, changed again and again
		people, places, rows, events, churn, big = between(3, 5), between(30, 80), between(100, 700), between(10, 25), 200, rnd.IntN(4)
	}
	if rnd.IntN(5) == 0 {
		s.filler = 60 + rnd.IntN(10)
	}
	s.generatePolicy(rnd, small)

	used := map[string]bool{}
	part := func(few int) string {
		if rnd.IntN(5) == 0 {
			return hostile[rnd.IntN(len(hostile))]
		}
		return []string{"a", "b", "ab", "c", "ba", "abc", "a-b", "x1", "x10", "x2"}[rnd.IntN(few)]
	}
	for len(s.who) < people+teams {
		n := name{"team", []string{part(10)}}
		if len(s.who) < people {
			n = name{"user", []string{part(3), part(10)}}
			if rnd.IntN(3) == 0 {
				n = name{"service", []string{part(10)}}
			}
		}
		if !used[n.key()] {
			used[n.key()] = true
			s.who = append(s.who, n)
		}
	}
	for tries := 0; len(s.places) < places; tries++ {
		var at []string
		if len(s.places) > 0 && rnd.IntN(8) > 0 {
			at = slices.Clone(s.places[rnd.IntN(len(s.places))])
		}
		for range between(1, 1+tries/100) {
			at = append(at, part(10))
		}
		long := 0
		for _, x := range at {
			if len(x) > 500 {
				long++
			}
		}
		if key := strings.Join(at, "\x00"); len(at) <= MaxDepth && long < 3 && !used["\x00"+key] {
			used["\x00"+key] = true
			s.places = append(s.places, at)
		}
	}
	for i := range rows { // more often high up, where the first places are
		r := scenarioRow{who: rnd.IntN(len(s.who)), role: rnd.IntN(len(s.roles)), place: min(rnd.IntN(len(s.places)), rnd.IntN(len(s.places))), deny: rnd.IntN(5) == 0, from: open, until: open}
		if big >= 0 && i%8 > 0 {
			r.who = big
			r.deny = rnd.IntN(40) == 0
		}
		if rnd.IntN(3) == 0 {
			r.from = between(-3, 8)
		}
		if rnd.IntN(3) == 0 {
			r.until = max(r.from, -4) + between(1, 8)
		}
		s.rows = append(s.rows, r)
	}
	s.generateEvents(rnd, events, churn)
	return s
}

func (s *scenario) generatePolicy(rnd *rand.Rand, small bool) {
	all := []string{"m.a.x", "m.a.y", "m.b", "m.b.x", "n.a", "n.a.x", "n.b", "n.c.x.y", "o.a", "o.b"}
	rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	s.permissions = all[:5+rnd.IntN(6)]
	slices.Sort(s.permissions)
	roles := 2 + rnd.IntN(5)
	if small {
		roles = min(roles, 4)
	}
	for i := range roles {
		r := scenarioRole{name: fmt.Sprintf("role:r%d", i)}
		for range 1 + rnd.IntN(3) {
			c := s.permissions[rnd.IntN(len(s.permissions))]
			if rnd.IntN(3) == 0 {
				c = c[:strings.LastIndexByte(c, '.')] + ".*"
			}
			if !slices.Contains(r.carries, c) {
				r.carries = append(r.carries, c)
			}
		}
		for j := range i {
			if rnd.IntN(4) == 0 {
				r.includes = append(r.includes, fmt.Sprintf("role:r%d", j))
			}
		}
		s.roles = append(s.roles, r)
	}
}

func (s *scenario) generateEvents(rnd *rand.Rand, events, churn int) {
	in := make([]bool, len(s.rows))
	var teams []int
	for i, n := range s.who {
		if n.isTeam() {
			teams = append(teams, i)
		}
	}
	member := func() [2]int { return [2]int{rnd.IntN(len(s.who)), teams[rnd.IntN(len(teams))]} }
	for i := range events {
		var e event
		// Rows come and go, many at once at first and sometimes later.
		n := 1 + rnd.IntN(churn)
		if i == 0 || rnd.IntN(6) == 0 {
			n = len(s.rows)
		}
		for _, j := range rnd.Perm(len(s.rows))[:min(n, len(s.rows))] {
			if in[j] {
				e.remove = append(e.remove, j)
			} else {
				e.add = append(e.add, j)
			}
			in[j] = !in[j]
		}
		for range rnd.IntN(3) {
			e.join = append(e.join, member())
		}
		if rnd.IntN(3) == 0 {
			for range 1 + rnd.IntN(3) {
				e.leave = append(e.leave, member())
			}
		}
		if rnd.IntN(3) == 0 {
			e.minutes = 1 + rnd.IntN(3)
		}
		e.reload = rnd.IntN(10) == 0
		s.events = append(s.events, e)
	}
}
