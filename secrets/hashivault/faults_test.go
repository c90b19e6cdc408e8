package hashivault_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

var (
	aKey = bytes.Repeat([]byte{0x5a}, 32)
	aAAD = []byte("tenant key of acme")
)

func wrapped(t testing.TB, k *hashivault.Transit) []byte {
	t.Helper()
	w, err := k.Wrap(t.Context(), aKey, aAAD)
	require.NoError(t, err)
	return w
}

// opens reports whether Vault serves again. Errors on the way must be Vault's.
func opens(t testing.TB, k *hashivault.Transit, w []byte) bool {
	t.Helper()
	out, err := k.Unwrap(t.Context(), w, aAAD)
	if err != nil {
		require.ErrorIs(t, err, secrets.ErrKeeper)
		return false
	}
	require.Equal(t, aKey, out)
	return true
}

// Sealed before, during and after: a typed error, Vault is left in peace, and
// its return is noticed.
//
// evidence: P29
// fault: F20
func TestSealed(t *testing.T) {
	s := vaulttest.Start(t, nil)
	r := newRig(t, s, nil)
	p := r.through(t)
	s.Seal(t)
	k, store := r.open(t).Transit(), r.open(t).KV()
	_, err := k.Wrap(t.Context(), aKey, aAAD)
	require.Equal(t, secrets.Sealed, stateOf(t, err), "before")
	_, err = store.Keys(t.Context(), "acme")
	require.Equal(t, secrets.Sealed, stateOf(t, err))
	h, err := k.Probe(t.Context())
	require.NoError(t, err)
	require.Equal(t, secrets.Sealed, h.State)
	s.Unseal(t)
	var w []byte
	eventually(t, "a wrap", func() bool { w, err = k.Wrap(t.Context(), aKey, aAAD); return err == nil })
	require.True(t, opens(t, k, w))

	p.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/decrypt/") {
			p.Set(nil)
			s.Seal(t)
		}
		next.ServeHTTP(w, r)
	})
	_, err = k.Unwrap(t.Context(), w, aAAD)
	require.Equal(t, secrets.Sealed, stateOf(t, err), "during")

	before, known := p.Calls(), 0
	for range 1000 {
		_, err = k.Unwrap(t.Context(), w, aAAD)
		require.Equal(t, secrets.Sealed, stateOf(t, err), "after")
		var e *hashivault.Error
		require.ErrorAs(t, err, &e)
		if e.Known {
			known++
		}
	}
	require.Less(t, p.Calls()-before, 50, "a thousand calls, most of them answered from what is known")
	require.Greater(t, known, 900)
	s.Unseal(t)
	eventually(t, "its return", func() bool { return opens(t, k, w) })
}

// A Vault that was killed is noticed at once, and its return too.
//
// fault: F21
func TestKilledAndBack(t *testing.T) {
	s := vaulttest.Start(t, &vaulttest.Options{Files: true})
	r := newRig(t, s, nil)
	k, store := r.open(t).Transit(), r.open(t).KV()
	w := wrapped(t, k)
	require.NoError(t, store.AddKey(t.Context(), "acme", secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w}))
	s.Kill()
	_, err := k.Unwrap(t.Context(), w, aAAD)
	require.Equal(t, secrets.Unreachable, stateOf(t, err))
	require.Equal(t, secrets.Unreachable, stateOf(t, store.AddKey(t.Context(), "acme", secrets.WrappedKey{Version: 2})))
	s.Restart(t)
	eventually(t, "sealed", func() bool { _, err := k.Unwrap(t.Context(), w, aAAD); return stateOf(t, err) == secrets.Sealed })
	s.Unseal(t)
	eventually(t, "its return", func() bool { return opens(t, k, w) })
	ks, err := store.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, w, ks[0].Wrapped)
}

// A Vault that hangs holds up a bounded number of requests for a bounded time.
//
// fault: F21
func TestHanging(t *testing.T) {
	r := newRig(t, server(t), nil)
	p := r.through(t)
	r.cfg.Timeout, r.cfg.AtOnce = 300*time.Millisecond, 4
	k := r.open(t).Transit()
	w := wrapped(t, k)
	var under, most atomic.Int64
	p.Set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := under.Add(1)
		defer under.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		p.Hang(w, r, next)
	})
	before := p.Calls()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			_, err := k.Unwrap(t.Context(), w, aAAD)
			assert.ErrorIs(t, err, secrets.ErrKeeper)
		})
	}
	wg.Wait() // ends, or the test times out
	require.LessOrEqual(t, most.Load(), int64(2*4), "requests at once; those given up may end a little later")
	require.Less(t, p.Calls()-before, 40, "the breaker kept the others from trying")
	p.Set(nil)
	eventually(t, "its return", func() bool { return opens(t, k, w) })
}

// What comes back that is not an answer of Vault's: a typed error without any of
// it, and no harm done.
//
// fault: F21
func TestAnswersThatAreNone(t *testing.T) {
	const canary = "canary-4f1c8d"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("asked elsewhere: %s", r.URL) }))
	defer elsewhere.Close()
	r := newRig(t, server(t), nil)
	p := r.through(t)
	answer := func(status int, body string) vaulttest.Fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	redirect := func(status int) vaulttest.Fault {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, elsewhere.URL+"/"+canary, status)
		}
	}
	for name, c := range map[string]struct {
		fault vaulttest.Fault
		want  secrets.State
	}{
		"reset":              {p.Reset, secrets.Unreachable},
		"500":                {answer(500, `{"errors":["`+canary+`"]}`), secrets.Unreachable},
		"500 page":           {answer(500, "<html>"+canary), secrets.Unreachable},
		"502 page":           {answer(502, "<html>"+canary), secrets.Unreachable},
		"503 page":           {answer(503, "<html>"+canary), secrets.Unreachable},
		"503 sealed":         {answer(503, `{"errors":["Vault is sealed `+canary+`"]}`), secrets.Sealed},
		"504":                {answer(504, ""), secrets.Unreachable},
		"429":                {answer(429, `{"errors":["`+canary+`"]}`), secrets.Unreachable},
		"473":                {answer(473, `{}`), secrets.Standby},
		"standby redirect":   {redirect(307), secrets.Standby},
		"another redirect":   {redirect(302), secrets.Standby},
		"403":                {answer(403, `{"errors":["`+canary+`"]}`), secrets.Denied},
		"403 page":           {answer(403, "<html>"+canary), secrets.Misused},
		"login page":         {answer(200, "<html>"+canary), secrets.Misused},
		"404":                {answer(404, canary), secrets.Misused},
		"405":                {answer(405, `{"errors":["`+canary+`"]}`), secrets.Misused},
		"empty":              {answer(200, ""), secrets.Misused},
		"null":               {answer(200, "null"), secrets.Misused},
		"a list":             {answer(200, "[]"), secrets.Misused},
		"no data":            {answer(200, `{}`), secrets.Misused},
		"data of other form": {answer(200, `{"data":{"batch_results":"`+canary+`"}}`), secrets.Misused},
		"no results":         {answer(200, `{"data":{"batch_results":[]}}`), secrets.Misused},
		"400":                {answer(400, `{"errors":["`+canary+`"]}`), secrets.Misused},
		"deep":               {answer(200, strings.Repeat(`{"data":`, 20000)), secrets.Misused},
		"cut off": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{"data":`)
		}, secrets.Unreachable},
		"huge": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			for range 64 {
				if _, err := w.Write(bytes.Repeat([]byte(canary), 1<<20/len(canary))); err != nil {
					return
				}
			}
		}, secrets.Misused},
		"huge headers": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("X-A", strings.Repeat(canary, 20000))
		}, secrets.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			k := r.open(t).Transit()
			w := wrapped(t, k)
			p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
				if strings.Contains(q.URL.Path, "/decrypt/") {
					c.fault(w, q, next)
					return
				}
				next.ServeHTTP(w, q)
			})
			_, err := k.Unwrap(t.Context(), w, aAAD)
			require.Equal(t, c.want, stateOf(t, err), "%v", err)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
			p.Set(nil)
			eventually(t, "its return", func() bool { return opens(t, k, w) })
		})
	}
}

// A token that ended, whichever way, is replaced by a new login.
//
// fault: F22
func TestTokenEnds(t *testing.T) {
	t.Run("max TTL", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		r.role(t, map[string]any{"token_ttl": "2s", "token_max_ttl": "3s"})
		p := r.through(t)
		var logins atomic.Int64
		p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
			if strings.HasSuffix(q.URL.Path, "/login") {
				logins.Add(1)
			}
			next.ServeHTTP(w, q)
		})
		k := r.open(t).Transit()
		w := wrapped(t, k)
		eventually(t, "three logins, and none of its callers notices", func() bool {
			require.True(t, opens(t, k, w))
			return logins.Load() >= 3
		})
		require.Less(t, logins.Load(), int64(20))
	})
	t.Run("renewed before it ends", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		r.role(t, map[string]any{"token_ttl": "4s", "token_max_ttl": "1h"})
		p := r.through(t)
		var logins, renewals atomic.Int64
		p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
			switch {
			case strings.HasSuffix(q.URL.Path, "/login"):
				logins.Add(1)
			case strings.HasSuffix(q.URL.Path, "auth/token/renew-self"):
				renewals.Add(1)
			}
			next.ServeHTTP(w, q)
		})
		k := r.open(t).Transit()
		w := wrapped(t, k)
		eventually(t, "two renewals", func() bool {
			require.True(t, opens(t, k, w))
			return renewals.Load() >= 2
		})
		require.LessOrEqual(t, logins.Load(), renewals.Load(), "a token that can be renewed is not replaced each time")
	})
	t.Run("revoked", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		k := r.open(t).Transit()
		w := wrapped(t, k)
		r.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/"+r.approle, nil)
		require.True(t, opens(t, k, w), "logs in again within the same call")
	})
	t.Run("and no new one", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		p := r.through(t)
		k := r.open(t).Transit()
		w := wrapped(t, k)
		r.Do(t, http.MethodDelete, "auth/"+r.approle+"/role/app", nil)
		r.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/"+r.approle, nil)
		before := p.Calls()
		for range 50 {
			_, err := k.Unwrap(t.Context(), w, aAAD)
			require.Equal(t, secrets.Denied, stateOf(t, err))
		}
		require.Less(t, p.Calls()-before, 70, "no storm of logins")
	})
	t.Run("not renewable, and lent", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Token(t, r.policy, map[string]any{"ttl": "2s", "renewable": false}))))
		k := r.open(t).Transit()
		w := wrapped(t, k)
		eventually(t, "its end", func() bool { return !opens(t, k, w) })
		_, err := k.Unwrap(t.Context(), w, aAAD)
		require.Equal(t, secrets.Denied, stateOf(t, err))
	})
	t.Run("policy narrowed and widened", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		c := r.open(t)
		k, store := c.Transit(), c.KV()
		w := wrapped(t, k)
		hcl, err := hashivault.Policy(r.cfg)
		require.NoError(t, err)
		r.Do(t, http.MethodPut, "sys/policies/acl/"+r.policy, map[string]any{"policy": strings.ReplaceAll(hcl, "/decrypt/", "/not-decrypt/")})
		_, err = k.Unwrap(t.Context(), w, aAAD)
		require.Equal(t, secrets.Denied, stateOf(t, err))
		require.NoError(t, store.AddKey(t.Context(), "acme", secrets.WrappedKey{Version: 1, Wrapped: w}), "the rest goes on")
		r.Do(t, http.MethodPut, "sys/policies/acl/"+r.policy, map[string]any{"policy": hcl})
		require.True(t, opens(t, k, w))
	})
}

func many(t testing.TB, k *hashivault.Transit, n int) []secrets.KeyItem {
	t.Helper()
	w := wrapped(t, k)
	items := make([]secrets.KeyItem, n)
	for i := range items {
		items[i] = secrets.KeyItem{Wrapped: w, AAD: aAAD}
	}
	return items
}

// A rotation between two halves of a batch loses none of it.
//
// fault: F23
func TestRotatedInTheMiddle(t *testing.T) {
	r := newRig(t, server(t), nil)
	p := r.through(t)
	k := r.open(t).Transit()
	items := many(t, k, 900)
	var calls atomic.Int64
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if strings.Contains(q.URL.Path, "/decrypt/") || strings.Contains(q.URL.Path, "/rewrap/") {
			if calls.Add(1)%2 == 0 {
				r.Do(t, http.MethodPut, r.cfg.Transit+"/keys/lockkeeper/rotate", nil)
			}
		}
		next.ServeHTTP(w, q)
	})
	out, err := k.UnwrapAll(t.Context(), items)
	require.NoError(t, err)
	require.GreaterOrEqual(t, calls.Load(), int64(3), "400 to a call")
	require.LessOrEqual(t, calls.Load(), int64(6), "400 to a call, each asked again at most once where the machine is slow")
	for _, o := range out {
		require.NoError(t, o.Err)
		require.Equal(t, aKey, o.Key)
	}
	out, err = k.Rewrap(t.Context(), items)
	require.NoError(t, err)
	for i := range out {
		require.NoError(t, out[i].Err)
		items[i].Wrapped = out[i].Key
	}
	p.Set(nil)
	out, err = k.UnwrapAll(t.Context(), items)
	require.NoError(t, err)
	for _, o := range out {
		require.NoError(t, o.Err)
		require.Equal(t, aKey, o.Key)
	}
}

// Versions that were given up: what they wrapped is told one by one, the rest opens.
//
// fault: F23
func TestLeastVersionRaised(t *testing.T) {
	r := newRig(t, server(t), nil, hashivault.Rotating)
	k := r.open(t).Transit()
	old := wrapped(t, k)
	v, err := k.Rotate(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
	items := []secrets.KeyItem{{Wrapped: old, AAD: aAAD}, {Wrapped: wrapped(t, k), AAD: aAAD}, {Wrapped: []byte("junk")}}
	r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"min_decryption_version": 2})
	all := func(f func() ([]secrets.KeyResult, error)) {
		t.Helper()
		out, err := f()
		require.NoError(t, err)
		require.ErrorIs(t, out[0].Err, secrets.ErrTampered)
		require.NoError(t, out[1].Err)
		require.ErrorIs(t, out[2].Err, secrets.ErrTampered)
	}
	all(func() ([]secrets.KeyResult, error) { return k.UnwrapAll(t.Context(), items) })
	all(func() ([]secrets.KeyResult, error) { return k.Rewrap(t.Context(), items) })
	out, err := k.UnwrapAll(t.Context(), items[:1])
	require.NoError(t, err, "also when none opens")
	require.ErrorIs(t, out[0].Err, secrets.ErrTampered)
	r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"min_decryption_version": 1})
	require.True(t, opens(t, k, old), "what was only raised comes back")
	require.NoError(t, k.Retire(t.Context(), 2))
	status, _, err := r.Call(t.Context(), r.Root(), http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"min_decryption_version": 1})
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, status, "what was retired does not")
	_, err = k.Unwrap(t.Context(), old, aAAD)
	require.ErrorIs(t, err, secrets.ErrTampered)
}

func (r *rig) deleteKey(t *testing.T) {
	r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": true})
	r.Do(t, http.MethodDelete, r.cfg.Transit+"/keys/lockkeeper", nil)
}

// A Transit key that is gone is told as that, and no new one is made in its place.
//
// fault: F23
func TestKeyDeleted(t *testing.T) {
	t.Run("with the right policy none comes in its place", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		k := r.open(t).Transit()
		w := wrapped(t, k)
		r.deleteKey(t)
		_, err := k.Unwrap(t.Context(), w, aAAD)
		require.ErrorIs(t, err, hashivault.ErrWrongVault)
		require.Equal(t, secrets.Misused, stateOf(t, err))
		_, err = k.Wrap(t.Context(), aKey, aAAD)
		require.ErrorIs(t, err, secrets.ErrKeeper)
		status, _, err := r.Call(t.Context(), r.Root(), http.MethodGet, r.cfg.Transit+"/keys/lockkeeper", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, status)
	})
	t.Run("with a policy too wide it is noticed", func(t *testing.T) {
		r := newRig(t, server(t), nil)
		r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Root())))
		k := r.open(t).Transit()
		wrapped(t, k)
		made := r.Do(t, http.MethodGet, r.cfg.Transit+"/keys/lockkeeper", nil)["keys"].(map[string]any)["1"].(float64)
		r.deleteKey(t)
		for time.Now().Unix() == int64(made) { // keys are told apart by the second
			time.Sleep(10 * time.Millisecond)
		}
		_, err := k.Wrap(t.Context(), aKey, aAAD)
		require.ErrorIs(t, err, hashivault.ErrWrongVault, "encrypt made a new key")
	})
}

// A Vault that was restored from an old copy, or is another one, is refused and
// not written to.
//
// fault: F24
func TestOldCopy(t *testing.T) {
	s := vaulttest.Start(t, &vaulttest.Options{Files: true})
	r := newRig(t, s, nil, hashivault.Rotating)
	c := r.open(t)
	k, store := c.Transit(), c.KV()
	w := wrapped(t, k)
	add := func(store *hashivault.KV, tenant string) error {
		return store.AddKey(t.Context(), tenant, secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w})
	}
	require.NoError(t, add(store, "acme"))
	early := s.Snapshot(t)
	atFirst, err := c.Identity(t.Context())
	require.NoError(t, err)
	require.NoError(t, add(store, "beta"))
	rotation := s.Snapshot(t)
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	now, err := c.Identity(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, now.Version)
	require.Greater(t, now.Writes, atFirst.Writes)
	document := func() string {
		_, b, err := s.Call(t.Context(), s.Root(), http.MethodGet, r.cfg.KV+"/data/lockkeeper/keys-0001", nil)
		require.NoError(t, err)
		var a struct{ Data any }
		require.NoError(t, json.Unmarshal(b, &a))
		return fmt.Sprint(a.Data)
	}

	refused := func(what string) {
		t.Helper()
		was := document()
		eventually(t, what, func() bool {
			_, err := k.Wrap(t.Context(), aKey, aAAD)
			require.ErrorIs(t, err, secrets.ErrKeeper)
			if !is(err, hashivault.ErrWrongVault) {
				return false
			}
			require.ErrorIs(t, add(store, "gamma"), hashivault.ErrWrongVault)
			return true
		})
		r.cfg.Expect = now
		other := r.open(t)
		require.ErrorIs(t, other.Check(t.Context()), hashivault.ErrWrongVault)
		require.ErrorIs(t, add(other.KV(), "gamma"), hashivault.ErrWrongVault)
		_, err := other.Transit().Wrap(t.Context(), aKey, aAAD)
		require.ErrorIs(t, err, hashivault.ErrWrongVault)
		r.cfg.Expect = hashivault.Identity{}
		require.Equal(t, was, document())
	}
	newest := s.Snapshot(t)
	s.Restore(t, rotation)
	refused("the lost rotation to be seen")
	s.Restore(t, newest)
	eventually(t, "the right one", func() bool { return opens(t, k, w) && add(store, "delta") == nil })
	now, err = c.Identity(t.Context())
	require.NoError(t, err)

	s.Restore(t, early)
	refused("the lost keys to be seen")

	// The same state of Transit, an older key store.
	r.cfg.Expect = hashivault.Identity{Writes: now.Writes}
	require.ErrorIs(t, r.open(t).Check(t.Context()), hashivault.ErrWrongVault)
	r.cfg.Expect = atFirst
	require.NoError(t, r.open(t).Check(t.Context()))
}

// Another Vault with a key of the same name is refused.
//
// fault: F24
func TestAnotherVault(t *testing.T) {
	here := newRig(t, server(t), nil)
	id, err := here.open(t).Identity(t.Context())
	require.NoError(t, err)
	there := newRig(t, vaulttest.Start(t, nil), nil)
	there.cfg.Expect = id
	c := there.open(t)
	require.ErrorIs(t, c.Check(t.Context()), hashivault.ErrWrongVault)
	_, err = c.Transit().Wrap(t.Context(), aKey, aAAD)
	require.ErrorIs(t, err, hashivault.ErrWrongVault)
	require.ErrorIs(t, c.KV().AddKey(t.Context(), "acme", secrets.WrappedKey{Version: 1}), hashivault.ErrWrongVault)
}

func is(err, target error) bool { return assert.ErrorIs(quiet{}, err, target) }

type quiet struct{}

func (quiet) Errorf(string, ...any) {}

// rewrite changes what the server answers.
func rewrite(verb string, f func(results []map[string]any) []map[string]any) vaulttest.Fault {
	return func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if !strings.Contains(q.URL.Path, "/"+verb+"/") {
			next.ServeHTTP(w, q)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, q)
		var a map[string]any
		if json.Unmarshal(rec.Body.Bytes(), &a) != nil {
			return
		}
		data, _ := a["data"].(map[string]any)
		var in []map[string]any
		b, _ := json.Marshal(data["batch_results"])
		_ = json.Unmarshal(b, &in)
		data["batch_results"] = f(in)
		w.WriteHeader(rec.Code)
		_ = json.NewEncoder(w).Encode(a)
	}
}

// Vault, or whoever stands in between, answers with something else than what was
// asked for.
//
// fault: F25
func TestWrongAnswers(t *testing.T) {
	r := newRig(t, server(t), nil)
	p := r.through(t)
	k := r.open(t).Transit()
	other := bytes.Repeat([]byte{7}, 32)
	w := wrapped(t, k)
	foreign, err := k.Wrap(t.Context(), other, []byte("tenant key of beta"))
	require.NoError(t, err)
	items := []secrets.KeyItem{{Wrapped: w, AAD: aAAD}, {Wrapped: foreign, AAD: []byte("tenant key of beta")}}
	var kept string // an answer for another
	p.Set(rewrite("encrypt", func(in []map[string]any) []map[string]any { kept = in[0]["ciphertext"].(string); return in }))
	_, err = k.Wrap(t.Context(), other, []byte("tenant key of gamma"))
	require.NoError(t, err)

	t.Run("another's ciphertext is not kept", func(t *testing.T) {
		p.Set(rewrite("encrypt", func(in []map[string]any) []map[string]any { in[0]["ciphertext"] = kept; return in }))
		_, err := k.Wrap(t.Context(), aKey, aAAD)
		require.ErrorIs(t, err, secrets.ErrKeeper)
	})
	for _, text := range []string{"", "vault", "vault:v1:", "vault:v0:" + strings.Split(kept, ":")[2], "vault:v9:" + strings.Split(kept, ":")[2], kept + "AAAA", "vault:v1:%%%"} {
		t.Run("ciphertext "+text, func(t *testing.T) {
			p.Set(rewrite("encrypt", func(in []map[string]any) []map[string]any { in[0]["ciphertext"] = text; return in }))
			_, err := k.Wrap(t.Context(), aKey, aAAD)
			require.ErrorIs(t, err, secrets.ErrKeeper)
		})
	}
	t.Run("another tenant's plaintext", func(t *testing.T) {
		p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any {
			in[0]["plaintext"], in[1]["plaintext"] = in[1]["plaintext"], in[0]["plaintext"]
			return in
		}))
		out, err := k.UnwrapAll(t.Context(), items)
		require.NoError(t, err)
		require.ErrorIs(t, out[0].Err, secrets.ErrTampered)
		require.ErrorIs(t, out[1].Err, secrets.ErrTampered)
		require.Nil(t, out[0].Key)
	})
	t.Run("answers in another order", func(t *testing.T) {
		p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any { in[0], in[1] = in[1], in[0]; return in }))
		_, err := k.UnwrapAll(t.Context(), items)
		require.Equal(t, secrets.Misused, stateOf(t, err))
	})
	t.Run("an answer too few, and too many", func(t *testing.T) {
		p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any { return in[:1] }))
		_, err := k.UnwrapAll(t.Context(), items)
		require.Equal(t, secrets.Misused, stateOf(t, err))
		p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any { return append(in, in[0]) }))
		_, err = k.UnwrapAll(t.Context(), items)
		require.Equal(t, secrets.Misused, stateOf(t, err))
	})
	for _, text := range []string{"", "AAAA", "%", strings.Repeat("A", 64)} {
		t.Run("plaintext "+text, func(t *testing.T) {
			p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any { in[0]["plaintext"] = text; return in }))
			out, err := k.UnwrapAll(t.Context(), items)
			require.NoError(t, err)
			require.ErrorIs(t, out[0].Err, secrets.ErrTampered)
			require.NoError(t, out[1].Err)
		})
	}
	t.Run("a failure inside is no damage", func(t *testing.T) {
		p.Set(rewrite("decrypt", func(in []map[string]any) []map[string]any {
			in[0] = map[string]any{"error": "1 error occurred: disk canary", "reference": "0"}
			return in
		}))
		out, err := k.UnwrapAll(t.Context(), items)
		require.NoError(t, err)
		require.Equal(t, secrets.Unreachable, stateOf(t, out[0].Err))
		require.NotContains(t, out[0].Err.Error(), "canary")
		require.NoError(t, out[1].Err)
	})
	t.Run("a rewrap that would not open", func(t *testing.T) {
		p.Set(rewrite("rewrap", func(in []map[string]any) []map[string]any {
			in[0]["ciphertext"], in[1]["ciphertext"] = in[1]["ciphertext"], in[0]["ciphertext"]
			return in
		}))
		out, err := k.Rewrap(t.Context(), items)
		require.NoError(t, err)
		for _, o := range out {
			require.Nil(t, o.Key)
			require.Equal(t, secrets.Misused, stateOf(t, o.Err))
		}
	})
	p.Set(nil)
	require.True(t, opens(t, k, w))
}

// An audit sink that takes nothing stops Vault, and us in bounded time; when it
// takes again, all goes on.
//
// fault: F26
func TestAuditSinkBlocked(t *testing.T) {
	s := vaulttest.Start(t, nil)
	r := newRig(t, s, nil)
	r.cfg.Timeout = 500 * time.Millisecond
	c := r.open(t)
	k, store := c.Transit(), c.KV()
	w := wrapped(t, k)
	fifo := t.TempDir() + "/audit"
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	sink := newSink(t, fifo)
	s.Do(t, http.MethodPut, "sys/audit/fifo", map[string]any{"type": "file", "options": map[string]string{"file_path": fifo, "mode": "0000"}})
	require.True(t, opens(t, k, w))
	sink.stop()
	eventually(t, "the sink to be full", func() bool { return !opens(t, k, w) })
	_, err := k.Unwrap(t.Context(), w, aAAD)
	require.Equal(t, secrets.Unreachable, stateOf(t, err))
	err = store.AddKey(t.Context(), "acme", secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w})
	require.Equal(t, secrets.Unreachable, stateOf(t, err))
	sink.start()
	eventually(t, "its return", func() bool { return opens(t, k, w) })
}
