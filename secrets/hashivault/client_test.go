package hashivault_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

func TestConfigThatCannotWork(t *testing.T) {
	good := hashivault.Config{Address: "https://vault.example:8200", Auth: hashivault.Token(hashivault.Bytes([]byte("x")))}
	for field, spoil := range map[string]func(*hashivault.Config){
		"Address":   func(c *hashivault.Config) { c.Address = "http://vault.example:8200" },
		"Address:":  func(c *hashivault.Config) { c.Address = "" },
		"Address: ": func(c *hashivault.Config) { c.Address = "https://user:pass@vault.example" },
		"Auth":      func(c *hashivault.Config) { c.Auth = hashivault.Auth{} },
		"CA":        func(c *hashivault.Config) { c.CA = []byte("junk") },
		"Namespace": func(c *hashivault.Config) { c.Namespace = "a b" },
		"Transit":   func(c *hashivault.Config) { c.Transit = "../sys" },
		"Key":       func(c *hashivault.Config) { c.Key = "a/b" },
		"KV":        func(c *hashivault.Config) { c.KV = "a//b" },
		"Path":      func(c *hashivault.Config) { c.Path = "a/*" },
		"Timeout":   func(c *hashivault.Config) { c.Timeout = time.Hour },
		"AtOnce":    func(c *hashivault.Config) { c.AtOnce = -1 },
	} {
		c := good
		spoil(&c)
		_, err := hashivault.New(c)
		require.ErrorIs(t, err, hashivault.ErrConfig)
		require.ErrorContains(t, err, strings.TrimSpace(field))
		require.NotContains(t, err.Error(), "pass")
	}
	c, err := hashivault.New(good)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = c.Transit().Unwrap(t.Context(), make([]byte, 81), nil)
	require.ErrorIs(t, err, secrets.ErrTampered)
	require.Error(t, c.Check(t.Context()), "closed")
}

// Nothing of the environment reaches the client, or the client does not start.
func TestEnvironmentIsNotRead(t *testing.T) {
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("went to %s", r.URL) }))
	defer trap.Close()
	r := newRig(t, server(t), nil)
	p := r.through(t)
	var mu sync.Mutex
	var seen []http.Header
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		mu.Lock()
		seen = append(seen, q.Header.Clone())
		mu.Unlock()
		next.ServeHTTP(w, q)
	})
	for k, v := range map[string]string{"VAULT_ADDR": trap.URL, "VAULT_AGENT_ADDR": trap.URL, "VAULT_TOKEN": "from-the-environment", "VAULT_NAMESPACE": "from-the-environment",
		"VAULT_HEADERS": `{"X-Extra":"from-the-environment"}`, "VAULT_SKIP_VERIFY": "true", "VAULT_PROXY_ADDR": trap.URL, "VAULT_HTTP_PROXY": trap.URL, "HTTPS_PROXY": trap.URL,
		"HTTP_PROXY": trap.URL, "VAULT_WRAP_TTL": "60", "VAULT_MAX_RETRIES": "9", "VAULT_CLIENT_TIMEOUT": "1h", "VAULT_TLS_SERVER_NAME": "other", "VAULT_RATE_LIMIT": "1:1"} {
		t.Setenv(k, v)
	}
	wrapped(t, r.open(t).Transit())
	for _, h := range seen {
		require.NotContains(t, fmt.Sprint(h), "from-the-environment")
		require.Empty(t, h.Get("X-Vault-Namespace"))
		require.Empty(t, h.Get("X-Vault-Wrap-TTL"))
	}
	// VAULT_SKIP_VERIFY did not help a server that nobody vouches for.
	bad := r.cfg
	bad.CA = nil
	c, err := hashivault.New(bad)
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, secrets.Unreachable, stateOf(t, c.Check(t.Context())))
	require.ErrorContains(t, c.Check(t.Context()), "unknown authority")
	t.Setenv("VAULT_CACERT", "/does/not/exist")
	_, err = hashivault.New(r.cfg)
	require.ErrorIs(t, err, hashivault.ErrConfig)
	require.ErrorContains(t, err, "VAULT_")
}

func TestNamespaceIsSent(t *testing.T) {
	r := newRig(t, server(t), nil)
	p := r.through(t)
	var mu sync.Mutex
	got := map[string]bool{}
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		mu.Lock()
		got[q.Header.Get("X-Vault-Namespace")] = true
		mu.Unlock()
		q.Header.Del("X-Vault-Namespace") // this Vault has none
		next.ServeHTTP(w, q)
	})
	r.cfg.Namespace = "teams/sync/"
	wrapped(t, r.open(t).Transit())
	require.Equal(t, map[string]bool{"teams/sync": true}, got, "with the login and every call")
}

func TestCloseRevokesItsTokenAndNoOther(t *testing.T) {
	r := newRig(t, server(t), nil)
	p := r.through(t)
	var mu sync.Mutex
	tokens := map[string]bool{}
	p.Set(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if tok := q.Header.Get("X-Vault-Token"); tok != "" {
			mu.Lock()
			tokens[tok] = true
			mu.Unlock()
		}
		next.ServeHTTP(w, q)
	})
	valid := func(token string) bool {
		status, _, err := r.Call(t.Context(), token, http.MethodGet, "auth/token/lookup-self", nil)
		require.NoError(t, err)
		return status == http.StatusOK
	}
	c := r.open(t)
	wrapped(t, c.Transit())
	require.Len(t, tokens, 1)
	for tok := range tokens {
		require.True(t, valid(tok))
	}
	require.NoError(t, c.Close())
	require.NoError(t, c.Close(), "twice is no error")
	for tok := range tokens {
		require.False(t, valid(tok))
	}
	lent := r.Token(t, r.policy, nil)
	r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(lent)))
	c = r.open(t)
	wrapped(t, c.Transit())
	require.NoError(t, c.Close())
	require.True(t, valid(lent))
}

func TestWrappedSecretID(t *testing.T) {
	r := newRig(t, server(t), nil)
	wrap := func(path string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL()+"/v1/"+path, nil)
		require.NoError(t, err)
		req.Header.Set("X-Vault-Token", r.Root())
		req.Header.Set("X-Vault-Wrap-TTL", "5m")
		c := client(t, r.Server)
		resp, err := c.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var out struct {
			Wrap struct{ Token string } `json:"wrap_info"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&out))
		return out.Wrap.Token
	}
	token := wrap("auth/" + r.approle + "/role/app/secret-id")
	auth := func(token string) {
		r.cfg.Auth = hashivault.WrappedAppRole(r.approle, "app", r.roleID, hashivault.Bytes([]byte(token)))
	}
	auth(token)
	k := r.open(t).Transit()
	w := wrapped(t, k)
	r.Do(t, http.MethodPut, "sys/leases/revoke-prefix/auth/"+r.approle, nil)
	require.True(t, opens(t, k, w), "and logs in again with what was inside")
	auth(token)
	_, err := r.open(t).Transit().Wrap(t.Context(), aKey, aAAD)
	require.Equal(t, secrets.Denied, stateOf(t, err))
	require.ErrorContains(t, err, "opened by someone else")
	auth(wrap("auth/token/create"))
	_, err = r.open(t).Transit().Wrap(t.Context(), aKey, aAAD)
	require.ErrorContains(t, err, "somebody exchanged it")
}

func client(t *testing.T, s *vaulttest.Server) *http.Client {
	tr := &http.Transport{TLSClientConfig: tlsOf(s)}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// jwtOf signs claims with RS256.
func jwtOf(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	b, err := json.Marshal(claims)
	require.NoError(t, err)
	in := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(in))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	require.NoError(t, err)
	return in + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestJWT(t *testing.T) {
	r := newRig(t, server(t), nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	require.NoError(t, err)
	mount := r.Server.Auth(t, "jwt")
	r.Do(t, http.MethodPost, "auth/"+mount+"/config", map[string]any{"jwt_validation_pubkeys": []string{string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}})
	r.Do(t, http.MethodPost, "auth/"+mount+"/role/app", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_audiences": []string{"vault"}, "token_policies": []string{r.policy}, "token_ttl": "1h"})
	file := filepath.Join(t.TempDir(), "token")
	write := func(aud string) {
		require.NoError(t, os.WriteFile(file, []byte(jwtOf(t, key, map[string]any{"sub": "app", "aud": aud, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})+"\n"), 0o600))
	}
	write("another")
	r.cfg.Auth = hashivault.JWT(mount, "app", hashivault.File(file))
	k := r.open(t).Transit()
	_, err = k.Wrap(t.Context(), aKey, aAAD)
	require.Equal(t, secrets.Denied, stateOf(t, err))
	write("vault")
	eventually(t, "the file to be read anew", func() bool { _, err := k.Wrap(t.Context(), aKey, aAAD); return err == nil })
}

// Vault's own Kubernetes method, before a cluster that knows one service account.
func TestKubernetes(t *testing.T) {
	r := newRig(t, server(t), nil)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	account := jwtOf(t, key, map[string]any{"iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:sync:worker", "kubernetes.io/serviceaccount/namespace": "sync",
		"kubernetes.io/serviceaccount/service-account.name": "worker", "kubernetes.io/serviceaccount/service-account.uid": "u1", "iat": time.Now().Add(-time.Minute).Unix(), "nbf": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Hour).Unix(), "aud": []string{"vault"}})
	cluster := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		good := strings.Contains(string(b), account)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
			"status": map[string]any{"authenticated": good, "audiences": []string{"vault"}, "user": map[string]any{"username": "system:serviceaccount:sync:worker", "uid": "u1", "groups": []string{"system:serviceaccounts"}}}})
	}))
	defer cluster.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cluster.Certificate().Raw})
	mount := r.Server.Auth(t, "kubernetes")
	r.Do(t, http.MethodPost, "auth/"+mount+"/config", map[string]any{"kubernetes_host": cluster.URL, "kubernetes_ca_cert": string(ca), "token_reviewer_jwt": account, "disable_local_ca_jwt": true, "disable_iss_validation": true})
	r.Do(t, http.MethodPost, "auth/"+mount+"/role/app", map[string]any{"bound_service_account_names": "worker", "bound_service_account_namespaces": "sync", "token_policies": []string{r.policy}, "token_ttl": "1h", "audience": "vault"})
	r.cfg.Auth = hashivault.Kubernetes(mount, "app", hashivault.Bytes([]byte(account)))
	wrapped(t, r.open(t).Transit())
	r.cfg.Auth = hashivault.Kubernetes(mount, "app", hashivault.Bytes([]byte(jwtOf(t, key, map[string]any{"sub": "other"}))))
	_, err = r.open(t).Transit().Wrap(t.Context(), aKey, aAAD)
	require.Equal(t, secrets.Denied, stateOf(t, err))
}

// evidence: P30
func TestNothingPrintsACredential(t *testing.T) {
	const canary = "canary-77aa01"
	r := newRig(t, server(t), nil)
	auth := hashivault.AppRole(r.approle, r.roleID, hashivault.Bytes([]byte(canary)))
	r.cfg.Auth = auth
	c := r.open(t)
	_, err := c.Transit().Wrap(t.Context(), aKey, aAAD)
	require.Equal(t, secrets.Denied, stateOf(t, err))
	_, tokenErr := func() ([]byte, error) {
		cfg := r.cfg
		cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(canary)))
		c, err := hashivault.New(cfg)
		require.NoError(t, err)
		defer c.Close()
		return c.Transit().Wrap(t.Context(), aKey, aAAD)
	}()
	require.Error(t, tokenErr)
	var out strings.Builder
	for _, v := range []any{auth, r.cfg, &r.cfg, c, c.Transit(), c.KV(), err, tokenErr, []any{auth, c, r.cfg}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	require.NotContains(t, out.String(), canary)
	require.NotContains(t, out.String(), r.roleID)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", canary))
}

// The printed policy is enough for everything, which the other tests run with,
// and for nothing more.
func TestPolicyIsTheLeast(t *testing.T) {
	r := newRig(t, server(t), nil)
	token := r.Token(t, r.policy, map[string]any{"no_default_policy": true})
	key := r.cfg.Transit + "/keys/lockkeeper"
	for _, c := range []struct{ method, path string }{
		{"PUT", key + "/rotate"}, {"PUT", key + "/config"}, {"PUT", key + "/trim"}, {"DELETE", key}, {"PUT", r.cfg.Transit + "/keys/another"}, {"LIST", r.cfg.Transit + "/keys"},
		{"GET", r.cfg.Transit + "/export/encryption-key/lockkeeper"}, {"GET", r.cfg.Transit + "/backup/lockkeeper"}, {"PUT", r.cfg.Transit + "/restore"},
		{"PUT", r.cfg.Transit + "/datakey/plaintext/lockkeeper"}, {"PUT", r.cfg.Transit + "/encrypt/another"}, {"PUT", r.cfg.Transit + "/decrypt/another"},
		{"GET", r.cfg.KV + "/data/lockkeeper/other"}, {"GET", r.cfg.KV + "/data/other"}, {"DELETE", r.cfg.KV + "/metadata/lockkeeper/keys-0001"}, {"DELETE", r.cfg.KV + "/data/lockkeeper/keys-0001"},
		{"PUT", r.cfg.KV + "/undelete/lockkeeper/keys-0001"}, {"PUT", r.cfg.KV + "/config"}, {"GET", "sys/mounts"}, {"GET", "sys/policies/acl"}, {"PUT", "sys/seal"}, {"PUT", "auth/token/create"}, {"GET", "auth/" + r.approle + "/role/app"},
	} {
		path, query := c.path, ""
		method := c.method
		if method == "LIST" {
			method, query = "GET", "?list=true"
		}
		status, _, err := r.Call(t.Context(), token, method, path+query, map[string]any{})
		require.NoError(t, err)
		require.Equal(t, http.StatusForbidden, status, "%s %s", c.method, c.path)
	}
	_, err := r.open(t).Transit().Rotate(t.Context())
	require.Equal(t, secrets.Denied, stateOf(t, err))
}
