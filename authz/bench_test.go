package authz

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func benchSizes() []int { return []int{1_000, 10_000, 100_000, 1_000_000} }

// BenchmarkCheck asks every engine the same questions over the same data, each
// answer compared once with the plainest reference. Compare within one run:
//
//	go test ./authz -run '^$' -bench Check
func BenchmarkCheck(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			mask := len(w.reqs) - 1
			run := func(engine string, check func(i int) bool) {
				b.Run("engine="+engine, func(b *testing.B) {
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						if i &= mask; check(i) != w.allowed[i] {
							b.Fatalf("question %d: %+v: want %v", i, w.reqs[i], w.allowed[i])
						}
					}
				})
			}
			l, qs := newLimit(w)
			b.Run("engine=limit", func(b *testing.B) {
				b.ReportAllocs()
				yes := 0
				for i := 0; b.Loop(); i++ {
					if l.check(qs[i&mask]) { // knows no denies: its answers are not compared
						yes++
					}
				}
			})
			a := w.authorizer(b)
			whos, dos, ons := make([]PrincipalHandle, len(w.reqs)), make([]PermissionHandle, len(w.reqs)), make([]ResourceHandle, len(w.reqs))
			for i, r := range w.reqs {
				var err [3]error
				whos[i], err[0] = a.PrincipalHandle(r.Principal)
				dos[i], err[1] = a.PermissionHandle(r.Permission)
				ons[i], err[2] = a.ResourceHandle(r.Resource)
				require.Equal(b, [3]error{}, err)
			}
			run("lockkeeper", func(i int) bool { return a.CheckHandles(whos[i], dos[i], &ons[i]).Allowed() })
			ctx := b.Context()
			run("lockkeeper-names", func(i int) bool { d, _ := a.Check(ctx, w.reqs[i]); return d.Allowed })
			func() {
				ps, es, qs := newCedar(b, w)
				run("cedar", func(i int) bool { ok, _ := cedar.Authorize(ps, es, qs[i]); return ok == cedar.Allow })
			}()
			func() {
				e, qs := newPlainCasbin(b, w)
				run("casbin", func(i int) bool { ok, _ := e.Enforce(qs[i]...); return ok })
			}()
		})
	}
}

// BenchmarkCasbinEnforce asks Casbin over our own index, the policy's meaning.
func BenchmarkCasbinEnforce(b *testing.B) {
	w := newBenchWorld(b, 100_000)
	a := w.authorizer(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		i &= len(w.reqs) - 1
		ok, err := a.meaning.enforce(a.ix, w.reqs[i].Principal, w.reqs[i].Permission.name, w.reqs[i].Resource)
		if err != nil || ok != w.allowed[i] {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkAssign adds and revokes one Authorization in memory.
func BenchmarkAssign(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			a := w.authorizer(b)
			ones := make([]Authorization, 1<<16)
			for i := range ones {
				ones[i] = w.given[(i*7919)%len(w.given)]
				ones[i].ID = uuid.New()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				i &= len(ones) - 1
				one := ones[i : i+1]
				a.ix.apply(Change{Revision: uint64(i), Add: one})
				a.ix.apply(Change{Revision: uint64(i), Remove: one})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/change")
		})
	}
}

// BenchmarkLoad builds the index from rows in memory and says what an
// assignment takes, names and all.
func BenchmarkLoad(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			cat, err := readPolicy(w.policy)
			require.NoError(b, err)
			kept := make([]*index, 1)
			var before, after runtime.MemStats
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				kept[0] = nil
				runtime.GC()
				runtime.ReadMemStats(&before)
				start := cpuTime()
				b.StartTimer()
				kept[0] = newIndex(cat, w.given, nil, 1, nil)
				b.StopTimer()
				cpu += cpuTime() - start
				runtime.GC()
				runtime.ReadMemStats(&after)
				b.StartTimer()
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "B/assignment")
			b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
			b.ReportMetric(float64(kept[0].tree.nodes.size())/float64(n), "resources/assignment")
			runtime.KeepAlive(w)
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheckBesideWriter asks by handles while nobody writes, and while one
// writes as fast as a disk would let it and as fast as memory does.
func BenchmarkCheckBesideWriter(b *testing.B) {
	w := newBenchWorld(b, 100_000)
	a := w.authorizer(b)
	whos, dos, ons := make([]PrincipalHandle, len(w.reqs)), make([]PermissionHandle, len(w.reqs)), make([]ResourceHandle, len(w.reqs))
	for i, r := range w.reqs {
		whos[i], _ = a.PrincipalHandle(r.Principal)
		dos[i], _ = a.PermissionHandle(r.Permission)
		ons[i], _ = a.ResourceHandle(r.Resource)
	}
	for name, pause := range map[string]time.Duration{"none": -1, "10000-a-second": 100 * time.Microsecond, "unpaused": 0} {
		b.Run("writer="+name, func(b *testing.B) {
			var stop atomic.Bool
			done := make(chan int)
			go func() {
				i := 0
				for ; !stop.Load() && pause >= 0; i++ {
					one := []Authorization{w.given[(i*7919)%len(w.given)]}
					one[0].ID = uuid.UUID{1, byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
					a.ix.apply(Change{Revision: uint64(i), Add: one})
					a.ix.apply(Change{Revision: uint64(i), Remove: one})
					for t := time.Now(); time.Since(t) < 2*pause; {
						runtime.Gosched()
					}
				}
				done <- i
			}()
			for i := 0; b.Loop(); i++ {
				i &= len(w.reqs) - 1
				a.CheckHandles(whos[i], dos[i], &ons[i])
			}
			stop.Store(true)
			b.ReportMetric(2*float64(<-done)/b.Elapsed().Seconds(), "changes/s")
		})
	}
}

// BenchmarkResources lists what somebody may use, path and all, and says what a
// result takes.
func BenchmarkResources(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			a := w.authorizer(b)
			all, one := Principal{"user:idp/all"}, Principal{"user:idp/one"}
			a.ix.apply(Change{Revision: 2, Add: []Authorization{
				{ID: uuid.New(), Principal: all, Role: w.roles[0], Resource: Resource{"platform"}, Effect: Allow},
				{ID: uuid.New(), Principal: one, Role: w.roles[0], Resource: Resource{"platform/t0"}, Effect: Allow},
			}})
			for who, p := range map[string]Principal{"everything": all, "tenant": one} {
				b.Run("of="+who, func(b *testing.B) {
					b.ReportAllocs()
					results := 0
					for b.Loop() {
						for _, err := range a.Resources(b.Context(), p, w.perms[0], Resource{"platform"}) {
							if err != nil {
								b.Fatal(err)
							}
							results++
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(results), "ns/result")
					b.ReportMetric(float64(results)/float64(b.N), "results/op")
				})
			}
		})
	}
}

// BenchmarkPrincipals lists who may use a mailbox.
func BenchmarkPrincipals(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			a := w.authorizer(b)
			b.ReportAllocs()
			results := 0
			for i := 0; b.Loop(); i++ {
				r := w.reqs[i&(len(w.reqs)-1)]
				for _, err := range a.Principals(b.Context(), r.Permission, r.Resource) {
					if err != nil {
						b.Fatal(err)
					}
					results++
				}
			}
			b.ReportMetric(float64(results)/float64(b.N), "results/op")
		})
	}
}
