package gormstate

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// benched is a CRM with contacts, an empty mailbox, and a durable state.
func benched(b *testing.B, n int) (*lksync.Engine, lksync.Pair, authz.Principal) {
	crm, box := mem.New(nil), mem.New(nil)
	for i := range n {
		r := connectors.NewRecord(connectors.KindContact)
		r.Contact.GivenName, r.Contact.FamilyName, r.Contact.Email = "Given", fmt.Sprint("Family ", i), fmt.Sprintf("p%d@x.example", i)
		crm.Add(r)
	}
	az := authztest.New(b, "allow service:sync-worker role:sync-worker tenants/acme",
		"allow user:idp/ana role:user tenants/acme/users/ana", "allow user:idp/ana role:crm-user tenants/acme/crm")
	cp, err := crm.Plugin("crm", connectors.CRM)
	require.NoError(b, err)
	bp, err := box.Plugin("box", connectors.Mailbox)
	require.NoError(b, err)
	hub, err := connectors.NewHub(az.Authorizer, nil, cp, bp)
	require.NoError(b, err)
	worker, ana := authztest.Principal(b, "service:sync-worker"), authztest.Principal(b, "user:idp/ana")
	open := func(plugin, res string) *connectors.Conn {
		c, err := hub.Open(b.Context(), worker, connectors.Endpoint{Plugin: plugin, Resource: authztest.Resource(b, res), OnBehalfOf: ana})
		require.NoError(b, err)
		return c
	}
	keys, err := local.Create(filepath.Join(b.TempDir(), "keyring"), nil)
	require.NoError(b, err)
	st, err := New(b.TempDir(), keys)
	require.NoError(b, err)
	return lksync.New(az.Authorizer, st, nil), lksync.Pair{ID: "ana", Resource: authztest.Resource(b, "tenants/acme/users/ana/sync"), OnBehalfOf: ana,
		Left: open("crm", "tenants/acme/crm"), Right: open("box", "tenants/acme/users/ana/mailbox")}, worker
}

// A first round: every contact is created once, with a durable intent.
func BenchmarkCold(b *testing.B) {
	const n = 5000
	for b.Loop() {
		b.StopTimer()
		e, p, who := benched(b, n)
		b.StartTimer()
		r, err := e.Sync(context.Background(), who, p)
		require.NoError(b, err)
		require.Equal(b, n, r.Writes())
		b.ReportMetric(float64(n)/r.Wall.Seconds(), "records/s")
		b.ReportMetric(r.CPU.Seconds(), "cpu-s/round")
	}
}

// A round in which nothing changed, at two sizes: it must not grow.
func BenchmarkQuiet(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e, p, who := benched(b, n)
			for range 2 {
				_, err := e.Sync(context.Background(), who, p)
				require.NoError(b, err)
			}
			var cpu time.Duration
			rounds := 0
			for b.Loop() {
				r, err := e.Sync(context.Background(), who, p)
				require.NoError(b, err)
				require.Zero(b, r.Writes())
				cpu += r.CPU
				rounds++
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(rounds)/1000, "cpu-ms/round")
		})
	}
}
