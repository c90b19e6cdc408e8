package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

// vaultRig is a Vault with mounts and a key of its own, and an AppRole that may
// do what hashivault.Policy prints and nothing else.
type vaultRig struct {
	*vaulttest.Server
	t                        *testing.T
	dir                      string
	transit, kv, approle     string
	roleFile, credentialFile string
	caFile                   string
	config                   hashivault.Config
}

func newVaultRig(t *testing.T, s *vaulttest.Server) *vaultRig {
	t.Helper()
	r := &vaultRig{Server: s, t: t, dir: t.TempDir(), transit: s.Mount(t, "transit"), kv: s.Mount(t, "kv"), approle: s.Auth(t, "approle")}
	r.config = hashivault.Config{Address: s.URL(), CA: s.CA(), Transit: r.transit, KV: r.kv, Auth: hashivault.Token(nil)}
	hcl, err := hashivault.Policy(r.config)
	require.NoError(t, err)
	s.Do(t, http.MethodPost, r.transit+"/keys/lockkeeper", map[string]any{"derived": true, "type": "aes256-gcm96"})
	role := "auth/" + r.approle + "/role/app"
	s.Do(t, http.MethodPost, role, map[string]any{"token_policies": []string{s.Policy(t, hcl)}, "token_no_default_policy": true, "token_ttl": "1h"})
	id := s.Do(t, http.MethodGet, role+"/role-id", nil)["role_id"].(string)
	secret := s.Do(t, http.MethodPost, role+"/secret-id", nil)["secret_id"].(string)
	r.roleFile, r.credentialFile, r.caFile = filepath.Join(r.dir, "role-id"), filepath.Join(r.dir, "secret-id"), filepath.Join(r.dir, "ca.pem")
	for path, content := range map[string]string{r.roleFile: id + "\n", r.credentialFile: secret + "\n", r.caFile: string(s.CA())} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return r
}

// flags are those that make the program use this Vault.
func (r *vaultRig) flags() []string {
	return []string{"-vault-address", r.URL(), "-vault-auth-mount", r.approle, "-vault-role-id-file", r.roleFile, "-vault-credential-file", r.credentialFile,
		"-vault-ca-file", r.caFile, "-vault-transit", r.transit, "-vault-kv", r.kv}
}

func TestWrongVaultFlagsAreNamedAndChangeNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "id", "an-id")
	write(t, dir, "ca.pem", "not a certificate")
	write(t, dir, "empty", "\n")
	write(t, dir, "open", "hvs.Canary")
	require.NoError(t, os.Chmod(filepath.Join(dir, "open"), 0o644))
	id := filepath.Join(dir, "id")
	to := func(more ...string) []string {
		return append([]string{"-vault-address", "https://vault.example:8200"}, more...)
	}
	approle := func(more ...string) []string {
		return to(append([]string{"-vault-role-id-file", id, "-vault-credential-file", id}, more...)...)
	}
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"-vault-ca-file", id}, []string{"-vault-ca-file: there is no Vault", "-vault-address"}},
		{[]string{"-vault-address", "vault.example"}, []string{"-vault-address: want https://host:port"}},
		{[]string{"-vault-address", "http://vault.example:8200"}, []string{"-vault-address: want https"}},
		{to(), []string{"-vault-role-id-file is missing", "vault read -field=role_id"}},
		{to("-vault-role-id-file", id), []string{"-vault-credential-file is missing", "vault write -field=secret_id"}},
		{to("-vault-auth", "ldap"), []string{"-vault-auth ldap: want approle, approle-wrapped, kubernetes, jwt or token"}},
		{to("-vault-auth", "jwt"), []string{"-vault-role is missing"}},
		{to("-vault-auth", "jwt", "-vault-role", "app"), []string{"-vault-credential-file is missing"}},
		{to("-vault-auth", "kubernetes"), []string{"-vault-role is missing"}},
		{to("-vault-auth", "token"), []string{"-vault-credential-file is missing"}},
		{approle("-vault-auth", "approle-wrapped"), []string{"-vault-role is missing"}},
		{to("-vault-auth", "token", "-vault-credential-file", "hvs.Canary"), []string{"-vault-credential-file: no such file", "Give the path of a file"}},
		{to("-vault-auth", "token", "-vault-credential-file", filepath.Join(dir, "open")), []string{"-vault-credential-file: others can read the file. chmod 600"}},
		{to("-vault-auth", "token", "-vault-credential-file", filepath.Join(dir, "empty")), []string{"-vault-credential-file: empty or too large"}},
		{to("-vault-ca-file", filepath.Join(dir, "none")), []string{"-vault-ca-file", "cannot be read"}},
		{to("-vault-ca-file", filepath.Join(dir, "ca.pem")), []string{"-vault-ca-file", "there is no certificate in it"}},
		{approle("-vault-transit", "../sys"), []string{"-vault-transit: want letters"}},
		{approle("-vault-key", "a/b"), []string{"-vault-key: want letters"}},
		{approle("-vault-kv", "?"), []string{"-vault-kv: want letters"}},
		{approle("-vault-path", ".."), []string{"-vault-path: want letters"}},
		{approle("-vault-namespace", "a b"), []string{"-vault-namespace: want names"}},
		{[]string{"-vault-token=hvs.Canary"}, []string{"unknown flag -vault-token", "-vault-credential-file"}},
	} {
		data := newData(t)
		code, out, words := runOnce(t, append([]string{"-data", data, "-once"}, c.args...)...)
		assert.Equal(t, exitWrongUse, code, c.args)
		for _, s := range c.says {
			assert.Contains(t, words, s, c.args)
		}
		assert.NotContains(t, words, "Canary", "what may be a credential is not repeated")
		assert.Equal(t, 1, strings.Count(words, "\n"), words)
		assert.Empty(t, out, c.args)
		assert.NoDirExists(t, data, c.args)
		assert.NoFileExists(t, data+keySuffix, c.args)
	}
}

func TestVaultFromTheEnvironment(t *testing.T) {
	env := map[string]string{"LOCKKEEPER_VAULT_ADDRESS": "https://vault.example:8200", "LOCKKEEPER_VAULT_ROLE_ID_FILE": "/nowhere/role-id"}
	var out, words output
	code := run(t.Context(), []string{"-data", newData(t), "-once"}, &out, &words, func(name string) string { return env[name] })
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words.String(), "LOCKKEEPER_VAULT_ROLE_ID_FILE: no such file", "an error names what was given, and this was not the flag")
	code = run(t.Context(), []string{"-data", newData(t), "-once", "-vault-role-id-file", "/nowhere/else"}, &out, &words, func(name string) string { return env[name] })
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words.String(), "-vault-role-id-file: no such file", "a flag goes before the environment")
}

// fault: F24
func TestVaultThatDoesNotDoItsPartAtTheStart(t *testing.T) {
	s := vaulttest.Start(t, nil)
	r := newVaultRig(t, s)
	data := newData(t)
	fails := func(data, code string, args ...string) string {
		t.Helper()
		exit, out, words := runOnce(t, append([]string{"-data", data, "-once"}, args...)...)
		assert.Equal(t, exitUnavailable, exit, words)
		assert.Contains(t, words, code+": Vault at "+"https://")
		assert.Equal(t, 1, strings.Count(words, "\n"), words)
		assert.Empty(t, out)
		return words
	}
	with := func(name, value string) []string {
		return append(r.flags(), name, value)
	}
	fails(data, "LK-VAULT-UNREACHABLE", with("-vault-address", "https://127.0.0.1:1")...)
	fails(data, "LK-VAULT-DENIED", with("-vault-key", "another")...) // its policy does not know it
	secretID := content(t, r.credentialFile)
	write(t, r.dir, "secret-id", "not-one")
	assert.Contains(t, fails(data, "LK-VAULT-DENIED", r.flags()...), "credential")
	write(t, r.dir, "secret-id", secretID)
	s.Seal(t)
	assert.Contains(t, fails(data, "LK-VAULT-SEALED", r.flags()...), "vault operator unseal")
	s.Unseal(t)
	assert.NoDirExists(t, data, "what could not start has made nothing")

	code, _, words := runOnce(t, append([]string{"-data", data, "-once"}, append(r.flags(), small(t)...)...)...)
	require.Equal(t, exitDone, code, words)
	assert.NoFileExists(t, data+keySuffix, "with Vault there is no keyring")
	before := content(t, filepath.Join(data, mainDB))

	code, _, words = runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, "are in Vault, at "+s.URL()+". Give -vault-address")
	code, _, words = runOnce(t, append([]string{"-data", data, "-once"}, with("-vault-path", "elsewhere")...)...)
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, `-vault-path "elsewhere": the keys of this data directory are at "lockkeeper"`)

	s.Do(t, http.MethodPost, r.transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": true})
	s.Do(t, http.MethodDelete, r.transit+"/keys/lockkeeper", nil)
	s.Do(t, http.MethodPost, r.transit+"/keys/lockkeeper", map[string]any{"derived": true})
	assert.Contains(t, fails(data, codeWrong, r.flags()...), "restore its newest backup")
	assert.Equal(t, before, content(t, filepath.Join(data, mainDB)))
}

func TestAKeyringIsNotLeftForVaultUnseen(t *testing.T) {
	data := newData(t)
	code, _, words := runOnce(t, append(small(t), "-data", data, "-once")...)
	require.Equal(t, exitDone, code, words)
	dir := t.TempDir()
	write(t, dir, "id", "an-id")
	id := filepath.Join(dir, "id")
	code, _, words = runOnce(t, "-data", data, "-once", "-vault-address", "https://127.0.0.1:1", "-vault-role-id-file", id, "-vault-credential-file", id)
	assert.Equal(t, exitWrongUse, code)
	assert.Contains(t, words, "are in the keyring "+data+keySuffix+". Move them first")
}

// healthOf reads what a machine is told.
func healthOf(t *testing.T, b *browser) (status int, h struct {
	Status string
	Keeper struct{ Kind, State, Code, Detail string }
}) {
	t.Helper()
	status, text := b.get("/healthz")
	require.NoError(t, json.Unmarshal([]byte(text), &h), text)
	return status, h
}

// While Vault is away the page and the health say so and no round begins; when it
// is back all goes on by itself.
// fault: F20
func TestVaultGoesAndComesBack(t *testing.T) {
	v := vaulttest.Start(t, nil)
	r := newVaultRig(t, v)
	s := serving(t, append(r.flags(), small(t)...)...)
	b := s.as("user")
	status, h := healthOf(t, b)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "ok vault ready", fmt.Sprint(h.Status, " ", h.Keeper.Kind, " ", h.Keeper.State))
	crm, mail := linked(t, b)

	v.Seal(t)
	s.eventually("the health to say that Vault is sealed", func() bool { status, h = healthOf(t, b); return status == http.StatusServiceUnavailable })
	assert.Equal(t, "paused", h.Status)
	assert.Equal(t, "sealed", h.Keeper.State)
	assert.Equal(t, "LK-VAULT-SEALED", h.Keeper.Code)
	s.eventually("all mailboxes to pause", func() bool {
		_, text := s.as("tenant-admin").get("/")
		return strings.Count(text, `data-state="paused"`) == users()
	})
	_, text := b.get("/")
	assert.Contains(t, text, "There are no keys, so sync is paused.")
	assert.Contains(t, text, "LK-VAULT-SEALED")
	assert.Contains(t, s.out.String(), "LK-VAULT-SEALED: there are no keys, Vault is sealed")
	assert.NotContains(t, s.words.String(), "round failed", "a pause is no failure")

	v.Unseal(t)
	s.eventually("the health to be well again", func() bool { status, _ = healthOf(t, b); return status == http.StatusOK })
	_, text = b.get(crm)
	f := form(text)
	f.Set("job_title", "Lock-keeper after the seal")
	status, text = b.post(crm, f)
	require.Equal(t, http.StatusOK, status, text)
	s.eventually("an edit to cross", func() bool {
		_, text := b.get(mail)
		return form(text).Get("job_title") == "Lock-keeper after the seal"
	})
	_, text = b.get("/")
	assert.NotContains(t, text, "There are no keys")
	assert.Zero(t, s.stop())
}
