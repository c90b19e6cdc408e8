package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault/vaulttest"
)

func TestDoctor(t *testing.T) {
	v := vaulttest.Start(t, nil)
	r := newVaultRig(t, v)
	data := newData(t)
	look := func(more ...string) (int, string) {
		t.Helper()
		code, out, words := runOnce(t, append(append([]string{"doctor", "-data", data}, r.flags()...), more...)...)
		assert.Empty(t, words)
		assert.NotContains(t, out, content(t, r.credentialFile))
		assert.NoDirExists(t, data, "it makes nothing")
		return code, out
	}
	code, out := look()
	assert.Equal(t, exitDone, code)
	assert.Contains(t, out, "OK: Vault is there")
	policy, err := hashivault.Policy(r.config)
	require.NoError(t, err)
	assert.Contains(t, out, policy)

	code, out = look("-o", "json")
	assert.Equal(t, exitDone, code)
	var report struct {
		Version  int
		Fit      bool
		Findings []struct {
			Code, What, Fix string
			Broken          bool
		}
		Policy string
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	assert.True(t, report.Fit)
	assert.Equal(t, policy, report.Policy)

	code, out = look("-vault-address", "https://127.0.0.1:1")
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, "BROKEN unreachable: ")
	assert.Contains(t, out, "Fix: ")
	code, out = look("-vault-kv", "nowhere")
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, "BROKEN ")
	v.Do(t, http.MethodPost, r.transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": true})
	_, out = look()
	assert.Contains(t, out, "key-deletable: ")
	v.Do(t, http.MethodPost, r.transit+"/keys/lockkeeper/config", map[string]any{"deletion_allowed": false})
	v.Seal(t)
	code, out = look()
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, "BROKEN sealed: ")
	v.Unseal(t)
}

func TestDoctorKnowsTheDataDirectory(t *testing.T) {
	r := newVaultRig(t, vaulttest.Start(t, nil))
	data := newData(t)
	code, _, words := runOnce(t, append(append(small(t), "-data", data, "-once"), r.flags()...)...)
	require.Equal(t, exitDone, code, words)
	look := func(more ...string) (int, string) {
		t.Helper()
		code, out, words := runOnce(t, append(append([]string{"doctor", "-data", data}, r.flags()...), more...)...)
		assert.Empty(t, words)
		return code, out
	}
	require.NoError(t, os.WriteFile(data+keySuffix, nil, 0o600))
	code, out := look()
	assert.Equal(t, exitDone, code, "it works")
	assert.Contains(t, out, "WARNING keyring-left: ")
	require.NoError(t, os.Remove(data+keySuffix))
	code, out = look("-vault-path", "elsewhere")
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, `BROKEN another-place: `)
	assert.Contains(t, out, `at "lockkeeper"`)

	k, err := readKeeper(filepath.Join(data, keeperName))
	require.NoError(t, err)
	k.Identity.Cluster = "another"
	require.NoError(t, k.write(filepath.Join(data, keeperName)))
	code, out = look()
	assert.Equal(t, exitFound, code)
	assert.Contains(t, out, "BROKEN wrong-vault: ")
}

func TestDoctorIsAskedWrongly(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "-vault-address is missing"},
		{[]string{"-o", "yaml"}, "want text or json"},
		{[]string{"now"}, `unexpected argument "now"`},
		{[]string{"-once"}, "unknown flag -once"},
	} {
		code, out, words := runOnce(t, append([]string{"doctor"}, c.args...)...)
		assert.Equal(t, exitWrongUse, code, c.args)
		assert.Contains(t, words, c.says)
		assert.Empty(t, out)
	}
	for _, command := range []string{"doctor", "migrate"} {
		code, out, words := runOnce(t, command, "-h")
		assert.Equal(t, exitDone, code)
		assert.Contains(t, out, "-vault-address")
		assert.Contains(t, out, "LOCKKEEPER_VAULT_ADDRESS")
		assert.Empty(t, words)
	}
}
