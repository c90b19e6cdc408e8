package authz

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/stretchr/testify/require"
)

// limit is the least that could answer: paths as one number each, one run of
// entries for each principal, a set of bits for each role. It knows neither
// denies nor ends nor a second house, and is here to be measured against.
type limit struct {
	runs [][2]uint32 // by principal: from, to
	slab []limitEntry
	sets [10]uint64
}

type limitEntry struct {
	code  uint64
	shift uint8
	role  uint8
}

type limitQuestion struct {
	code uint64
	who  uint32
	perm uint8
}

// pathCode packs tenant, unit, mailbox and folder, each one more than its
// number; what is below a resource differs from it in low bits only.
func pathCode(path string) (code uint64, shift uint8) {
	parts := strings.Split(path, "/")
	widths := [...]uint8{0, 16, 12, 16, 20}
	at := uint8(64)
	for i, p := range parts[1:] {
		var n uint64
		_, _ = fmt.Sscan(p[1:], &n)
		at -= widths[i+1]
		code |= (n + 1) << at
	}
	return code, at
}

func newLimit(w *benchWorld) (*limit, []limitQuestion) {
	l := &limit{}
	number := map[Principal]uint32{}
	role := map[Role]uint8{}
	for i, r := range w.roles {
		role[r] = uint8(i)
		for _, p := range w.carry[i] {
			l.sets[i] |= 1 << p
		}
	}
	var last Principal
	for _, x := range w.given {
		if x.Principal != last {
			last = x.Principal
			number[last] = uint32(len(l.runs))
			l.runs = append(l.runs, [2]uint32{uint32(len(l.slab)), uint32(len(l.slab))})
		}
		code, shift := pathCode(x.Resource.path)
		l.slab = append(l.slab, limitEntry{code, shift, role[x.Role]})
		l.runs[len(l.runs)-1][1]++
	}
	qs := make([]limitQuestion, len(w.reqs))
	for i, r := range w.reqs {
		code, _ := pathCode(r.Resource.path)
		qs[i] = limitQuestion{code, number[r.Principal], uint8(w.perm[i])}
	}
	return l, qs
}

func (l *limit) check(q limitQuestion) bool {
	r := l.runs[q.who]
	ok := false
	for _, e := range l.slab[r[0]:r[1]] {
		if (e.code^q.code)>>e.shift == 0 && l.sets[e.role]>>q.perm&1 == 1 {
			ok = true // and on, as one must who looks for denies
		}
	}
	return ok
}

// newCedar states the same in Cedar: roles are groups of actions, a principal
// has a set of resources for each role and effect, resources have parents.
func newCedar(b testing.TB, w *benchWorld) (*cedar.PolicySet, cedar.EntityMap, []cedar.Request) {
	var text strings.Builder
	for i := range w.roles {
		fmt.Fprintf(&text, "permit (principal, action in Action::\"r%d\", resource) when { principal has a%d && resource in principal.a%d };\n", i, i, i)
		fmt.Fprintf(&text, "forbid (principal, action in Action::\"r%d\", resource) when { principal has d%d && resource in principal.d%d };\n", i, i, i)
	}
	ps, err := cedar.NewPolicySetFromBytes("policy.cedar", []byte(text.String()))
	require.NoError(b, err)
	es := cedar.EntityMap{}
	groups := make([][]types.EntityUID, len(w.perms))
	role := map[Role]int{}
	for i, r := range w.roles {
		role[r] = i
		for _, p := range w.carry[i] {
			groups[p] = append(groups[p], cedar.NewEntityUID("Action", types.String(fmt.Sprintf("r%d", i))))
		}
	}
	for p, g := range groups {
		uid := cedar.NewEntityUID("Action", types.String(w.perms[p].name))
		es[uid] = cedar.Entity{UID: uid, Parents: cedar.NewEntityUIDSet(g...)}
	}
	var resource func(path string) types.EntityUID
	resource = func(path string) types.EntityUID {
		uid := cedar.NewEntityUID("R", types.String(path))
		if _, ok := es[uid]; !ok {
			e := cedar.Entity{UID: uid}
			if i := strings.LastIndexByte(path, '/'); i > 0 {
				e.Parents = cedar.NewEntityUIDSet(resource(path[:i]))
			}
			es[uid] = e
		}
		return uid
	}
	attrs := map[Principal]map[string][]types.Value{}
	for _, x := range w.given {
		if attrs[x.Principal] == nil {
			attrs[x.Principal] = map[string][]types.Value{}
		}
		key := fmt.Sprintf("%c%d", x.Effect.String()[0], role[x.Role])
		attrs[x.Principal][key] = append(attrs[x.Principal][key], resource(x.Resource.path))
	}
	for p, m := range attrs {
		rec := types.RecordMap{}
		for k, v := range m {
			rec[types.String(k)] = types.NewSet(v...)
		}
		uid := cedar.NewEntityUID("U", types.String(p.name))
		es[uid] = cedar.Entity{UID: uid, Attributes: cedar.NewRecord(rec)}
	}
	qs := make([]cedar.Request, len(w.reqs))
	for i, r := range w.reqs {
		qs[i] = cedar.Request{Principal: cedar.NewEntityUID("U", types.String(r.Principal.name)), Action: cedar.NewEntityUID("Action", types.String(r.Permission.name)),
			Resource: resource(r.Resource.path)}
	}
	return ps, es, qs
}
