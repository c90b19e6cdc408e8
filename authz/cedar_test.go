package authz

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/stretchr/testify/require"
)

var cedarFlag = flag.Int("authz.cedar", 0, "decisions that TestCedarAgrees asks of Cedar; 0: 100,000, or 10,000 under the race detector")

func cedarID(kind string, id any) cedar.EntityUID {
	return cedar.NewEntityUID(cedar.EntityType(kind), cedar.String(fmt.Sprint(id)))
}

// cedarWorld writes a world down for Cedar: teams are parents of their members,
// resources of those below them, roles of the permissions that they carry and of
// the roles that they include. A row is a permit or a forbid, with its bounds as
// a condition on the time in the context.
func cedarWorld(p *play) (rows *cedar.PolicySet, entities cedar.EntityMap, place func(at []string) cedar.EntityUID) {
	entities = cedar.EntityMap{}
	in := func(child cedar.EntityUID, parents ...cedar.EntityUID) {
		all := append(entities[child].Parents.Slice(), parents...)
		entities[child] = cedar.Entity{UID: child, Parents: cedar.NewEntityUIDSet(all...)}
	}
	for i := range p.who {
		in(cedarID("Who", i))
	}
	for _, m := range p.members {
		in(cedarID("Who", m[0]), cedarID("Who", m[1]))
	}
	numbers := map[string]int{}
	place = func(at []string) cedar.EntityUID {
		k := strings.Join(at, "\x00")
		n, ok := numbers[k]
		if !ok {
			n = len(numbers)
			numbers[k] = n
		}
		return cedarID("Place", n)
	}
	for _, at := range p.s.places {
		for n := len(at); n > 1; n-- {
			in(place(at[:n]), place(at[:n-1]))
		}
	}
	for _, r := range p.s.roles {
		role := cedarID("Action", r.name)
		in(role)
		for _, c := range r.carries {
			for _, n := range p.s.permissions {
				if c == n || strings.HasSuffix(c, ".*") && strings.HasPrefix(n, strings.TrimSuffix(c, "*")) {
					in(cedarID("Action", n), role)
				}
			}
		}
		for _, o := range r.includes {
			in(cedarID("Action", o), role)
		}
	}
	rows = cedar.NewPolicySet()
	for i, r := range p.s.rows {
		if !p.in[i] {
			continue
		}
		x := ast.Permit()
		if r.deny {
			x = ast.Forbid()
		}
		x = x.PrincipalIn(cedarID("Who", r.who)).ActionIn(cedarID("Action", p.s.roles[r.role].name)).ResourceIn(place(p.s.places[r.place]))
		if r.from != open {
			x = x.When(ast.Context().Access("now").GreaterThanOrEqual(ast.Long(r.from)))
		}
		if r.until != open {
			x = x.Unless(ast.Context().Access("now").GreaterThanOrEqual(ast.Long(r.until)))
		}
		rows.Add(cedar.PolicyID(fmt.Sprint("row", i)), cedar.NewPolicyFromAST(x))
	}
	return rows, entities, place
}

// byCedar asks Cedar everything.
func byCedar(p *play, words []uint64) (*mismatch, int) {
	rows, entities, place := cedarWorld(p)
	now := cedar.NewRecord(cedar.RecordMap{"now": cedar.Long(p.now.Sub(beginning) / time.Minute)})
	n := 0
	for i := range p.who {
		for k, at := range p.s.places {
			for j, do := range p.s.permissions {
				want := words[i*len(p.on)+k]>>j&1 == 1
				d, diag := cedar.Authorize(rows, entities, cedar.Request{Principal: cedarID("Who", i), Action: cedarID("Action", do), Resource: place(at), Context: now})
				if n++; len(diag.Errors) > 0 || bool(d) != want {
					m := p.mismatch(fmt.Sprintf("Cedar says %v, %v", d, diag))
					m.who, m.do, m.on, m.want = i, j, k, want
					return m, n
				}
			}
		}
	}
	return nil, n
}

// Cedar, another engine with another language and other authors, says what index
// and reference say. What is left out are conditions on anything but the time.
//
// evidence: P20, G2
func TestCedarAgrees(t *testing.T) {
	want := *cedarFlag
	if want == 0 {
		if want = 100_000; underRace {
			want = 10_000
		}
	}
	r := matches{t: t, generate: generateSmall, judge: byCedar, done: func(sum tally) bool { return sum.judged >= want }}
	sum, ok := r.play()
	t.Logf("seed %d: %d decisions of Cedar in %d worlds: %.1f %% allowed, %.1f seconds",
		r.seed, sum.judged, r.worlds, share(sum.allowed, sum.decisions), time.Since(r.began).Seconds())
	if ok && sum.judged >= 20_000 {
		require.Greater(t, share(sum.allowed, sum.decisions), 2.0)
		require.Positive(t, sum.denied)
	}
}
