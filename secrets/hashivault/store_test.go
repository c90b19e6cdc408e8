package hashivault_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

const crm = "tenants/acme/secrets/crm"

func aDay(n int) time.Time { return time.Date(2026, 2, n, 4, 5, 6, 0, time.UTC) }

func aHead(revision uint64) secrets.Head {
	return secrets.Head{Name: crm, Tenant: "acme", Revision: revision, Current: revision, Oldest: 1, Kind: secrets.Basic, Created: aDay(1), Changed: aDay(2), MAC: []byte{byte(revision)}}
}

func aVersion(number uint64, body string) *secrets.Version {
	return &secrets.Version{Name: crm, Tenant: "acme", Number: number, Kind: secrets.Basic, Created: aDay(2), KeyVersion: 1, Wrap: []byte{1, byte(number)}, Body: []byte(body)}
}

func aTenant(generation uint32) secrets.Tenant {
	return secrets.Tenant{Name: "acme", Generation: generation, HeadKey: []byte{byte(generation)}}
}

// stores is a rig with a store through a proxy, as of one process, and another
// without, as of a second.
func stores(t *testing.T) (*rig, *vaulttest.Proxy, *hashivault.Store, *hashivault.Store) {
	t.Helper()
	r := newRig(t, server(t), nil, hashivault.Storing)
	b := r.open(t).Store()
	p := r.through(t)
	a := r.open(t).Store()
	require.NoError(t, b.SaveTenant(t.Context(), aTenant(1), 0))
	_, err := a.Load(t.Context(), "acme", "", 0)
	require.NoError(t, err)
	require.NoError(t, a.Touch(t.Context(), "acme", nil, aDay(1))) // it has looked who Vault is
	return r, p, a, b
}

// writes calls f before each write of the secret's document goes on, with how many
// there were before it.
func writes(p *vaulttest.Proxy, f func(n int, w http.ResponseWriter) bool) {
	var mu sync.Mutex
	n := 0
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if q.Method == http.MethodPut && strings.Contains(q.URL.Path, "/data/lockkeeper-secrets/secrets/") {
			mu.Lock()
			i := n
			n++
			mu.Unlock()
			if !f(i, w) {
				return
			}
		}
		next.ServeHTTP(w, q)
	})
}

// A process that ends between the two steps of a save: another decides, for it if
// the tenant's generation is still the same and against it if not, and nobody sees
// half of it.
//
// fault: F2
func TestASaveEndsInTheMiddle(t *testing.T) {
	for _, large := range []bool{false, true} {
		body := "one"
		if large {
			body = strings.Repeat("one", 300_000)
		}
		for name, c := range map[string]struct {
			between func(s *hashivault.Store) error
			there   bool
		}{
			"nothing happens": {func(*hashivault.Store) error { return nil }, true},
			"promoted":        {func(s *hashivault.Store) error { return s.SaveTenant(context.Background(), aTenant(2), 1) }, false},
			"erased": {func(s *hashivault.Store) error {
				_, _, err := s.Erase(context.Background(), "acme", aDay(3))
				return err
			}, false},
		} {
			t.Run(fmt.Sprint(name, " large ", large), func(t *testing.T) {
				r, p, a, b := stores(t)
				writes(p, func(n int, w http.ResponseWriter) bool {
					if n == 0 {
						return true
					}
					w.WriteHeader(http.StatusInternalServerError)
					return false
				})
				require.ErrorIs(t, a.Save(t.Context(), aHead(1), aVersion(1, body), 1), secrets.ErrKeeper)
				got, err := b.Load(t.Context(), "acme", crm, 0)
				require.NoError(t, err)
				require.Equal(t, secrets.Record{Tenant: aTenant(1)}, got, "not yet")
				require.NoError(t, c.between(b))
				n, err := b.Count(t.Context(), "acme", secrets.AllKeys)
				require.NoError(t, err)
				got, err = b.Load(t.Context(), "acme", crm, 0)
				require.NoError(t, err)
				if !c.there {
					require.Zero(t, n)
					require.Zero(t, got.Head)
					require.Zero(t, got.Version)
					require.Empty(t, r.under(t, "bodies/"), "pieces of what was dropped")
					return
				}
				require.Equal(t, 1, n)
				require.Equal(t, aHead(1), got.Head)
				require.Equal(t, *aVersion(1, body), got.Version)
			})
		}
	}
}

// under lists all documents below a folder of the store.
func (r *rig) under(t *testing.T, folder string) (out []string) {
	t.Helper()
	status, b, err := r.Call(t.Context(), r.Root(), "LIST", r.cfg.KV+"/metadata/lockkeeper-secrets/"+folder, nil)
	require.NoError(t, err)
	if status == http.StatusNotFound {
		return nil
	}
	var a struct{ Data struct{ Keys []string } }
	require.NoError(t, json.Unmarshal(b, &a))
	for _, k := range a.Data.Keys {
		if strings.HasSuffix(k, "/") {
			out = append(out, r.under(t, folder+k)...)
		} else {
			out = append(out, folder+k)
		}
	}
	return out
}

// A save that is late is made as long as nobody has seen the tenant without it, and
// not made once somebody has: who counts what is under a key counts all there will
// ever be.
func TestALateSave(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, b *hashivault.Store)
		made      bool
	}{
		"nothing": {func(*testing.T, *hashivault.Store) {}, true},
		"promoted": {func(t *testing.T, b *hashivault.Store) {
			require.NoError(t, b.SaveTenant(t.Context(), aTenant(2), 1))
		}, true}, // nobody looked: it was before
		"promoted and counted": {func(t *testing.T, b *hashivault.Store) {
			require.NoError(t, b.SaveTenant(t.Context(), aTenant(2), 1))
			n, err := b.Count(t.Context(), "acme", 2)
			require.NoError(t, err)
			require.Zero(t, n)
		}, false},
		"promoted and loaded": {func(t *testing.T, b *hashivault.Store) {
			require.NoError(t, b.SaveTenant(t.Context(), aTenant(2), 1))
			got, err := b.Load(t.Context(), "acme", crm, 0)
			require.NoError(t, err)
			require.Equal(t, secrets.Record{Tenant: aTenant(2)}, got)
		}, false},
		"promoted and listed": {func(t *testing.T, b *hashivault.Store) {
			require.NoError(t, b.SaveTenant(t.Context(), aTenant(2), 1))
			es, err := b.List(t.Context(), "tenants/acme/", "", 10)
			require.NoError(t, err)
			require.Empty(t, es)
		}, false},
		"erased": {func(t *testing.T, b *hashivault.Store) {
			_, _, err := b.Erase(t.Context(), "acme", aDay(3))
			require.NoError(t, err)
		}, false},
		"decided for it": {func(t *testing.T, b *hashivault.Store) {
			n, err := b.Count(t.Context(), "acme", 2)
			require.NoError(t, err)
			require.Equal(t, 1, n)
		}, true},
		"decided for it, and others followed": {func(t *testing.T, b *hashivault.Store) {
			for n := uint64(2); n < 9; n++ {
				require.NoError(t, b.Save(t.Context(), aHead(n), aVersion(n, "more"), 1))
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, p, a, b := stores(t)
			writes(p, func(n int, _ http.ResponseWriter) bool {
				if n == 1 {
					c.meanwhile(t, b)
				}
				return true
			})
			err := a.Save(t.Context(), aHead(1), aVersion(1, "one"), 1)
			n, cerr := b.Count(t.Context(), "acme", 2)
			require.NoError(t, cerr)
			if c.made {
				require.NoError(t, err)
				require.Positive(t, n)
				return
			}
			require.ErrorIs(t, err, secrets.ErrConflict)
			require.Zero(t, n)
			got, err := b.Load(t.Context(), "acme", crm, 1)
			require.NoError(t, err)
			require.Zero(t, got.Head)
			if name == "erased" {
				require.Empty(t, r.under(t, "secrets/"))
			}
		})
	}
}

// Processes that write the same documents at the same time: of those that save the
// same revision one wins, and uses, wraps and saves that meet lose nothing of each
// other's.
func TestTwoStoresAtOnce(t *testing.T) {
	r, _, a, b := stores(t)
	both := []*hashivault.Store{a, b, r.open(t).Store()}
	for n := uint64(1); n <= 20; n++ {
		var wg sync.WaitGroup
		errs := make([]error, 9)
		for i := range errs {
			s := both[i%len(both)]
			wg.Go(func() { errs[i] = s.Save(t.Context(), aHead(n), aVersion(n, fmt.Sprint("by ", i)), 1) })
		}
		if n > 1 {
			wg.Go(func() { assert.NoError(t, both[n%3].Touch(t.Context(), "acme", []string{crm}, aDay(int(n)))) })
			wg.Go(func() {
				v := aVersion(n-1, "")
				es, err := both[(n+1)%3].Replace(t.Context(), "acme", []secrets.Rewrap{{Name: crm, Number: v.Number, Old: v.Wrap, KeyVersion: 7, Wrap: []byte{9, byte(n)}}})
				assert.NoError(t, err)
				assert.NoError(t, es[0])
			})
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			if err == nil {
				require.Equal(t, -1, won, "one wins")
				won = i
				continue
			}
			require.ErrorIs(t, err, secrets.ErrConflict)
		}
		require.NotEqual(t, -1, won)
		for _, s := range both {
			got, err := s.Load(t.Context(), "acme", crm, 0)
			require.NoError(t, err)
			require.Equal(t, n, got.Head.Revision)
			require.Equal(t, fmt.Sprint("by ", won), string(got.Version.Body))
			if n > 1 {
				require.Equal(t, aDay(int(n)), got.Head.LastUse)
				got, err = s.Load(t.Context(), "acme", crm, n-1)
				require.NoError(t, err)
				require.Equal(t, []byte{9, byte(n)}, got.Version.Wrap)
			}
		}
	}
}

// Two processes put secrets while the tenant's key is rotated, all is brought under
// the new one and the old one destroyed, again and again: whatever was put can be
// used in the end, and no record was seen that is of two moments.
//
// evidence: P29
func TestRotationInVault(t *testing.T) {
	r := newRig(t, server(t), nil, hashivault.Storing)
	world := authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants", "allow service:custodian role:custodian tenants")
	s := &site{World: world}
	var safes []*secrets.Safe
	for range 3 {
		c := r.open(t)
		safe, err := secrets.New(c.Transit(), c.KV(), c.Store(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, safe.Close()) })
		safes = append(safes, safe)
	}
	acme := authztest.Resource(t, "tenants/acme")
	ref := func(who, n int) secrets.Ref {
		ref, err := secrets.NewRef(acme, fmt.Sprintf("s%d-%d", who, n%7))
		require.NoError(t, err)
		return ref
	}
	put := func(safe *secrets.Safe, who, n int) error {
		return safe.Put(t.Context(), s.grant(t, "user:idp/admin", "secrets.write", "tenants/acme"), ref(who, n), []byte("value"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}})
	}
	use := func(safe *secrets.Safe, who, n int) error {
		h, err := safe.Handle(s.grant(t, "service:conn", "secrets.use", "tenants/acme"), ref(who, n))
		require.NoError(t, err)
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://crm.example"})
		return err
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	puts := make([]int, 2)
	for who, safe := range safes[:2] {
		for n := range 7 {
			require.NoError(t, put(safe, who, n))
		}
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				switch err := put(safe, who, n); {
				case err == nil:
					puts[who]++
				case !errors.Is(err, secrets.ErrConflict):
					t.Errorf("put: %v", err)
					return
				}
				if err := use(safe, who, n); err != nil {
					t.Errorf("use: %v", err)
					return
				}
			}
		})
	}
	g := func() error {
		g := s.grant(t, "service:custodian", "secrets.rotate", "tenants/acme")
		if _, err := safes[2].RotateTenant(t.Context(), g, acme); err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
		if p, err := safes[2].Rewrap(t.Context(), g, acme, nil); err != nil || p.Failed > 0 {
			return fmt.Errorf("rewrap: %v: %w", p, err)
		}
		return safes[2].RetireTenantKeys(t.Context(), g, acme)
	}
	for range 5 {
		if err := g(); err != nil {
			require.ErrorIs(t, err, secrets.ErrInUse)
		}
	}
	close(stop)
	wg.Wait()
	for who, safe := range safes[:2] {
		require.Positive(t, puts[who])
		for n := range 7 {
			require.NoError(t, use(safe, who, n))
			require.NoError(t, use(safes[2], who, n))
		}
	}
	t.Logf("%v puts", puts)
}

// A secret and its tenant are loaded as of one moment: both change between the two
// reads, and what is loaded was never there, unless it is looked at again.
func TestLoadedAsOfOneMoment(t *testing.T) {
	_, p, a, b := stores(t)
	require.NoError(t, b.Save(t.Context(), aHead(1), aVersion(1, "one"), 1))
	var once sync.Once
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		next.ServeHTTP(w, q)
		if strings.Contains(q.URL.Path, "/secrets/tenants/") {
			once.Do(func() {
				assert.NoError(t, b.Save(t.Context(), aHead(2), aVersion(2, "two"), 1))
				assert.NoError(t, b.SaveTenant(t.Context(), aTenant(2), 1))
			})
		}
	})
	got, err := a.Load(t.Context(), "acme", crm, 0)
	require.NoError(t, err)
	require.Equal(t, secrets.Record{Tenant: aTenant(2), Head: aHead(2), Version: *aVersion(2, "two"), Newest: 2}, got)
}

// contents are what the versions of a secret's document still hold.
func (r *rig) contents(t *testing.T, doc string) string {
	t.Helper()
	var b strings.Builder
	for v := 1; ; v++ {
		_, raw, err := r.Call(t.Context(), r.Root(), http.MethodGet, fmt.Sprintf("%s/data/lockkeeper-secrets/%s?version=%d", r.cfg.KV, doc, v), nil)
		require.NoError(t, err)
		var a struct {
			Data *struct {
				Data     json.RawMessage
				Metadata *struct{ Version int }
			}
		}
		require.NoError(t, json.Unmarshal(raw, &a))
		if a.Data == nil || a.Data.Metadata == nil {
			return b.String()
		}
		b.Write(a.Data.Data)
	}
}

// What was revoked, or is too old to be kept, is in no version of the document, nor
// beside it, also when the process ended before it got so far.
func TestWhatIsGoneIsInNoVersion(t *testing.T) {
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			r, p, a, b := stores(t)
			const doc = "secrets/tenants/acme/secrets/crm"
			short, long := "short body", strings.Repeat("long body", 2000)
			require.NoError(t, a.Save(t.Context(), aHead(1), aVersion(1, short), 1))
			require.NoError(t, a.Save(t.Context(), aHead(2), aVersion(2, long), 1))
			in := func(s string) bool { return strings.Contains(r.contents(t, doc), s) }
			coded := base64.StdEncoding.EncodeToString([]byte(short))
			require.True(t, in(coded))
			require.Len(t, r.under(t, "bodies/"), 1)
			if crash {
				p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
					if strings.Contains(q.URL.Path, "/destroy/") || q.Method == http.MethodDelete {
						w.WriteHeader(http.StatusInternalServerError)
						return
					}
					next.ServeHTTP(w, q)
				})
			}
			h := aHead(3)
			h.Current, h.Oldest, h.Revoked = 2, 3, true
			err := a.Save(t.Context(), h, nil, 1)
			if crash {
				require.ErrorIs(t, err, secrets.ErrKeeper)
				require.True(t, in(coded), "the test shows something")
				p.Set(nil)
				n, err := b.Count(t.Context(), "acme", secrets.AllKeys)
				require.NoError(t, err)
				require.Zero(t, n)
			} else {
				require.NoError(t, err)
				require.Empty(t, r.under(t, "bodies/"))
			}
			require.False(t, in(coded))
			wrap := base64.StdEncoding.EncodeToString(aVersion(2, "").Wrap)
			require.False(t, in(wrap), "without the wrap a body is noise")
			require.True(t, in(base64.StdEncoding.EncodeToString(h.MAC)), "what is left is what it is now")
			_, _, err = b.Erase(t.Context(), "acme", aDay(9))
			require.NoError(t, err)
			require.Empty(t, r.under(t, "secrets/"))
			require.Empty(t, r.under(t, "bodies/"), "not even what a crash left")
		})
	}
}

// Documents of the store that somebody altered in Vault itself: exchanged, put back
// from before, emptied, cut, deleted, and with any byte flipped. None is used, and
// when it is as it was it is used again.
//
// evidence: T9
func TestEveryDocumentIsProtected(t *testing.T) {
	r := newRig(t, server(t), nil, hashivault.Storing)
	f := secretstest.Fill(t, r.open(t).Store())
	docs := append(r.under(t, "secrets/"), r.under(t, "tenants/")...)
	require.Len(t, docs, len(f.Refs)+2)
	path := func(doc string) string { return r.cfg.KV + "/data/lockkeeper-secrets/" + doc }
	good, earlier := map[string]json.RawMessage{}, map[string][]json.RawMessage{}
	for _, d := range docs {
		for v := 1; v < 30; v++ {
			status, b, err := r.Call(t.Context(), r.Root(), http.MethodGet, fmt.Sprintf("%s?version=%d", path(d), v), nil)
			require.NoError(t, err)
			var a struct {
				Data struct{ Data json.RawMessage }
			}
			if status == http.StatusOK {
				require.NoError(t, json.Unmarshal(b, &a))
				earlier[d], good[d] = append(earlier[d], a.Data.Data), a.Data.Data
			}
		}
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 7))
	tries := 2000
	if raceEnabled || testing.Short() {
		tries = 300
	}
	ways := map[string]int{}
	for n := 0; n < tries; {
		at := rng.IntN(len(f.Refs))
		ref := f.Refs[at]
		doc := "secrets/" + ref.String()
		if rng.IntN(4) == 0 {
			doc = "tenants/" + ref.Resource().Segments()[1]
		}
		how, bad, whole := alter(rng, doc, good, earlier)
		if bad != nil && meansTheSame(t, good[doc], bad) {
			continue
		}
		if bad == nil {
			r.Do(t, http.MethodDelete, path(doc), nil)
		} else {
			r.Do(t, http.MethodPut, path(doc), map[string]any{"data": bad})
		}
		err := f.Use(t, ref)
		require.Error(t, err, "seed %d, number %d: %s of %s was used: %s", seed, n, how, doc, bad)
		require.NotContains(t, err.Error(), "value-")
		r.Do(t, http.MethodPut, path(doc), map[string]any{"data": good[doc]})
		if whole {
			require.NoError(t, f.Use(t, ref), "%s put right again", doc)
		}
		ways[how]++
		n++
	}
	for _, ref := range f.Refs {
		require.NoError(t, f.Use(t, ref))
	}
	require.Len(t, ways, 6)
	t.Logf("%d alterations: %v", tries, ways)
}

// alter returns what to put in the place of a document; nil is nothing.
func alter(rng *rand.Rand, doc string, good map[string]json.RawMessage, earlier map[string][]json.RawMessage) (how string, bad json.RawMessage, whole bool) {
	kind, _, _ := strings.Cut(doc, "/")
	for {
		switch rng.IntN(6) {
		case 0:
			for other, b := range good {
				if o, _, _ := strings.Cut(other, "/"); other != doc && o == kind {
					return "another's", b, true
				}
			}
		case 1:
			return "from before", earlier[doc][rng.IntN(len(earlier[doc]))], true
		case 2:
			return "deleted", nil, true
		case 3:
			var m map[string]json.RawMessage
			if json.Unmarshal(good[doc], &m) != nil {
				panic("not an object")
			}
			for _, k := range []string{"format", "name", "now", "generation", "head_key"} {
				if _, ok := m[k]; ok && rng.IntN(3) == 0 {
					delete(m, k)
				}
			}
			b, err := json.Marshal(m)
			if err != nil {
				panic(err)
			}
			return "a field less", b, true
		case 4:
			b := bytes.Clone(good[doc])
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
			if json.Valid(b) && b[0] == '{' {
				return "a bit flipped", b, true
			}
		case 5:
			b := bytes.Clone(good[doc])
			i := rng.IntN(len(b))
			if j := i + 1 + rng.IntN(4); j < len(b) {
				if b = append(b[:i], b[j:]...); json.Valid(b) && b[0] == '{' {
					return "cut", b, true
				}
			}
		}
	}
}

// meansTheSame reports whether two documents say the same of everything that is
// protected: the rest is about what is to be done, and when a secret was last used.
func meansTheSame(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	var out [2]string
	for i, raw := range []json.RawMessage{a, b} {
		var m map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		require.NoError(t, d.Decode(&m))
		lower(m)
		for _, k := range []string{"made", "unswept", "pieces", "roots"} {
			delete(m, k)
		}
		if now, ok := m["now"].(map[string]any); ok {
			if h, ok := now["head"].(map[string]any); ok {
				delete(h, "last_use")
			}
			if vs, ok := now["versions"].([]any); ok && len(vs) > 1 {
				now["versions"] = vs[len(vs)-1:] // a use reads the newest
			}
		}
		b, err := json.Marshal(m)
		require.NoError(t, err)
		out[i] = string(b)
	}
	return out[0] == out[1]
}

// lower makes the names of fields as a reader of JSON takes them, and drops those
// that it does not know: they say nothing.
func lower(v any) {
	known := strings.Fields("format name now head tenant revision current oldest revoked kind scope created changed expires due mac versions number key_version wrap body generation head_key erased next")
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			lower(x)
			if text, ok := x.(string); ok && strings.Contains("mac wrap body head_key", strings.ToLower(k)) {
				if b, err := base64.StdEncoding.DecodeString(text); err == nil {
					x = b // the last character has bits that mean nothing
				}
			}
			delete(v, k)
			for _, n := range known {
				if strings.EqualFold(n, k) {
					v[n] = x
				}
			}
		}
	case []any:
		for _, x := range v {
			lower(x)
		}
	}
}

// Names and tenants whatever their characters have a document each, and what Vault's
// storages would not take is refused before it is sent.
func TestStoreNames(t *testing.T) {
	r, p, a, b := stores(t)
	long := strings.Repeat("n", 121)
	h, v := aHead(1), aVersion(1, "one")
	h.Name, v.Name = "tenants/acme/secrets/"+long, "tenants/acme/secrets/"+long
	calls := p.Calls()
	require.ErrorContains(t, a.Save(t.Context(), h, v, 1), "too long")
	require.Equal(t, calls, p.Calls(), "Vault is not asked")
	got, err := a.Load(t.Context(), "acme", h.Name, 0)
	require.NoError(t, err)
	require.Equal(t, secrets.Record{Tenant: aTenant(1)}, got)
	vs, err := a.Scan(t.Context(), "acme", h.Name, secrets.AllKeys, secrets.At{}, 10)
	require.NoError(t, err)
	require.Empty(t, vs)
	require.NoError(t, a.Touch(t.Context(), "acme", []string{h.Name}, aDay(1)))
	errs, err := a.Replace(t.Context(), "acme", []secrets.Rewrap{{Name: h.Name, Number: 1}})
	require.NoError(t, err)
	require.ErrorIs(t, errs[0], secrets.ErrConflict)

	// In their order: what is beside a folder is not what is in it.
	names := []string{"tenants/acme/secrets/%20", "tenants/acme/secrets/*", "tenants/acme/secrets/+", "tenants/acme/secrets/a", "tenants/acme/secrets/a-b", "tenants/acme/secrets/a.b", "tenants/acme/secrets/a/b",
		"tenants/acme/secrets/a/oauth/consent", "tenants/acme/secrets/a0", "tenants/acme/secrets/é", "tenants/acme/users/7f/secrets/x"}
	for i := range names {
		name := names[(i*7)%len(names)]
		h.Name, v.Name = name, name
		require.NoError(t, b.Save(t.Context(), h, v, 1), name)
	}
	for size := 1; size < 13; size++ {
		var listed, scanned []string
		for after := ""; ; after = listed[len(listed)-1] {
			es, err := a.List(t.Context(), "tenants/acme/", after, size)
			require.NoError(t, err)
			for _, e := range es {
				listed = append(listed, e.Name)
			}
			if len(es) == 0 {
				break
			}
		}
		for at := (secrets.At{}); ; {
			vs, err := a.Scan(t.Context(), "acme", "", secrets.AllKeys, at, size)
			require.NoError(t, err)
			if len(vs) == 0 {
				break
			}
			for _, v := range vs {
				scanned = append(scanned, v.Name)
				at = secrets.At{Name: v.Name, Number: v.Number}
			}
		}
		require.Equal(t, names, listed, "pages of %d", size)
		require.Equal(t, names, scanned, "pages of %d", size)
	}
	_ = r
}

// A worker with one tenant's policy uses that tenant's sealed secrets, and reaches
// neither those of another nor their rows.
//
// evidence: T14
func TestOneTenantsStore(t *testing.T) {
	r := newRig(t, server(t), func(c *hashivault.Config) { c.Apart = true }, hashivault.Storing)
	all := r.open(t).Store()
	for _, tenant := range []string{"acme", "acme2", "beta"} {
		require.NoError(t, all.SaveTenant(t.Context(), secrets.Tenant{Name: tenant, Generation: 1, HeadKey: []byte{1}}, 0))
		h, v := aHead(1), aVersion(1, strings.Repeat("b", 10_000))
		h.Tenant, v.Tenant = tenant, tenant
		h.Name, v.Name = "tenants/"+tenant+"/secrets/crm", "tenants/"+tenant+"/secrets/crm"
		require.NoError(t, all.Save(t.Context(), h, v, 1))
	}
	hcl, err := hashivault.TenantPolicy(r.cfg, "acme", hashivault.Storing)
	require.NoError(t, err)
	r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Token(t, r.Policy(t, hcl), nil))))
	worker := r.open(t).Store()
	got, err := worker.Load(t.Context(), "acme", crm, 0)
	require.NoError(t, err)
	require.Len(t, got.Version.Body, 10_000)
	require.NoError(t, worker.Save(t.Context(), aHead(2), aVersion(2, strings.Repeat("c", 10_000)), 1))
	n, err := worker.Count(t.Context(), "acme", secrets.AllKeys)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for _, tenant := range []string{"acme2", "beta"} {
		_, err := worker.Load(t.Context(), tenant, "tenants/"+tenant+"/secrets/crm", 0)
		require.Equal(t, secrets.Denied, stateOf(t, err))
		_, err = worker.Count(t.Context(), tenant, 9)
		require.Equal(t, secrets.Denied, stateOf(t, err))
		_, _, err = worker.Erase(t.Context(), tenant, aDay(1))
		require.Equal(t, secrets.Denied, stateOf(t, err))
	}
	_, err = worker.Tenants(t.Context(), "", 10)
	require.Equal(t, secrets.Denied, stateOf(t, err))
	_, _, err = worker.Erase(t.Context(), "acme", aDay(1))
	require.NoError(t, err)
	es, err := all.List(t.Context(), "", "", 10)
	require.NoError(t, err)
	require.Len(t, es, 2)
	_, err = hashivault.TenantPolicy(r.cfg, "acme", hashivault.Rotating)
	require.ErrorIs(t, err, hashivault.ErrConfig)
}

// A store in a Vault that is sealed, or is not the one that it was, says so, and
// goes on by itself.
//
// fault: F20, F24
func TestStoreWhenVaultIsNotThere(t *testing.T) {
	s := vaulttest.Start(t, nil)
	r := newRig(t, s, nil, hashivault.Storing)
	c := r.open(t)
	store := c.Store()
	require.NoError(t, store.SaveTenant(t.Context(), aTenant(1), 0))
	require.NoError(t, store.Save(t.Context(), aHead(1), aVersion(1, "one"), 1))
	s.Seal(t)
	_, err := store.Load(t.Context(), "acme", crm, 0)
	require.Equal(t, secrets.Sealed, stateOf(t, err))
	require.Equal(t, secrets.Sealed, stateOf(t, store.Save(t.Context(), aHead(2), aVersion(2, "two"), 1)))
	_, _, err = store.Erase(t.Context(), "acme", aDay(1))
	require.Equal(t, secrets.Sealed, stateOf(t, err))
	s.Unseal(t)
	eventually(t, "it to be back", func() bool {
		got, err := store.Load(t.Context(), "acme", crm, 0)
		return err == nil && string(got.Version.Body) == "one"
	})
	id, err := c.Identity(t.Context())
	require.NoError(t, err)
	id.Version = 9
	r.cfg.Expect = id
	other := r.open(t).Store()
	require.ErrorIs(t, other.Save(t.Context(), aHead(2), aVersion(2, "two"), 1), hashivault.ErrWrongVault)
	require.ErrorIs(t, other.SaveTenant(t.Context(), aTenant(2), 1), hashivault.ErrWrongVault)
	got, err := store.Load(t.Context(), "acme", crm, 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Head.Revision, "nothing was written")
}

// Documents that are not as they were written are damage and not absence.
func TestDamagedRows(t *testing.T) {
	for name, spoil := range map[string]func(r *rig){
		"soft-deleted": func(r *rig) {
			r.Do(t, http.MethodDelete, r.cfg.KV+"/data/lockkeeper-secrets/secrets/tenants/acme/secrets/crm", nil)
		},
		"a tenant's soft-deleted": func(r *rig) {
			r.Do(t, http.MethodDelete, r.cfg.KV+"/data/lockkeeper-secrets/tenants/acme", nil)
		},
		"a piece gone": func(r *rig) {
			r.Do(t, http.MethodDelete, r.cfg.KV+"/metadata/lockkeeper-secrets/"+r.under(t, "bodies/")[1], nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, a, b := stores(t)
			require.NoError(t, a.Save(t.Context(), aHead(1), aVersion(1, strings.Repeat("body", 200_000)), 1))
			spoil(r)
			for _, s := range []*hashivault.Store{a, b} {
				_, err := s.Load(t.Context(), "acme", crm, 0)
				require.ErrorIs(t, err, hashivault.ErrDamaged)
			}
			if !strings.Contains(name, "piece") {
				require.ErrorIs(t, b.Save(t.Context(), aHead(2), aVersion(2, "x"), 1), hashivault.ErrDamaged, "nothing is written over it")
			}
		})
	}
}

// A Safe whose sealed secrets are in Vault takes values of the greatest length, and
// another process uses them.
func TestSafeInVault(t *testing.T) {
	r := newRig(t, server(t), nil, hashivault.Storing)
	world := authztest.New(t, "allow user:idp/admin role:tenant-admin tenants", "allow service:conn role:connection tenants")
	s := &site{World: world}
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, r.open(t).Store(), nil)
	require.NoError(t, err)
	defer safe.Close()
	ref := refOf(t, 1)
	value := bytes.Repeat([]byte("k"), secrets.MaxValue)
	g := s.grant(t, "user:idp/admin", "secrets.write", "tenants")
	require.NoError(t, safe.Put(t.Context(), g, ref, bytes.Clone(value), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}}))
	before := s.mark(t, safe, ref)
	again, err := secrets.New(keys, keys, r.open(t).Store(), nil)
	require.NoError(t, err)
	defer again.Close()
	require.Equal(t, before, s.mark(t, again, ref))
}

func (s *site) mark(t *testing.T, safe *secrets.Safe, ref secrets.Ref) string {
	t.Helper()
	h, err := safe.Handle(s.grant(t, "service:conn", "secrets.use", "tenants"), ref)
	require.NoError(t, err)
	b, err := h.HMAC(t.Context(), []byte("message"))
	require.NoError(t, err)
	return string(b)
}
