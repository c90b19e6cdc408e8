package hashivault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

func codes(r hashivault.Report) (out []string) {
	for _, f := range r.Findings {
		out = append(out, f.Code)
	}
	return slices.Compact(out)
}

// Whatever is wrong with a Vault, Doctor names it and says what to do, in one
// line, without anything that is to be kept.
//
// fault: F20
func TestDoctor(t *testing.T) {
	s := server(t)
	// with makes a sound set-up and breaks it.
	type change func(t *testing.T, r *rig)
	for name, c := range map[string]struct {
		broken bool
		codes  []string
		says   string // in what is found or how to mend it
		spoil  change
	}{
		"sound":           {spoil: func(*testing.T, *rig) {}},
		"no address":      {true, []string{"config"}, "Address", func(_ *testing.T, r *rig) { r.cfg.Address = "" }},
		"nothing listens": {true, []string{"unreachable"}, "start Vault", func(_ *testing.T, r *rig) { r.cfg.Address = "https://127.0.0.1:1" }},
		"no such host":    {true, []string{"unreachable"}, "resolver", func(_ *testing.T, r *rig) { r.cfg.Address = "https://vault.invalid:8200" }},
		"it hangs": {true, []string{"unreachable"}, "firewall", func(t *testing.T, r *rig) {
			p := r.through(t)
			p.Set(p.Hang)
			r.cfg.Timeout = 200 * time.Millisecond
		}},
		"the connection is reset": {true, []string{"unreachable"}, "in between", func(t *testing.T, r *rig) {
			p := r.through(t)
			p.Set(p.Reset)
		}},
		"an authority that nobody knows": {true, []string{"tls"}, "as CA", func(_ *testing.T, r *rig) { r.cfg.CA = nil }},
		"a certificate for another name": {true, []string{"tls"}, "by a name", func(t *testing.T, r *rig) { r.cfg.Address = "https://" + forward(t, r.cfg.Address) }},
		"http where https is":            {true, []string{"not-vault"}, "scheme", func(_ *testing.T, r *rig) { r.cfg.Address = strings.Replace(r.cfg.Address, "https", "http", 1) }},
		"https where http is":            {true, []string{"tls"}, "speaks TLS", func(t *testing.T, r *rig) { r.cfg.Address = plainServer(t) }},
		"something else": {true, []string{"not-vault"}, "port", func(t *testing.T, r *rig) {
			r.through(t).Set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { fmt.Fprint(w, "<html>welcome") })
		}},
		"it fails inside": {true, []string{"unready"}, "storage", func(t *testing.T, r *rig) {
			r.through(t).Set(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"errors":["CANARY"]}`)
			})
		}},
		"a standby":                       {false, []string{"standby"}, "active", func(t *testing.T, r *rig) { r.through(t).Set(asStandby) }},
		"a namespace where there is none": {true, []string{"namespace"}, "team", func(_ *testing.T, r *rig) { r.cfg.Namespace = "team" }},
		"AppRole is not enabled": {true, []string{"auth-method"}, "vault auth enable -path=nope approle", func(_ *testing.T, r *rig) {
			r.cfg.Auth = hashivault.AppRole("nope", r.roleID, hashivault.Bytes([]byte("CANARY")))
		}},
		"AppRole at another method's mount": {true, []string{"auth-config"}, "another method", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.AppRole(r.Server.Auth(t, "jwt"), r.roleID, hashivault.Bytes([]byte("CANARY")))
		}},
		"JWT at another method's mount": {true, []string{"auth-config"}, "another method", func(_ *testing.T, r *rig) {
			r.cfg.Auth = hashivault.JWT(r.approle, "app", hashivault.Bytes([]byte("CANARY")))
		}},
		"JWT that is not set up": {true, []string{"auth-config"}, "config", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.JWT(r.Server.Auth(t, "jwt"), "app", hashivault.Bytes([]byte("CANARY")))
		}},
		"Kubernetes without the role": {true, []string{"role"}, "vault list", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.Kubernetes(r.Server.Auth(t, "kubernetes"), "app", hashivault.Bytes([]byte("CANARY")))
		}},
		"Kubernetes is not enabled": {true, []string{"auth-method"}, "vault auth enable", func(_ *testing.T, r *rig) {
			r.cfg.Auth = hashivault.Kubernetes("nope", "app", hashivault.Bytes([]byte("CANARY")))
		}},
		"a role id that is none": {true, []string{"credential"}, "role-id", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.AppRole(r.approle, "CANARY", hashivault.Bytes([]byte(r.secretID(t))))
		}},
		"a secret id that is none": {true, []string{"credential"}, "secret-id", func(_ *testing.T, r *rig) {
			r.cfg.Auth = hashivault.AppRole(r.approle, r.roleID, hashivault.Bytes([]byte("CANARY")))
		}},
		"a file that is missing": {true, []string{"credential"}, "readable", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.AppRole(r.approle, r.roleID, hashivault.File(filepath.Join(t.TempDir(), "none")))
		}},
		"a token that is none":      {true, []string{"credential"}, "not valid", func(_ *testing.T, r *rig) { r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte("hvs.CANARY"))) }},
		"a root token":              {false, []string{"root-token"}, "revoke this token", func(_ *testing.T, r *rig) { r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Root()))) }},
		"a token that ends":         {false, []string{"token"}, "cannot be renewed", withToken(map[string]any{"ttl": "1h", "renewable": false})},
		"a token of a greatest age": {false, []string{"token"}, "greatest age", withToken(map[string]any{"ttl": "1h"})},
		"a token of few uses":       {true, []string{"token"}, "more uses", withToken(map[string]any{"period": "1h", "num_uses": 100})},
		"a token as it should be":   {spoil: withToken(map[string]any{"period": "1h"})},
		"tokens of few seconds":     {false, []string{"token"}, "token_ttl", func(t *testing.T, r *rig) { r.role(t, map[string]any{"token_ttl": "20s"}) }},
		"roles of few uses":         {true, []string{"token"}, "token_num_uses", func(t *testing.T, r *rig) { r.role(t, map[string]any{"token_num_uses": 200}) }},
		"no Transit engine": {true, []string{"transit-mount"}, "vault secrets enable -path=nope transit", func(t *testing.T, r *rig) {
			r.cfg.Transit = "nope"
			r.repolicy(t)
		}},
		"Transit is KV": {true, []string{"transit-mount"}, "correct the mount", func(t *testing.T, r *rig) {
			r.cfg.Transit = r.Mount(t, "kv")
			r.repolicy(t)
		}},
		"no key": {true, []string{"key-missing"}, "derived=true", func(t *testing.T, r *rig) {
			r.cfg.Key = "nope"
			r.repolicy(t)
		}},
		"a key of another kind":     {true, []string{"key-type", "key-not-derived"}, "aes256-gcm96", withKey(map[string]any{"type": "rsa-2048"})},
		"a key that is not derived": {true, []string{"key-not-derived"}, "derived=true", withKey(map[string]any{"type": "aes256-gcm96"})},
		"a convergent key":          {true, []string{"key-type"}, "convergently", withKey(map[string]any{"type": "aes256-gcm96", "derived": true, "convergent_encryption": true})},
		"an exportable key":         {true, []string{"key-exportable"}, "such a key is refused", withKey(map[string]any{"type": "aes256-gcm96", "derived": true, "exportable": true})},
		"a key that backups hold":   {true, []string{"key-exportable"}, "such a key is refused", withKey(map[string]any{"type": "aes256-gcm96", "derived": true, "allow_plaintext_backup": true})},
		"a deletable key": {false, []string{"key-deletable"}, "deletion_allowed=false", func(t *testing.T, r *rig) {
			r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": true})
		}},
		"no KV engine": {true, []string{"kv-mount"}, "vault secrets enable -path=nope -version=2 kv", func(t *testing.T, r *rig) {
			r.cfg.KV = "nope"
			r.repolicy(t)
		}},
		"KV of version 1": {true, []string{"kv-mount"}, "enable-versioning", func(t *testing.T, r *rig) {
			r.cfg.KV = r.Mount(t, "kv-v1")
			r.repolicy(t)
		}},
		"KV is Transit": {true, []string{"kv-mount"}, "is not KV", func(t *testing.T, r *rig) {
			r.cfg.KV = r.Mount(t, "transit")
			r.repolicy(t)
		}},
		"KV that deletes": {true, []string{"kv-deletes"}, "delete_version_after=0s", func(t *testing.T, r *rig) {
			r.Do(t, http.MethodPost, r.cfg.KV+"/config", map[string]any{"delete_version_after": "1h"})
			require.NoError(t, r.open(t).KV().AddKey(t.Context(), "acme", someKey()))
		}},
		"a document that deletes itself": {true, []string{"kv-deletes"}, "delete-version-after", func(t *testing.T, r *rig) {
			require.NoError(t, r.open(t).KV().AddKey(t.Context(), "acme", someKey()))
			r.Do(t, http.MethodPost, r.cfg.KV+"/metadata/lockkeeper/keys-0001", map[string]any{"delete_version_after": "1h"})
		}},
		"a deleted document": {true, []string{"kv-damaged"}, "undelete", func(t *testing.T, r *rig) {
			require.NoError(t, r.open(t).KV().AddKey(t.Context(), "acme", someKey()))
			r.Do(t, http.MethodDelete, r.cfg.KV+"/data/lockkeeper/keys-0001", nil)
		}},
		"an empty policy": {true, []string{"policy-narrow"}, "sys/capabilities-self", withPolicy("# nothing", false)},
		"only the default policy": {true, []string{"policy-narrow"}, "destroy", func(t *testing.T, r *rig) {
			r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Token(t, "default", map[string]any{"period": "1h"}))))
		}},
		"the policy for everything": {false, []string{"policy-wide"}, "audit", withPolicy(`path "*" { capabilities = ["create", "read", "update", "list", "delete", "sudo"] }`, false)},
		"another Vault":             {true, []string{"wrong-vault"}, "Identity", func(_ *testing.T, r *rig) { r.cfg.Expect = hashivault.Identity{Cluster: "another", Version: 1} }},
		"a key that is gone": {true, []string{"wrong-vault"}, "newest backup", func(t *testing.T, r *rig) {
			id, err := r.open(t).Identity(t.Context())
			require.NoError(t, err)
			r.cfg.Expect = id
			r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": true})
			r.Do(t, http.MethodDelete, r.cfg.Transit+"/keys/lockkeeper", nil)
		}},
		"an older copy": {true, []string{"wrong-vault"}, "newest backup", func(t *testing.T, r *rig) {
			id, err := r.open(t).Identity(t.Context())
			require.NoError(t, err)
			r.cfg.Expect = id
			r.cfg.Expect.Writes = 1000
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, s, nil)
			c.spoil(t, r)
			sound(t, r, c.broken, c.codes, c.says)
		})
	}
	t.Run("each rule of the policy is missed", func(t *testing.T) {
		r := newRig(t, s, nil)
		whole := strings.SplitAfter(strings.TrimSpace(hclOf(t, r)), "}\n")
		require.Greater(t, len(whole), 8)
		for i := range whole {
			r.policy = s.Policy(t, strings.Join(slices.Delete(slices.Clone(whole), i, i+1), ""))
			r.role(t, nil)
			rep := hashivault.Doctor(t.Context(), r.cfg)
			require.False(t, rep.Fit())
			require.Equal(t, []string{"policy-narrow"}, codes(rep), "without %s: %s", whole[i], rep)
			require.Len(t, rep.Findings, 1, "%s", rep)
		}
	})
	t.Run("each rule too much is seen", func(t *testing.T) {
		for path, caps := range map[string]string{
			"%T/encrypt/lockkeeper": "create", "%T/export/*": "read", "%T/backup/*": "read", "%T/restore/*": "update", "%T/decrypt/*": "update",
			"%T/keys/lockkeeper": "delete", "%T/keys/lockkeeper/rotate": "update", "%T/keys/lockkeeper/config": "update", "%T/keys/lockkeeper/trim": "update",
			"%K/data/lockkeeper/keys-*": "delete", "%K/metadata/lockkeeper/keys-*": "delete", "%K/data/*": "read", "sys/policies/acl/*": "update", "sys/mounts/*": "update",
			"sys/auth/*": "sudo", "auth/token/create": "update", "sys/seal": "sudo", "sys/audit/*": "sudo",
		} {
			r := newRig(t, s, nil)
			withPolicy(fmt.Sprintf("path %q { capabilities = [%q] }", strings.NewReplacer("%T", r.cfg.Transit, "%K", r.cfg.KV).Replace(path), caps), true)(t, r)
			rep := hashivault.Doctor(t.Context(), r.cfg)
			require.True(t, slices.Contains(codes(rep), "policy-wide"), "%s: %s", path, rep)
		}
	})
	t.Run("rotating is a duty", func(t *testing.T) {
		r := newRig(t, s, nil, hashivault.Rotating)
		require.Empty(t, hashivault.Doctor(t.Context(), r.cfg, hashivault.Rotating).Findings)
		require.Equal(t, []string{"policy-wide"}, codes(hashivault.Doctor(t.Context(), r.cfg)))
		r = newRig(t, s, nil)
		require.Equal(t, []string{"policy-narrow"}, codes(hashivault.Doctor(t.Context(), r.cfg, hashivault.Rotating)))
		require.Equal(t, []string{"config"}, codes(hashivault.Doctor(t.Context(), r.cfg, "juggling")))
	})
	t.Run("storing is a duty", func(t *testing.T) {
		r := newRig(t, s, nil, hashivault.Storing)
		store := r.open(t).Store()
		require.NoError(t, store.SaveTenant(t.Context(), aTenant(1), 0))
		require.NoError(t, store.Save(t.Context(), aHead(1), aVersion(1, "one"), 1))
		require.Empty(t, hashivault.Doctor(t.Context(), r.cfg, hashivault.Storing).Findings)
		r.Do(t, http.MethodPost, r.cfg.KV+"/metadata/lockkeeper-secrets/tenants/acme", map[string]any{"delete_version_after": "1h"})
		rep := hashivault.Doctor(t.Context(), r.cfg, hashivault.Storing)
		require.Equal(t, []string{"kv-deletes"}, codes(rep))
		require.Contains(t, rep.String(), "lockkeeper-secrets/tenants/acme")
		r.Do(t, http.MethodDelete, r.cfg.KV+"/data/lockkeeper-secrets/tenants/acme", nil)
		require.Equal(t, []string{"kv-damaged"}, codes(hashivault.Doctor(t.Context(), r.cfg, hashivault.Storing)))
		r = newRig(t, s, nil)
		require.Equal(t, []string{"policy-narrow"}, codes(hashivault.Doctor(t.Context(), r.cfg, hashivault.Storing)))
		r.cfg.Secrets = "lockkeeper/below"
		_, err := hashivault.New(r.cfg)
		require.ErrorIs(t, err, hashivault.ErrConfig)
	})
	t.Run("with a document for each tenant", func(t *testing.T) {
		r := newRig(t, s, func(c *hashivault.Config) { c.Apart = true })
		require.NoError(t, r.open(t).KV().AddKey(t.Context(), "acme", someKey()))
		rep := hashivault.Doctor(t.Context(), r.cfg)
		require.Empty(t, rep.Findings, "%s", rep)
	})
	t.Run("a wrapping token is left closed", func(t *testing.T) {
		r := newRig(t, s, nil)
		var opened bool
		r.cfg.Auth = hashivault.WrappedAppRole(r.approle, "app", r.roleID, func() ([]byte, error) { opened = true; return []byte("x"), nil })
		rep := hashivault.Doctor(t.Context(), r.cfg)
		require.True(t, rep.Fit())
		require.Equal(t, []string{"not-logged-in"}, codes(rep))
		require.False(t, opened)
	})
	t.Run("a client in use asks with its own login", func(t *testing.T) {
		r := newRig(t, s, nil)
		p := r.through(t)
		c := r.open(t)
		require.NoError(t, c.Check(t.Context()))
		require.Empty(t, c.Doctor(t.Context()).Findings)
		p.Set(p.Reset)
		for range 3 {
			require.Error(t, c.Check(t.Context()))
		}
		p.Set(nil)
		require.Empty(t, c.Doctor(t.Context()).Findings, "it does not believe what was so a moment ago")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.False(t, c.Doctor(ctx).Fit())
	})
}

// A sealed Vault, one that was never initialised, and one that is open again.
//
// fault: F20
func TestDoctorSealed(t *testing.T) {
	s := vaulttest.Start(t, nil)
	r := newRig(t, s, nil)
	s.Seal(t)
	sound(t, r, true, []string{"sealed"}, "vault operator unseal")
	s.Unseal(t)
	sound(t, r, false, nil, "")
	s.Restart(t) // in memory: nothing is left
	sound(t, r, true, []string{"uninitialised"}, "operator init")
}

// sound requires Doctor to find just this, and to leave nothing behind.
func sound(t *testing.T, r *rig, broken bool, want []string, says string) {
	t.Helper()
	began := time.Now()
	rep := hashivault.Doctor(t.Context(), r.cfg)
	t.Logf("%v\n%s", time.Since(began).Round(time.Millisecond), rep)
	require.Equal(t, want, codes(rep))
	require.Equal(t, broken, !rep.Fit())
	require.Contains(t, rep.String(), says)
	require.NotContains(t, rep.String(), "CANARY")
	require.Len(t, strings.Split(strings.TrimSpace(rep.String()), "\n"), max(1, len(rep.Findings)), "one line each")
	for _, f := range rep.Findings {
		require.NotEmpty(t, f.What)
		require.NotEmpty(t, f.Fix)
	}
	if len(want) == 0 || want[0] != "config" {
		require.Equal(t, hclOf(t, r), rep.Policy)
	}
}

func hclOf(t *testing.T, r *rig) string {
	t.Helper()
	hcl, err := hashivault.Policy(r.cfg)
	require.NoError(t, err)
	return hcl
}

// repolicy lets the role do what the Config needs now.
func (r *rig) repolicy(t *testing.T) {
	t.Helper()
	r.policy = r.Policy(t, hclOf(t, r))
	r.role(t, nil)
}

func withToken(extra map[string]any) func(*testing.T, *rig) {
	return func(t *testing.T, r *rig) {
		extra["no_default_policy"] = true
		r.cfg.Auth = hashivault.Token(hashivault.Bytes([]byte(r.Token(t, r.policy, extra))))
	}
}

func withKey(body map[string]any) func(*testing.T, *rig) {
	return func(t *testing.T, r *rig) {
		r.cfg.Key = "other"
		r.Do(t, http.MethodPost, r.cfg.Transit+"/keys/other", body)
		r.repolicy(t)
	}
}

// withPolicy gives the role a policy, in the place of its own or beside it.
func withPolicy(hcl string, beside bool) func(*testing.T, *rig) {
	return func(t *testing.T, r *rig) {
		p := []string{r.Policy(t, hcl)}
		if beside {
			p = append(p, r.policy)
		}
		r.role(t, map[string]any{"token_policies": p})
	}
}

// asStandby answers sys/health as a standby node does. The Vault of the tests
// has no storage that several nodes share.
func asStandby(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if !strings.HasSuffix(r.URL.Path, "/sys/health") {
		next.ServeHTTP(w, r)
		return
	}
	w.WriteHeader(http.StatusTooManyRequests)
	_ = json.NewEncoder(w).Encode(map[string]any{"initialized": true, "standby": true, "cluster_id": "c", "version": "1.21.0"})
}

// plainServer speaks HTTP without TLS.
func plainServer(t *testing.T) string {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	return "https://" + strings.TrimPrefix(srv.URL, "http://")
}

// forward lets the server be reached at an address that is not in its certificate.
func forward(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", strings.TrimPrefix(address, "https://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func someKey() secrets.WrappedKey {
	return secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: []byte("wrapped")}
}
