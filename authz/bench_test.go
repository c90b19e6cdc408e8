package authz

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// workload is a house of n assignments: ten for each principal, one in two
// hundred principals of the vendor's staff with roles on many tenants, a
// thousand assignments for each tenant, and questions of which about half are
// allowed, most of them by something held above. The questions are many, so
// that they do not all stay in the processor's cache.
func workload(b *testing.B, n int) (*Authorizer, []Request) {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	people, tenants := n/10, max(1, n/1000)
	tenant := func(i int) string { return fmt.Sprintf("tenants/t%d", i) }
	as := make([]Authorization, 0, n)
	ms := make([]Membership, 0, people/5)
	roles := []string{"role:user", "role:crm-user", "role:tenant-admin", "role:sync-worker", "role:support", "role:sales", "role:customer-success"}
	who := make([]Principal, people)
	for i := range who {
		home := i % tenants
		who[i] = Principal{fmt.Sprintf("user:idp/p%d", i)}
		staff := i%200 == 0
		if i%5 == 0 {
			ms = append(ms, Membership{who[i], Principal{fmt.Sprintf("team:t%d", home)}})
		}
		for j := range 10 {
			x := Authorization{ID: uuid.New(), Principal: who[i], Role: Role{roles[rnd.IntN(len(roles))]}, Effect: Allow}
			on := tenant(home)
			if staff {
				on = tenant(rnd.IntN(tenants))
			}
			if j > 0 {
				on += fmt.Sprintf("/units/u%d/users/m%d", rnd.IntN(10), rnd.IntN(100))
			}
			x.Resource = Resource{on}
			if rnd.IntN(50) == 0 {
				x.Effect = Deny
			}
			as = append(as, x)
		}
	}
	a, err := New(b.Context(), os.DirFS("../policy"), nil)
	require.NoError(b, err)
	a.ix = newIndex(a.cat, as, ms, 1, a.now)
	perms := make([]Permission, 0, len(a.cat.permissions))
	for _, p := range a.cat.permissions {
		perms = append(perms, Permission{p})
	}
	reqs := make([]Request, 1<<16)
	for i := range reqs {
		x := as[rnd.IntN(len(as))]
		on := x.Resource.path
		if rnd.IntN(5) > 0 {
			on += fmt.Sprintf("/mailbox/f%d", rnd.IntN(1000))
		}
		reqs[i] = Request{Principal: x.Principal, Permission: perms[rnd.IntN(len(perms))], Resource: Resource{on}}
	}
	return a, reqs
}

func sizes() []int { return []int{1_000, 100_000} }

// BenchmarkCheck is the index: what every Check costs.
func BenchmarkCheck(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("assignments=%d", n), func(b *testing.B) {
			a, reqs := workload(b, n)
			ctx := b.Context()
			yes, i := 0, 0
			b.ReportAllocs()
			for b.Loop() {
				d, err := a.Check(ctx, reqs[i&(len(reqs)-1)])
				if err != nil {
					b.Fatal(err)
				}
				if d.Allowed {
					yes++
				}
				i++
			}
			b.ReportMetric(float64(yes)/float64(i), "allowed/op")
		})
	}
}

// BenchmarkCasbinEnforce asks Casbin the same questions over the same data.
func BenchmarkCasbinEnforce(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("assignments=%d", n), func(b *testing.B) {
			a, reqs := workload(b, n)
			ix, i := a.ix, 0
			b.ReportAllocs()
			for b.Loop() {
				r := &reqs[i&(len(reqs)-1)]
				if _, err := a.meaning.enforce(ix, r.Principal, r.Permission.name, r.Resource); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkAuthorize is a Check with its record in memory and its Grant, by one
// goroutine and by many, whose records go out together.
func BenchmarkAuthorize(b *testing.B) {
	a, reqs := workload(b, 100_000)
	var allowed []Request
	for _, r := range reqs {
		if d, _ := a.Check(b.Context(), r); d.Allowed {
			allowed = append(allowed, r)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			if _, err := a.Authorize(b.Context(), allowed[i%len(allowed)]); err != nil {
				b.Fatal(err)
			}
			i++
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.IntN(len(allowed)); pb.Next(); i++ {
				if _, err := a.Authorize(b.Context(), allowed[i%len(allowed)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkCovers is what each use of a Grant costs.
func BenchmarkCovers(b *testing.B) {
	a, reqs := workload(b, 100_000)
	var gs []Grant
	for _, r := range reqs {
		if d, _ := a.Check(b.Context(), r); d.Allowed && len(gs) < 1<<12 {
			gs = append(gs, a.mint(r, d, a.now()))
		}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		g := gs[i%len(gs)]
		if err := g.Covers(g.g.req.Permission, g.g.req.Resource); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
