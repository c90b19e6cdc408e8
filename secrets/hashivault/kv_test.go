package hashivault_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

func tlsOf(s *vaulttest.Server) *tls.Config {
	return &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}
}

func aWrap(fill byte) secrets.WrappedKey {
	return secrets.WrappedKey{ID: [16]byte{fill}, Version: 1, Wrapped: []byte(strings.Repeat(string(rune('a'+fill%26)), 81))}
}

// fill puts n tenants into the key store past it, in as few writes as documents.
func (r *rig) fill(t *testing.T, n int, k *hashivault.Transit) {
	t.Helper()
	w := wrapped(t, k)
	for doc := 1; n > 0; doc++ {
		tenants := map[string]any{}
		for i := range min(n, 400) {
			tenants[fmt.Sprintf("t%d-%d", doc, i)] = []any{map[string]any{"id": make([]byte, 16), "version": 1, "wrapped": w}}
		}
		n -= len(tenants)
		r.Do(t, http.MethodPut, fmt.Sprintf("%s/data/lockkeeper/keys-%04d", r.cfg.KV, doc),
			map[string]any{"data": map[string]any{"format": "lockkeeper keys 1", "closed": n > 0, "tenants": tenants}})
	}
}

// A cold start of N tenants takes at most N/100 calls.
func TestColdStart(t *testing.T) {
	r := newRig(t, server(t), nil)
	const n = 4000
	r.fill(t, n, r.open(t).Transit())
	p := r.through(t)
	c := r.open(t)
	got := 0
	for cursor := ""; ; {
		page, next, err := c.KV().List(t.Context(), cursor)
		require.NoError(t, err)
		var items []secrets.KeyItem
		for _, tk := range page {
			items = append(items, secrets.KeyItem{Wrapped: tk.Keys[0].Wrapped, AAD: aAAD})
		}
		out, err := c.Transit().UnwrapAll(t.Context(), items)
		require.NoError(t, err)
		for _, o := range out {
			require.NoError(t, o.Err)
			require.Equal(t, aKey, o.Key)
		}
		got += len(out)
		if cursor = next; next == "" {
			break
		}
	}
	require.Equal(t, n, got)
	require.LessOrEqual(t, p.Calls(), n/100)
	t.Logf("%d calls for %d tenants", p.Calls(), n)
}

// Two processes that fill documents at the same time lose nothing and have no
// tenant twice.
func TestDocumentsFillUp(t *testing.T) {
	r := newRig(t, server(t), nil)
	a := r.open(t)
	r.fill(t, 390, a.Transit()) // room for ten
	b := r.open(t)
	var wg sync.WaitGroup
	for i := range 40 {
		kv := []*hashivault.KV{a.KV(), b.KV()}[i%2]
		wg.Go(func() { assert.NoError(t, kv.AddKey(t.Context(), fmt.Sprint("new", i), aWrap(byte(i)))) })
	}
	for i := range 10 { // the same tenant from both sides
		for _, kv := range []*hashivault.KV{a.KV(), b.KV()} {
			wg.Go(func() {
				err := kv.AddKey(t.Context(), fmt.Sprint("both", i), aWrap(byte(i)))
				if err != nil {
					assert.ErrorIs(t, err, secrets.ErrConflict)
				}
			})
		}
	}
	wg.Wait()
	for _, c := range []*hashivault.Client{a, b, r.open(t)} {
		seen := map[string]int{}
		for cursor := ""; ; {
			page, next, err := c.KV().List(t.Context(), cursor)
			require.NoError(t, err)
			for _, tk := range page {
				seen[tk.Tenant]++
				require.Len(t, tk.Keys, 1)
			}
			if cursor = next; next == "" {
				break
			}
		}
		require.Len(t, seen, 440)
		for tenant, n := range seen {
			require.Equal(t, 1, n, tenant)
		}
		for i := range 40 {
			ks, err := c.KV().Keys(t.Context(), fmt.Sprint("new", i))
			require.NoError(t, err)
			require.Equal(t, []secrets.WrappedKey{aWrap(byte(i))}, ks)
		}
	}
}

// versions returns what each version of a document holds, "" for nothing.
func (r *rig) versions(t *testing.T, name string) map[int]string {
	t.Helper()
	out := map[int]string{}
	for v := 1; ; v++ {
		status, b, err := r.Call(t.Context(), r.Root(), http.MethodGet, fmt.Sprintf("%s/data/lockkeeper/%s?version=%d", r.cfg.KV, name, v), nil)
		require.NoError(t, err)
		var a struct {
			Data *struct {
				Data     json.RawMessage
				Metadata *struct{ Destroyed bool }
			}
		}
		require.NoError(t, json.Unmarshal(b, &a))
		if a.Data == nil || a.Data.Metadata == nil {
			return out
		}
		if status == http.StatusOK {
			out[v] = string(a.Data.Data)
		} else {
			require.True(t, a.Data.Metadata.Destroyed, "deleted only: it can come back")
			out[v] = ""
		}
	}
}

// What was shredded is in no version of the document, also when the first try
// did not get to the end.
func TestShredLeavesNoVersion(t *testing.T) {
	for _, apart := range []bool{false, true} {
		t.Run(fmt.Sprint("apart ", apart), func(t *testing.T) {
			r := newRig(t, server(t), func(c *hashivault.Config) { c.Apart = apart })
			p := r.through(t)
			kv, name := r.open(t).KV(), "keys-0001"
			if apart {
				name = "tenant-acme"
			}
			require.NoError(t, kv.AddKey(t.Context(), "acme", aWrap(1)))
			require.NoError(t, kv.AddKey(t.Context(), "beta", aWrap(2)))
			next := aWrap(3)
			next.Version = 2
			require.NoError(t, kv.AddKey(t.Context(), "acme", next))
			p.Set(func(w http.ResponseWriter, q *http.Request, fwd http.Handler) {
				if strings.Contains(q.URL.Path, "/destroy/") {
					w.WriteHeader(http.StatusInternalServerError)
					return
				}
				fwd.ServeHTTP(w, q)
			})
			require.ErrorIs(t, kv.Shred(t.Context(), "acme"), secrets.ErrKeeper)
			p.Set(nil)
			other := r.open(t).KV() // a process that never saw the tenant
			eventually(t, "the rest of it", func() bool { return other.Shred(t.Context(), "acme") == nil })
			vs := r.versions(t, name)
			for v, content := range vs {
				require.NotContains(t, content, "acme", "version %d", v)
				if v < len(vs) {
					require.Empty(t, content)
				}
			}
			require.NoError(t, kv.AddKey(t.Context(), "gamma", aWrap(4)))
			ks, err := kv.Keys(t.Context(), "beta")
			require.NoError(t, err)
			require.Equal(t, []secrets.WrappedKey{aWrap(2)}, ks)
		})
	}
}

// A document that was emptied, deleted or altered is no tenant without keys.
func TestDamagedDocument(t *testing.T) {
	for name, spoil := range map[string]func(r *rig){
		"soft-deleted": func(r *rig) { r.Do(t, http.MethodDelete, r.cfg.KV+"/data/lockkeeper/keys-0001", nil) },
		"destroyed": func(r *rig) {
			r.Do(t, http.MethodPut, r.cfg.KV+"/destroy/lockkeeper/keys-0001", map[string]any{"versions": []int{1}})
		},
		"of other form": func(r *rig) {
			r.Do(t, http.MethodPut, r.cfg.KV+"/data/lockkeeper/keys-0001", map[string]any{"data": map[string]any{"a": 1}})
		},
		"versions mixed": func(r *rig) {
			r.Do(t, http.MethodPut, r.cfg.KV+"/data/lockkeeper/keys-0001", map[string]any{"data": map[string]any{"format": "lockkeeper keys 1", "tenants": map[string]any{"acme": []any{map[string]any{"id": "AAAA", "version": 1}}}}})
		},
		"a list": func(r *rig) {
			r.Do(t, http.MethodPut, r.cfg.KV+"/data/lockkeeper/keys-0001", map[string]any{"data": map[string]any{"format": []int{1}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, server(t), nil)
			kv := r.open(t).KV()
			require.NoError(t, kv.AddKey(t.Context(), "acme", aWrap(1)))
			spoil(r)
			_, err := kv.Keys(t.Context(), "acme")
			require.ErrorIs(t, err, hashivault.ErrDamaged)
			for _, kv := range []*hashivault.KV{kv, r.open(t).KV()} {
				require.ErrorIs(t, kv.AddKey(t.Context(), "beta", aWrap(2)), hashivault.ErrDamaged, "nothing is written over it")
				_, _, err = kv.List(t.Context(), "")
				require.ErrorIs(t, err, hashivault.ErrDamaged)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		kv := r.open(t).KV()
		require.NoError(t, kv.AddKey(t.Context(), "acme", aWrap(1)))
		r.Do(t, http.MethodDelete, r.cfg.KV+"/metadata/lockkeeper/keys-0001", nil)
		_, err := kv.Keys(t.Context(), "acme")
		require.ErrorIs(t, err, hashivault.ErrWrongVault)
		require.ErrorIs(t, kv.AddKey(t.Context(), "acme", aWrap(1)), hashivault.ErrWrongVault)
	})
	t.Run("a gap", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		r.fill(t, 900, r.open(t).Transit())
		r.Do(t, http.MethodDelete, r.cfg.KV+"/metadata/lockkeeper/keys-0002", nil)
		_, _, err := r.open(t).KV().List(t.Context(), "")
		require.ErrorIs(t, err, hashivault.ErrDamaged)
	})
	t.Run("a mount that is none, or of version 1", func(t *testing.T) {
		for mount, want := range map[string]secrets.State{"none": secrets.Denied, server(t).Mount(t, "kv-v1"): secrets.Misused} {
			r := newRig(t, server(t), nil)
			r.cfg.KV = mount
			r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Root())))
			_, err := r.open(t).KV().Keys(t.Context(), "acme")
			require.Equal(t, want, stateOf(t, err))
		}
	})
}

// A worker with one tenant's policy reaches no other tenant's keys, and with
// them alone in its hands opens nothing of another's.
//
// evidence: P29
// evidence: T14
func TestOneTenantsWorker(t *testing.T) {
	r := newRig(t, server(t), func(c *hashivault.Config) { c.Apart = true })
	c := r.open(t)
	wrapFor := func(tenant string) []byte {
		w, err := c.Transit().Wrap(t.Context(), aKey, []byte(tenant))
		require.NoError(t, err)
		require.NoError(t, c.KV().AddKey(t.Context(), tenant, secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w}))
		return w
	}
	for _, tenant := range []string{"acme", "acme2", "beta", "a_me"} {
		wrapFor(tenant)
	}
	hcl, err := hashivault.TenantPolicy(r.cfg, "acme")
	require.NoError(t, err)
	token := r.Token(t, r.Policy(t, hcl), nil)
	r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(token)))
	worker := r.open(t)
	ks, err := worker.KV().Keys(t.Context(), "acme")
	require.NoError(t, err)
	key, err := worker.Transit().Unwrap(t.Context(), ks[0].Wrapped, []byte("acme"))
	require.NoError(t, err)
	require.Equal(t, aKey, key)
	for _, tenant := range []string{"acme2", "beta", "a_me", "acm", "acme_", "acme/../beta", "new"} {
		_, err := worker.KV().Keys(t.Context(), tenant)
		require.Equal(t, secrets.Denied, stateOf(t, err), tenant)
		require.Equal(t, secrets.Denied, stateOf(t, worker.KV().AddKey(t.Context(), tenant, aWrap(1))))
		require.Equal(t, secrets.Denied, stateOf(t, worker.KV().Shred(t.Context(), tenant)))
		_, err = worker.Transit().Unwrap(t.Context(), ks[0].Wrapped, []byte(tenant))
		require.ErrorIs(t, err, secrets.ErrTampered, "its own wrap as another's")
	}
	for _, path := range []string{"data/lockkeeper/tenant-beta", "data/lockkeeper/tenant-acme2", "metadata/lockkeeper/tenant-beta", "metadata/lockkeeper?list=true", "data/lockkeeper/tenant-beta?version=1"} {
		status, _, err := r.Call(t.Context(), token, http.MethodGet, r.cfg.KV+"/"+path, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, status, path)
	}
	_, err = hashivault.TenantPolicy(hashivault.Config{Address: r.cfg.Address, Auth: r.cfg.Auth}, "acme")
	require.True(t, errors.Is(err, hashivault.ErrConfig), "documents of many tenants cannot be told apart")
}
