package authz

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shrink leaves out of a failing scenario whatever it fails without, and
// returns what is left with its mismatch.
func (s *scenario) shrink(lie func(Decision) Decision, j judge) (*scenario, *mismatch) {
	fails := func(c *scenario) *mismatch {
		m, _, err := c.play(lie, j)
		if err != nil {
			return nil
		}
		return m
	}
	best, why := s, fails(s)
	if why == nil {
		return s, nil
	}
	plays := 0
	try := func(edit func(c *scenario)) bool {
		c := *best
		c.events = make([]event, len(best.events))
		for i, e := range best.events {
			c.events[i] = event{slices.Clone(e.add), slices.Clone(e.remove), slices.Clone(e.join), slices.Clone(e.leave), e.minutes, e.reload}
		}
		c.rows, c.roles = slices.Clone(best.rows), slices.Clone(best.roles)
		edit(&c)
		if plays++; plays > 5000 {
			return false
		}
		m := fails(&c)
		if m == nil {
			return false
		}
		best, why = &c, m
		return true
	}
	// Ask after every event, and of nobody but the one whose question it is.
	try(func(c *scenario) { c.every = 1 })
	try(func(c *scenario) { c.events = c.events[:why.event+1] })
	for again := true; again; {
		before := fmt.Sprintf("%+v", *best)
		dropping(func() int { return len(best.events) }, func(i, n int) bool {
			return try(func(c *scenario) { c.events = slices.Delete(c.events, i, i+n) })
		})
		for e := 0; e < len(best.events); e++ {
			dropping(func() int { return len(best.events[e].add) }, func(i, n int) bool {
				return try(func(c *scenario) { c.events[e].add = slices.Delete(c.events[e].add, i, i+n) })
			})
			dropping(func() int { return len(best.events[e].remove) }, func(i, n int) bool {
				return try(func(c *scenario) { c.events[e].remove = slices.Delete(c.events[e].remove, i, i+n) })
			})
			dropping(func() int { return len(best.events[e].join) }, func(i, n int) bool {
				return try(func(c *scenario) { c.events[e].join = slices.Delete(c.events[e].join, i, i+n) })
			})
			dropping(func() int { return len(best.events[e].leave) }, func(i, n int) bool {
				return try(func(c *scenario) { c.events[e].leave = slices.Delete(c.events[e].leave, i, i+n) })
			})
			if best.events[e].minutes > 0 {
				try(func(c *scenario) { c.events[e].minutes = 0 })
			}
			if best.events[e].reload {
				try(func(c *scenario) { c.events[e].reload = false })
			}
		}
		if best.filler > 0 {
			try(func(c *scenario) { c.filler = 0 })
		}
		for i := range best.roles {
			dropping(func() int { return len(best.roles[i].includes) }, func(j, n int) bool {
				return try(func(c *scenario) {
					c.roles[i].includes = slices.Delete(slices.Clone(c.roles[i].includes), j, j+n)
				})
			})
			dropping(func() int { return len(best.roles[i].carries) - 1 }, func(j, n int) bool {
				return try(func(c *scenario) {
					c.roles[i].carries = slices.Delete(slices.Clone(c.roles[i].carries), j, j+n)
				})
			})
		}
		for _, i := range why.rows {
			if best.rows[i].from != open {
				try(func(c *scenario) { c.rows[i].from = open })
			}
			if best.rows[i].until != open {
				try(func(c *scenario) { c.rows[i].until = open })
			}
			if best.rows[i].deny {
				try(func(c *scenario) { c.rows[i].deny = false })
			}
		}
		again = plays < 5000 && fmt.Sprintf("%+v", *best) != before
	}
	// Does the world as it is at the end show it, without what led there?
	still := *best
	still.events = []event{{add: why.rows, join: why.members, minutes: int(why.now.Sub(beginning).Minutes())}}
	still.every, still.handlesAt = 1, 0
	why.onlyWithHistory = fails(&still) == nil
	return best, why
}

// dropping tries to drop runs of elements, long ones first.
func dropping(size func() int, drop func(i, n int) bool) {
	for n := max(1, size()/2); n >= 1; n /= 2 {
		for i := 0; i+n <= size(); {
			if !drop(i, n) {
				i += n
			}
		}
	}
}

// yaml writes the world of a mismatch and its question, to be put into a test
// of a policy.
func (s *scenario) yaml(m *mismatch, command string) string {
	var b strings.Builder
	q := strconv.Quote
	p := &play{s: s, now: beginning}
	if err := p.begin(); err != nil {
		return err.Error()
	}
	fmt.Fprintf(&b, "# %s\n# found by: %s\n", m.what, command)
	fmt.Fprintf(&b, "policy:\n  permissions.csv: |\n")
	for _, n := range s.permissions {
		fmt.Fprintf(&b, "    %s, asked for\n", n)
	}
	fmt.Fprintf(&b, "  roles.csv: |\n")
	for _, n := range s.permissions {
		fmt.Fprintf(&b, "    p, role:keep, %s\n", n)
	}
	for i, r := range s.roles {
		if !slices.ContainsFunc(m.rows, func(j int) bool { return s.rows[j].role == i }) && !slices.ContainsFunc(s.roles, func(o scenarioRole) bool { return slices.Contains(o.includes, r.name) }) {
			continue
		}
		for _, c := range r.carries {
			fmt.Fprintf(&b, "    p, %s, %s\n", r.name, c)
		}
		for _, o := range r.includes {
			fmt.Fprintf(&b, "    g, %s, %s\n", r.name, o)
		}
	}
	fmt.Fprintf(&b, "world:\n  now: %s\n  principals:\n", m.now.Format(time.RFC3339))
	named := func(i int) bool {
		return i == m.who || slices.ContainsFunc(m.rows, func(j int) bool { return s.rows[j].who == i })
	}
	for i, who := range p.who {
		var in []string
		for _, x := range m.members {
			if x[0] == i {
				in = append(in, q(p.who[x[1]].name))
			}
		}
		if len(in) > 0 {
			fmt.Fprintf(&b, "    %s: {team: [%s]}\n", q(who.name), strings.Join(in, ", "))
		} else if named(i) {
			fmt.Fprintf(&b, "    %s: {}\n", q(who.name))
		}
	}
	b.WriteString("  grants:")
	if len(m.rows) == 0 {
		b.WriteString(" []")
	}
	b.WriteByte('\n')
	for _, i := range m.rows {
		x := p.row(i)
		fmt.Fprintf(&b, "    - {principal: %s, role: %s, resource: %s", q(x.Principal.name), x.Role, q(x.Resource.path))
		if x.Effect == Deny {
			b.WriteString(", effect: deny")
		}
		if !x.From.IsZero() {
			fmt.Fprintf(&b, ", from: %s", x.From.UTC().Format(time.RFC3339))
		}
		if !x.Until.IsZero() {
			fmt.Fprintf(&b, ", until: %s", x.Until.UTC().Format(time.RFC3339))
		}
		b.WriteString("}\n")
	}
	expect := "deny"
	if m.want {
		expect = "allow"
	}
	fmt.Fprintf(&b, "checks:\n  - {who: %s, can: %s, on: %s, expect: %s}\n", q(p.who[m.who].name), s.permissions[m.do], q(p.on[m.on].path), expect)
	if m.onlyWithHistory {
		b.WriteString("# This world alone does not show it. What led to it, rows by number, members by team:\n")
		for i, e := range s.events {
			fmt.Fprintf(&b, "#   %d: add %v, remove %v, join %v, leave %v, %d minutes, reload %v\n", i, e.add, e.remove, e.join, e.leave, e.minutes, e.reload)
		}
		for i, r := range s.rows {
			if slices.ContainsFunc(s.events, func(e event) bool { return slices.Contains(e.add, i) }) {
				fmt.Fprintf(&b, "#   row %d: %s %s on %s, deny %v\n", i, q(p.who[r.who].name), s.roles[r.role].name, q(p.on[r.place].path), r.deny)
			}
		}
	}
	return b.String()
}

// A mistake is found soon, and what is printed of it is little: here the one
// that forgets what is denied, one that grants what nobody holds, and one that
// only a change brings about.
func TestAMistakeIsFoundAndShownSmall(t *testing.T) {
	for name, c := range map[string]struct {
		lie     func(Decision) Decision
		grants  int
		history bool
	}{
		"denies are forgotten": {func(d Decision) Decision {
			if d.Code == DeniedBy {
				d.Allowed, d.Code = true, AllowedBy
			}
			return d
		}, 1, false},
		"nothing held is enough": {func(d Decision) Decision {
			if d.Code == NothingHeld {
				d.Allowed, d.Code = true, AllowedBy
			}
			return d
		}, 0, false},
		"what teams hold is forgotten": {func(d Decision) Decision {
			if d.Through != d.Principal {
				return Decision{Principal: d.Principal, Revision: d.Revision}
			}
			return d
		}, 1, false},
		"only late changes": {func(d Decision) Decision {
			if d.Revision > 2 && d.Code == AllowedBy {
				d.Allowed, d.Code = false, NothingHeld
			}
			return d
		}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			var s *scenario
			var m *mismatch
			n := uint64(0)
			for ; m == nil; n++ {
				require.Less(t, n, uint64(20), "not found")
				s = generate(1, n)
				var err error
				m, _, err = s.play(c.lie, nil)
				require.NoError(t, err)
			}
			small, m := s.shrink(c.lie, nil)
			require.NotNil(t, m)
			text := small.yaml(m, "go test")
			require.Equal(t, c.grants, strings.Count(text, "- {principal:"), text)
			require.Equal(t, 1, strings.Count(text, "- {who:"), text)
			require.Equal(t, c.history, m.onlyWithHistory, text)
			require.Less(t, strings.Count(text, "\n"), 45, text)
			t.Logf("scenario %d:\n%s", n-1, text)
		})
	}
}
