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
			near := byte(0)
			for i := 0; b.Loop(); i++ {
				i &= len(ones) - 1
				one := ones[i : i+1]
				soon := &ones[(i+8)&(len(ones)-1)] // whoever makes a change has just made its parts
				near += soon.Principal.name[0] + soon.Resource.path[0] + soon.ID[0] + byte(soon.Effect)
				a.ix.apply(Change{Revision: uint64(i), Add: one})
				a.ix.apply(Change{Revision: uint64(i), Remove: one})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2, "ns/change")
			runtime.KeepAlive(near)
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

func cpuTime() time.Duration { return cpuOf(syscall.RUSAGE_SELF) }

// ofThread asks Linux for the calling thread; elsewhere it is an error, and zero.
const ofThread = 1

func cpuOf(whom int) time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(whom, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCheckBesideWriter asks by handles while nobody writes, and while one
// does. A durable writer, which is what an installation has, makes some thousand
// changes a second: 10000-a-second stands for it and does all that such a change
// does in memory. Unpaused is an in-memory writer that does nothing else, faster
// than any store lets it be. What a writer
// costs whoever asks, by memory and processor that both use, is seen from one
// that writes as fast to an index that nobody asks. What the asking thread used
// is told apart from what it waited for a processor.
func BenchmarkCheckBesideWriter(b *testing.B) {
	w := newBenchWorld(b, 100_000)
	a, other := w.authorizer(b), w.authorizer(b)
	whos, dos, ons := make([]PrincipalHandle, len(w.reqs)), make([]PermissionHandle, len(w.reqs)), make([]ResourceHandle, len(w.reqs))
	for i, r := range w.reqs {
		whos[i], _ = a.PrincipalHandle(r.Principal)
		dos[i], _ = a.PermissionHandle(r.Permission)
		ons[i], _ = a.ResourceHandle(r.Resource)
	}
	for _, writer := range []struct {
		name  string
		to    *Authorizer
		pause time.Duration
	}{{"none", nil, 0}, {"10000-a-second", a, 100 * time.Microsecond}, {"100000-a-second", a, 10 * time.Microsecond}, {"elsewhere-unpaused", other, 0}, {"unpaused", a, 0}} {
		b.Run("writer="+writer.name, func(b *testing.B) {
			var stop atomic.Bool
			done := make(chan int)
			go func() {
				i := 0
				for ; !stop.Load() && writer.to != nil; i++ {
					one := []Authorization{w.given[(i*7919)%len(w.given)]}
					one[0].ID = uuid.UUID{1, byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)}
					writer.to.ix.apply(Change{Revision: uint64(i), Add: one})
					writer.to.ix.apply(Change{Revision: uint64(i), Remove: one})
					for t := time.Now(); writer.pause > 0 && time.Since(t) < 2*writer.pause; {
						runtime.Gosched()
					}
				}
				done <- i
			}()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			before := cpuOf(ofThread)
			for i := 0; b.Loop(); i++ {
				i &= len(w.reqs) - 1
				a.CheckHandles(whos[i], dos[i], &ons[i])
			}
			b.ReportMetric(float64(cpuOf(ofThread)-before)/float64(b.N), "cpu-ns/op")
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

// BenchmarkExplain explains refusals, and for comparison what is allowed.
func BenchmarkExplain(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			w := newBenchWorld(b, n)
			a := w.authorizer(b)
			for _, allowed := range []bool{true, false} {
				b.Run(fmt.Sprintf("allowed=%v", allowed), func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						for w.allowed[i&(len(w.reqs)-1)] != allowed {
							i++
						}
						if _, err := a.Explain(b.Context(), w.reqs[i&(len(w.reqs)-1)]); err != nil {
							b.Fatal(err)
						}
						i++
					}
				})
			}
		})
	}
}
