package hashivault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
)

// stolen is what a thief has beside all files: where Vault is, or a token.
type stolen struct {
	child
	Apart bool
	Opens int // the tenant whose token this is; -1: none
	N     int
}

// A process that has every file but no Vault recovers no secret, and with Vault
// and the token of one tenant's worker those of that tenant and no other's.
//
// evidence: P29, T9
func TestAThiefRecoversNothing(t *testing.T) {
	if dir := os.Getenv("LOCKKEEPER_THIEF"); dir != "" {
		steal(t, dir)
		return
	}
	const n = 6
	r := newRig(t, server(t), func(c *hashivault.Config) { c.Apart = true })
	dir := t.TempDir()
	s := openSite(t, dir)
	c := r.open(t)
	owner := s.safe(t, c.Transit(), c.KV())
	canaries := leaktest.Canaries(7, n)
	g := s.grant(t, "user:idp/admin", "secrets.write", "tenants")
	for i := range n {
		value := fmt.Appendf(nil, "%s, padded to the length of a key", canaries[i])
		require.NoError(t, owner.Put(t.Context(), g, refOf(t, i), value, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}}))
	}
	require.Len(t, s.marks(t, owner, n), n, "with Vault they are of use")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.pem"), r.cfg.CA, 0o600))

	scan, err := leaktest.New(canaries)
	require.NoError(t, err)
	scan.CheckPath(t, dir)

	hcl, err := hashivault.TenantPolicy(r.cfg, "t2")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		address, token string
		opens          int
	}{
		"no Vault":               {"https://127.0.0.1:1", r.Token(t, r.policy, nil), -1},
		"no token":               {r.cfg.Address, "hvs.guessed", -1},
		"another tenant's token": {r.cfg.Address, r.Token(t, r.Policy(t, hcl), nil), 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(stolen{child{c.address, string(r.cfg.CA), r.cfg.Transit, r.cfg.KV}, true, c.opens, n})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "vault.json"), b, 0o600))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte(c.token), 0o600))
			exe, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestAThiefRecoversNothing$", "-test.v")
			cmd.Env = append(os.Environ(), "LOCKKEEPER_THIEF="+dir)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "tried all")
			scan.Check(t, "what the thief saw", out)
		})
	}
}

// steal is the other process. It has the permission to use every secret: what
// keeps it from doing so is Vault alone.
func steal(t *testing.T, dir string) {
	var with stolen
	b, err := os.ReadFile(filepath.Join(dir, "vault.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &with))
	c, err := hashivault.New(hashivault.Config{Address: with.Address, CA: []byte(with.CA), Transit: with.Transit, KV: with.KV, Apart: with.Apart,
		Auth: hashivault.Token(hashivault.File(filepath.Join(dir, "token")))})
	require.NoError(t, err)
	defer c.Close()
	s := openSite(t, dir)
	g := s.grant(t, "service:conn", "secrets.use", "tenants")
	for name, keys := range map[string]secrets.KeyStore{"Vault's keys": c.KV(), "the keyring's": s.keys} {
		safe := s.safe(t, c.Transit(), keys)
		for i := range with.N {
			h, err := safe.Handle(g, refOf(t, i))
			require.NoError(t, err)
			_, err = h.HMAC(t.Context(), []byte("message"))
			if i == with.Opens && keys == secrets.KeyStore(c.KV()) {
				require.NoError(t, err, "its own")
				continue
			}
			require.Error(t, err, "%s: %d", name, i)
			require.True(t, errors.Is(err, secrets.ErrKeeper) || errors.Is(err, secrets.ErrTampered), "%v", err)
		}
	}
	fmt.Println("tried all")
}
