package sync_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/gormstate"
)

// course is an engine between two counted systems, with durable state.
type course struct {
	b        *testing.B
	crm, box *counted
	dir      string
	states   *gormstate.Store
	engine   *lksync.Engine
	pair     lksync.Pair
	worker   authz.Principal
}

func newCourse(b *testing.B, crm, box *counted) *course {
	c := &course{b: b, crm: crm, box: box, dir: b.TempDir()}
	allow := func(who, role, on string) authz.Authorization {
		return authz.Authorization{Principal: authztest.Principal(b, who), Role: authztest.Role(b, role), Resource: authztest.Resource(b, on), Effect: authz.Allow}
	}
	// Decisions are recorded, and few are kept: what is measured is the engine.
	az, err := authz.New(b.Context(), policy.Files(), &authz.Options{Audit: authz.NewMemory(100), Seed: []authz.Authorization{
		allow("service:sync-worker", "role:sync-worker", "tenants/acme"),
		allow("user:idp/ana", "role:user", "tenants/acme/users/ana"),
		allow("user:idp/ana", "role:crm-user", "tenants/acme/crm")}})
	require.NoError(b, err)
	cp, err := crm.plugin("crm")
	require.NoError(b, err)
	bp, err := box.plugin("box")
	require.NoError(b, err)
	hub, err := connectors.NewHub(az, nil, cp, bp)
	require.NoError(b, err)
	c.worker = authztest.Principal(b, "service:sync-worker")
	ana := authztest.Principal(b, "user:idp/ana")
	open := func(plugin, res string) *connectors.Conn {
		conn, err := hub.Open(b.Context(), c.worker, connectors.Endpoint{Plugin: plugin, Resource: authztest.Resource(b, res), OnBehalfOf: ana})
		require.NoError(b, err)
		return conn
	}
	keys, err := local.Create(filepath.Join(b.TempDir(), "keyring"), nil)
	require.NoError(b, err)
	c.states, err = gormstate.New(c.dir, keys, nil)
	require.NoError(b, err)
	c.engine = lksync.New(az, c.states, nil)
	c.pair = lksync.Pair{ID: "ana", Resource: authztest.Resource(b, "tenants/acme/users/ana/sync"), OnBehalfOf: ana,
		Left: open("crm", "tenants/acme/crm"), Right: open("box", "tenants/acme/users/ana/mailbox")}
	return c
}

func (c *course) sync() lksync.Report {
	r, err := c.engine.Sync(context.Background(), c.worker, c.pair)
	require.NoError(c.b, err)
	return r
}

// calls returns how many requests both systems got since it was asked last.
func (c *course) calls() int {
	n := c.crm.calls + c.box.calls
	c.crm.calls, c.box.calls = 0, 0
	return n
}

// reads and writes: records, since asked last.
func (c *course) reads() int {
	n := c.crm.got + c.box.got
	c.crm.got, c.box.got = 0, 0
	return n
}

func (c *course) writes() int {
	n := c.crm.wrote + c.box.wrote
	c.crm.wrote, c.box.wrote = 0, 0
	return n
}

// size is what the state takes on disk.
func (c *course) size() (n int64) {
	files, err := filepath.Glob(filepath.Join(c.dir, "*"))
	require.NoError(c.b, err)
	for _, f := range files {
		st, err := os.Stat(f)
		require.NoError(c.b, err)
		n += st.Size()
	}
	return n
}

// A first round: every contact is created once, with a durable intent.
//
// evidence: I9
func BenchmarkCold(b *testing.B) {
	const n = 5000
	for _, x := range []struct {
		name string
		box  func(int) *counted
	}{{"graph", newGraph}, {"ews", newEWS}} {
		b.Run(x.name, func(b *testing.B) {
			var wall, cpu time.Duration
			var calls, rounds int
			var size int64
			for b.Loop() {
				b.StopTimer()
				c := newCourse(b, newC4C(n).fill(), x.box(n))
				b.StartTimer()
				r := c.sync()
				require.Equal(b, n, r.Writes())
				require.Equal(b, n, r.Kinds[connectors.KindContact].Links)
				wall, cpu, calls, rounds, size = wall+r.Wall, cpu+r.CPU, calls+c.calls(), rounds+1, c.size()
			}
			b.ReportMetric(float64(n*rounds)/wall.Seconds(), "records/s")
			b.ReportMetric(cpu.Seconds()/float64(rounds), "cpu-s/round")
			b.ReportMetric(float64(calls)/float64(rounds), "requests/round")
			b.ReportMetric(float64(size)/n, "state-B/pair")
		})
	}
}

// settled is a course whose n contacts are all on both sides and remembered.
func settled(b *testing.B, n int) *course {
	c := newCourse(b, newC4C(n).fill(), newGraph(n).fill())
	st, err := c.states.Open(b.Context(), c.pair.ID)
	require.NoError(b, err)
	var batch lksync.Batch
	for i := range n {
		batch.Put = append(batch.Put, lksync.Link{Kind: connectors.KindContact, Origin: lksync.Left, State: lksync.Linked, Seen: time.Now(),
			ID: [2]string{c.crm.name(i), c.box.name(i)}, Rev: [2]string{c.crm.revision(i), c.box.revision(i)}})
		if len(batch.Put) == 5000 || i == n-1 {
			require.NoError(b, st.Commit(b.Context(), batch))
			batch.Put = nil
		}
	}
	for _, s := range []lksync.Side{lksync.Left, lksync.Right} {
		batch.Cursors = append(batch.Cursors, lksync.Position{Side: s, Kind: connectors.KindContact, Cursor: fmt.Sprint(n, " ", 0)})
		batch.Sweeps = append(batch.Sweeps, lksync.Position{Side: s, Kind: connectors.KindContact, At: time.Now()})
	}
	require.NoError(b, st.Commit(b.Context(), batch))
	require.NoError(b, st.Close())
	for range 3 {
		require.Zero(b, c.sync().Writes())
	}
	c.calls()
	return c
}

// A round in which nothing changed, turn by turn at two sizes: it must not grow.
//
// evidence: I9
func BenchmarkNothingChanged(b *testing.B) {
	sizes := []int{5000, 100_000}
	var cs []*course
	for _, n := range sizes {
		cs = append(cs, settled(b, n))
	}
	runtime.GC()
	cpu, calls := make([]time.Duration, len(sizes)), make([]int, len(sizes))
	rounds := 0
	for b.Loop() {
		for i, c := range cs {
			r := c.sync()
			require.Zero(b, r.Writes())
			cpu[i] += r.CPU
			calls[i] += c.calls()
		}
		rounds++
	}
	for i, n := range sizes {
		b.ReportMetric(float64(cpu[i].Microseconds())/1000/float64(rounds), fmt.Sprintf("cpu-ms@%d", n))
		b.ReportMetric(float64(calls[i])/float64(rounds), fmt.Sprintf("requests@%d", n))
	}
	b.ReportMetric(float64(cpu[1])/float64(cpu[0]), "cpu-ratio")
}

// One record in a hundred changed, half of them on each side.
func BenchmarkOnePercentChanged(b *testing.B) {
	const n, changed = 5000, 50
	for _, x := range []struct {
		name  string
		short bool
	}{{"changes-with-content", false}, {"changes-by-id", true}} {
		b.Run(x.name, func(b *testing.B) {
			c := settled(b, n)
			c.crm.shortRead, c.box.shortRead = x.short, x.short
			var cpu time.Duration
			var calls, reads, writes, rounds int
			for b.Loop() {
				b.StopTimer()
				for i := range changed {
					[]*counted{c.crm, c.box}[i%2].edit((rounds*changed + i) * 7 % n)
				}
				c.calls()
				c.reads()
				c.writes()
				b.StartTimer()
				r := c.sync()
				require.Equal(b, changed, r.Writes())
				cpu, calls, reads, writes, rounds = cpu+r.CPU, calls+c.calls(), reads+c.reads(), writes+c.writes(), rounds+1
				if rounds%20 == 0 { // an hour's writes of one record hold it; look away
					b.StopTimer()
					c = settled(b, n)
					c.crm.shortRead, c.box.shortRead = x.short, x.short
					b.StartTimer()
				}
			}
			each := float64(rounds * changed)
			b.ReportMetric(cpu.Seconds()/float64(rounds), "cpu-s/round")
			b.ReportMetric(float64(reads)/each, "reads/change")
			b.ReportMetric(float64(writes)/each, "writes/change")
			b.ReportMetric(float64(calls)/float64(rounds), "requests/round")
		})
	}
}

const largeChild = "LOCKKEEPER_BENCH_LARGE"

// A first round of a hundred thousand contacts, in a process of its own, so that
// what it takes is its own.
//
// evidence: I9
func BenchmarkLarge(b *testing.B) {
	const n = 100_000
	if os.Getenv(largeChild) != "" {
		large(b, n)
		return
	}
	var heap, live, rss, seconds, cpu float64
	rounds := 0
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "^BenchmarkLarge$", "-test.benchtime", "1x")
		cmd.Env = append(os.Environ(), largeChild+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, string(out))
		_, line, found := strings.Cut(string(out), "large: ")
		require.True(b, found, string(out))
		var x [5]float64
		_, err = fmt.Sscan(line, &x[0], &x[1], &x[2], &x[3], &x[4])
		require.NoError(b, err, line)
		live, heap, rss, seconds, cpu = max(live, x[0]), max(heap, x[1]), max(rss, x[2]), seconds+x[3], cpu+x[4]
		rounds++
	}
	b.ReportMetric(live, "live-MB/round")
	b.ReportMetric(heap, "heap-MB/round")
	b.ReportMetric(rss, "rss-MB")
	b.ReportMetric(float64(n*rounds)/seconds, "records/s")
	b.ReportMetric(cpu/float64(rounds), "cpu-s/round")
}

// large prints what was in use at most, beyond what was before, and of the whole process.
func large(b *testing.B, n int) {
	c := newCourse(b, newC4C(n).fill(), newGraph(n))
	c.crm.log, c.box.log = make([]int32, 0, n), make([]int32, 0, n)
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(samples)
	before := [2]uint64{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
	peak := before
	look := func() {
		metrics.Read(samples)
		for i := range peak {
			peak[i] = max(peak[i], samples[i].Value.Uint64())
		}
	}
	c.crm.underWay, c.box.underWay = look, look
	r := c.sync()
	require.Equal(b, n, r.Writes())
	fmt.Println("large:", mega(peak[0]-before[0]), mega(peak[1]-before[1]), resident(b), r.Wall.Seconds(), r.CPU.Seconds())
}

func mega(n uint64) float64 { return float64(n) / (1 << 20) }

// resident is what the process had in memory at most, in MB.
func resident(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("no /proc to ask")
	}
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	_, err = fmt.Sscan(line, &kb)
	require.NoError(b, err)
	return kb / 1024
}
