package secrets_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

// benchVault is a real Vault over TLS on loopback, with a Transit key, a KV
// mount and a token that may use both.
type benchVault struct {
	*vaulttest.Server
	transit, kv, token string
}

// startVault starts one that ends with the benchmark. Without one built, the
// benchmark is left out, and says so.
func startVault(b *testing.B) *benchVault {
	b.Helper()
	s, err := vaulttest.Open(b.Context(), nil)
	if errors.Is(err, vaulttest.ErrAbsent) {
		fmt.Println("LEFT OUT: " + b.Name() + ": " + err.Error())
		b.Skip("LEFT OUT: " + err.Error())
	}
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, s.Close()) })
	v := &benchVault{Server: s, transit: s.Mount(b, "transit"), kv: s.Mount(b, "kv")}
	s.Do(b, http.MethodPost, v.transit+"/keys/lockkeeper", map[string]any{"derived": true, "type": "aes256-gcm96"})
	hcl, err := hashivault.Policy(v.config(nil))
	require.NoError(b, err)
	v.token = s.Token(b, s.Policy(b, hcl), map[string]any{"period": "1h"})
	return v
}

func (v *benchVault) config(token []byte) hashivault.Config {
	return hashivault.Config{Address: v.URL(), CA: v.CA(), Transit: v.transit, KV: v.kv, Auth: hashivault.Token(hashivault.Bytes(token))}
}

func (v *benchVault) client(b testing.TB) *hashivault.Client {
	b.Helper()
	c, err := hashivault.New(v.config([]byte(v.token)))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.Close()) })
	return c
}

// call asks Transit, over a connection that is kept.
func (v *benchVault) call(ctx context.Context, verb, field, value, want string) (string, error) {
	status, answer, err := v.Call(ctx, v.token, http.MethodPut, v.transit+"/"+verb+"/lockkeeper", map[string]string{field: value, "context": base64.StdEncoding.EncodeToString([]byte(about))})
	if err != nil {
		return "", err
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("%d: %s", status, answer)
	}
	var out struct{ Data map[string]any }
	if err := json.Unmarshal(answer, &out); err != nil {
		return "", err
	}
	s, _ := out.Data[want].(string)
	return s, nil
}

// transit sends each value to Vault, which encrypts it under a derived key.
func transit(b *testing.B) (func([]byte) ([]byte, error), func([]byte) ([]byte, error)) {
	v := startVault(b)
	seal := func(p []byte) ([]byte, error) {
		s, err := v.call(b.Context(), "encrypt", "plaintext", base64.StdEncoding.EncodeToString(p), "ciphertext")
		return []byte(s), err
	}
	return seal, func(s []byte) ([]byte, error) {
		p, err := v.call(b.Context(), "decrypt", "ciphertext", string(s), "plaintext")
		if err != nil {
			return nil, err
		}
		return base64.StdEncoding.DecodeString(p)
	}
}

// skipTooLarge leaves a size out that Vault refuses: it takes no text over 1 MiB.
func skipTooLarge(b *testing.B, seal func([]byte) ([]byte, error), n int) {
	b.Helper()
	if _, err := seal(make([]byte, n)); err != nil && strings.Contains(err.Error(), "exceed") {
		fmt.Println("LEFT OUT: " + b.Name() + ": Vault takes no text longer than 1 MiB")
		b.Skip("LEFT OUT: Vault takes no text longer than 1 MiB")
	} else if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkUse is one use of a secret whose tenant's key is in memory, by a Safe
// that Vault guards, against one decrypt of Transit. The calls of Vault are
// counted.
func BenchmarkUse(b *testing.B) {
	v := startVault(b)
	w := newWorld(b)
	var calls int
	p := v.Proxy(b)
	cfg := v.config([]byte(v.token))
	cfg.Address = p.URL()
	c, err := hashivault.New(cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, c.Close()) })
	w.safe = w.open(b, c.Transit(), c.KV(), w.store)
	ref := newRef(b, "tenants/acme", "mark")
	w.put(b, ref, string(bytes.Repeat([]byte{'k'}, 32)), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}})
	h := w.handle(b, ref)
	b.Run("impl=lockkeeper-warm", func(b *testing.B) {
		b.ReportAllocs()
		_, err := h.HMAC(b.Context(), []byte("message"))
		require.NoError(b, err)
		calls = p.Calls()
		for b.Loop() {
			if _, err := h.HMAC(b.Context(), []byte("message")); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(p.Calls()-calls), "vault-calls")
	})
	b.Run("impl=transit-decrypt", func(b *testing.B) {
		sealed, err := v.call(b.Context(), "encrypt", "plaintext", base64.StdEncoding.EncodeToString(make([]byte, 32)), "ciphertext")
		require.NoError(b, err)
		for b.Loop() {
			if _, err := v.call(b.Context(), "decrypt", "ciphertext", sealed, "plaintext"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSealedVault is how long it takes to be told that Vault is sealed: by
// a client that has to ask, connection included, and by one that knows.
func BenchmarkSealedVault(b *testing.B) {
	v := startVault(b)
	item := []secrets.KeyItem{{Wrapped: make([]byte, 81)}}
	known := v.client(b)
	require.NoError(b, known.Check(b.Context()))
	v.Seal(b)
	b.Run("verdict=asked", func(b *testing.B) {
		for b.Loop() {
			c, err := hashivault.New(v.config([]byte(v.token)))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.Transit().UnwrapAll(b.Context(), item); !errors.Is(err, secrets.ErrKeeper) {
				b.Fatal(err)
			}
			_ = c.Close()
		}
	})
	b.Run("verdict=known", func(b *testing.B) {
		asked := 0
		for b.Loop() {
			_, err := known.Transit().UnwrapAll(b.Context(), item)
			var e *hashivault.Error
			if !errors.As(err, &e) || e.State != secrets.Sealed {
				b.Fatal(err)
			}
			if !e.Known {
				asked++
			}
		}
		b.ReportMetric(float64(asked), "asked-again")
	})
}
