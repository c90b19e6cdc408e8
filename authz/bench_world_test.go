package authz

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// benchWorld is what every engine is given: n assignments, ten for each
// principal, one principal in two hundred of the vendor's staff with roles in
// any tenant, a thousand assignments for each tenant; ten roles of eight to
// twenty of forty permissions; a tree of platform, tenant, ten units, a hundred
// mailboxes in each, folders. One assignment in fifty is a deny, one in twenty
// ends some day. There are 65,536 questions, so that they do not all stay in
// the processor's cache; half are allowed, most by something held above.
type benchWorld struct {
	policy  fstest.MapFS
	roles   []Role
	carry   [][]int // permissions of each role
	perms   []Permission
	given   []Authorization
	reqs    []Request
	perm    []int // of each question
	allowed []bool
}

func newBenchWorld(b testing.TB, n int) *benchWorld {
	rnd := rand.New(rand.NewPCG(7, uint64(n)))
	model, err := os.ReadFile("../policy/model.conf")
	require.NoError(b, err)
	w := &benchWorld{}
	var ps, rs strings.Builder
	for i := range 40 {
		name := fmt.Sprintf("area%d.items.verb%d", i/8, i%8)
		w.perms = append(w.perms, Permission{name})
		fmt.Fprintf(&ps, "%s, one thing to do\n", name)
	}
	for i := range 10 {
		w.roles = append(w.roles, Role{fmt.Sprintf("role:r%d", i)})
		carry := rnd.Perm(40)[:8+rnd.IntN(13)]
		if i == 0 {
			carry = rnd.Perm(40) // so that each is in some role
		}
		w.carry = append(w.carry, carry)
		for _, p := range carry {
			fmt.Fprintf(&rs, "p, %s, %s\n", w.roles[i], w.perms[p])
		}
	}
	w.policy = fstest.MapFS{"model.conf": {Data: model}, "permissions.csv": {Data: []byte(ps.String())}, "roles.csv": {Data: []byte(rs.String())}}

	tenants := max(1, n/1000)
	granter, end := Principal{"user:idp/admin"}, time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	boxes := make([]int, tenants)
	for i := range n {
		who := i / 10
		tenant := who % tenants
		if who%200 == 0 {
			tenant = rnd.IntN(tenants)
		}
		x := Authorization{ID: uuid.New(), Principal: Principal{fmt.Sprintf("user:idp/p%d", who)}, Role: w.roles[1+rnd.IntN(9)], Effect: Allow, GrantedBy: granter}
		on := fmt.Sprintf("platform/t%d", tenant)
		if k := rnd.IntN(100); k >= 2 {
			box := boxes[tenant] % 1000
			boxes[tenant]++
			on += fmt.Sprintf("/u%d", box/100)
			if k >= 10 {
				on += fmt.Sprintf("/m%d", box%100)
				if k >= 90 {
					on += fmt.Sprintf("/f%d", rnd.IntN(1000))
				}
			}
		}
		x.Resource = Resource{on}
		if rnd.IntN(50) == 0 {
			x.Effect = Deny
		}
		if rnd.IntN(20) == 0 {
			x.Until = end
		}
		w.given = append(w.given, x)
	}
	w.ask(b, rnd)
	return w
}

// ask makes the questions and answers them in the plainest way there is.
func (w *benchWorld) ask(b testing.TB, rnd *rand.Rand) {
	byWho := map[Principal][]int{}
	for i, x := range w.given {
		byWho[x.Principal] = append(byWho[x.Principal], i)
	}
	role := map[Role]int{}
	for i, r := range w.roles {
		role[r] = i
	}
	answer := func(r Request, perm int) bool {
		ok := false
		for _, i := range byWho[r.Principal] {
			x := w.given[i]
			if (r.Resource == x.Resource || strings.HasPrefix(r.Resource.path, x.Resource.path+"/")) && slices.Contains(w.carry[role[x.Role]], perm) {
				if x.Effect == Deny {
					return false
				}
				ok = true
			}
		}
		return ok
	}
	const questions = 1 << 16
	need := [2]int{questions / 2, questions / 2}
	for len(w.reqs) < questions {
		x := w.given[rnd.IntN(len(w.given))]
		on := x.Resource.path
		for level := strings.Count(on, "/"); level < 4 && rnd.IntN(5) > 0; level++ {
			on += "/" + [...]string{"", "u", "m", "f"}[level] + fmt.Sprint(rnd.IntN([...]int{1, 10, 100, 1000}[level]))
			if level == 3 {
				break
			}
		}
		perm := rnd.IntN(len(w.perms))
		if rnd.IntN(2) == 0 {
			perm = w.carry[role[x.Role]][0]
		}
		r := Request{Principal: x.Principal, Permission: w.perms[perm], Resource: Resource{on}}
		ok := answer(r, perm)
		side := 0
		if ok {
			side = 1
		}
		if need[side] == 0 {
			continue
		}
		need[side]--
		w.reqs, w.perm, w.allowed = append(w.reqs, r), append(w.perm, perm), append(w.allowed, ok)
	}
}

// authorizer is the product with the world in its index.
func (w *benchWorld) authorizer(b testing.TB) *Authorizer {
	a, err := New(b.Context(), w.policy, nil)
	require.NoError(b, err)
	a.ix.apply(Change{Revision: 1, Add: w.given})
	return a
}
