package authz

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/stretchr/testify/require"
)

var casbinFlag = flag.Int("authz.casbin", 0, "decisions that TestPlainCasbinAgrees asks of Casbin; 0: 20,000, or 3,000 under the race detector")

// plainModel is what the policy means when nothing of ours is in it: Casbin's
// own roles, one domain for each resource, its own wildcards, its own effect.
const plainModel = `
[request_definition]
r = sub, act, obj
[policy_definition]
p = role, act, eft
[role_definition]
g = _, _, _
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = keyMatch(r.act, p.act) && g(r.sub, p.role, r.obj)
`

// plainCasbin writes a world down for Casbin. In the domain of a resource stand
// all who hold something there or above it, teams and roles with what they are
// in. A role stands twice, once to give and once to take.
func plainCasbin(p *play) (*casbin.Enforcer, error) {
	m, err := model.NewModelFromString(plainModel)
	if err != nil {
		return nil, err
	}
	e, err := casbin.NewEnforcer(m)
	if err != nil {
		return nil, err
	}
	var ps, gs [][]string
	for _, r := range p.s.roles {
		for _, c := range r.carries {
			ps = append(ps, []string{"+" + r.name, c, "allow"}, []string{"-" + r.name, c, "deny"})
		}
	}
	seen := map[string]bool{}
	link := func(who, in string, on int) {
		g := []string{who, in, fmt.Sprint("place", on)}
		if k := fmt.Sprint(g); !seen[k] {
			seen[k] = true
			gs = append(gs, g)
		}
	}
	who := func(i int) string { return fmt.Sprint("who", i) }
	for k := range p.s.places {
		for _, r := range p.s.roles {
			for _, o := range r.includes {
				link("+"+r.name, "+"+o, k)
				link("-"+r.name, "-"+o, k)
			}
		}
		for _, x := range p.members {
			link(who(x[0]), who(x[1]), k)
		}
		for i, r := range p.s.rows {
			from, until := r.times()
			begun, ended := from.IsZero() || !p.now.Before(from), !until.IsZero() && !p.now.Before(until)
			if !p.in[i] || !begun || ended || !below(p.s.places[k], p.s.places[r.place]) {
				continue
			}
			sign := "+"
			if r.deny {
				sign = "-"
			}
			link(who(r.who), sign+p.s.roles[r.role].name, k)
		}
	}
	if _, err := e.AddPolicies(ps); err != nil {
		return nil, err
	}
	if len(gs) > 0 {
		if _, err := e.AddGroupingPolicies(gs); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// byCasbin asks plain Casbin everything, and the Casbin that reads the index a
// share of it.
func byCasbin(p *play, words []uint64) (*mismatch, int) {
	differ := func(i, j, k int, want bool, what string) *mismatch {
		m := p.mismatch(what)
		m.who, m.do, m.on, m.want = i, j, k, want
		return m
	}
	e, err := plainCasbin(p)
	if err != nil {
		return differ(0, 0, 0, false, err.Error()), 0
	}
	n := 0
	for i := range p.who {
		for k := range p.on {
			for j := range p.do {
				want := words[i*len(p.on)+k]>>j&1 == 1
				got, err := e.Enforce(fmt.Sprint("who", i), p.s.permissions[j], fmt.Sprint("place", k))
				if n++; err != nil || got != want {
					return differ(i, j, k, want, fmt.Sprintf("plain Casbin says %v, %v", got, err)), n
				}
				if n%7 == 0 {
					got, err := p.a.meaning.enforce(p.a.ix, p.who[i], p.s.permissions[j], p.on[k])
					if n++; err != nil || got != want {
						return differ(i, j, k, want, fmt.Sprintf("Casbin over the index says %v, %v", got, err)), n
					}
				}
			}
		}
	}
	return nil, n
}

// Casbin, which keeps rows of its own and shares nothing with the index, and
// Casbin that reads the assignments from the index, say what index and reference
// say.
//
// evidence: P20, G2
func TestPlainCasbinAgrees(t *testing.T) {
	want := *casbinFlag
	if want == 0 {
		if want = 20_000; underRace {
			want = 3_000
		}
	}
	r := matches{t: t, generate: generateSmall, judge: byCasbin, done: func(sum tally) bool { return sum.judged >= want }}
	sum, ok := r.play()
	t.Logf("seed %d: %d decisions of Casbin, an eighth of them over the index, in %d worlds: %.1f %% allowed, %.1f seconds",
		r.seed, sum.judged, r.worlds, share(sum.allowed, sum.decisions), time.Since(r.began).Seconds())
	if ok && sum.judged >= 20_000 {
		require.Greater(t, share(sum.allowed, sum.decisions), 2.0)
		require.Positive(t, sum.denied)
	}
}
