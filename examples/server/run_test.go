package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrongUseIsNamedAndChangesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-bogus"}, "unknown flag -bogus"},
		{[]string{"--intervall=3s"}, "perhaps -interval"},
		{[]string{"-interval", "soon"}, "invalid value \"soon\" for flag -interval"},
		{[]string{"-interval", "1ms"}, "want 1s to 1h"},
		{[]string{"-interval", "2h"}, "want 1s to 1h"},
		{[]string{"-o", "yaml", "-once"}, "want text or json"},
		{[]string{"-o", "json"}, "goes with -once"},
		{[]string{"-listen", "0.0.0.0:8443"}, "nobody else may reach it"},
		{[]string{"-listen", ":8443"}, "nobody else may reach it"},
		{[]string{"-listen", "example.com:8443"}, "nobody else may reach it"},
		{[]string{"-listen", "[::]:8443"}, "nobody else may reach it"},
		{[]string{"-listen", "localhost"}, "want host:port"},
		{[]string{"-listen", "localhost:https"}, "want 0 to 65535"},
		{[]string{"-listen", "localhost:99999"}, "want 0 to 65535"},
		{[]string{"-demo=false"}, "no other mode"},
		{[]string{"-data", ""}, "want a directory"},
		{[]string{"-import", file}, "want a directory"},
		{[]string{"-import", filepath.Join(file, "x")}, "want a directory"},
		{[]string{"serve"}, "unexpected argument \"serve\""},
	} {
		data := newData(t)
		code, out, words := runOnce(t, append([]string{"-data", data}, c.args...)...)
		assert.Equal(t, exitWrongUse, code, c.args)
		assert.Contains(t, words, c.says, c.args)
		assert.Empty(t, out, c.args)
		assert.NoDirExists(t, data, c.args)
	}
}

func TestHelp(t *testing.T) {
	code, out, words := runOnce(t, "-h")
	assert.Equal(t, exitDone, code)
	assert.Empty(t, words)
	for _, f := range []string{"-data", "-listen", "-import", "-once", "-o", "-interval", "-demo", passphraseV} {
		assert.Contains(t, out, f)
	}
}

func TestOccupiedPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	data := newData(t)
	code, _, words := runOnce(t, "-data", data, "-listen", l.Addr().String())
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "-listen localhost:0")
	assert.NoDirExists(t, data)
}

func TestDataDirectoryThatCannotBeUsed(t *testing.T) {
	t.Run("a file", func(t *testing.T) {
		path := newData(t)
		require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
		code, _, words := runOnce(t, "-data", path, "-once")
		assert.Equal(t, exitUnavailable, code)
		assert.Contains(t, words, "cannot be made")
		assert.Equal(t, "mine", content(t, path))
	})
	t.Run("open to others", func(t *testing.T) {
		path := newData(t)
		require.NoError(t, os.Mkdir(path, 0o755))
		require.NoError(t, os.Chmod(path, 0o755))
		code, _, words := runOnce(t, "-data", path, "-once")
		assert.Equal(t, exitUnavailable, code)
		assert.Contains(t, words, "chmod 700")
		assert.Empty(t, list(t, path))
	})
	t.Run("in use", func(t *testing.T) {
		path := newData(t)
		d, err := openDataDir(t.Context(), path, nil, nil)
		require.NoError(t, err)
		before := list(t, path)
		code, _, words := runOnce(t, "-data", path, "-once")
		assert.Equal(t, exitUnavailable, code)
		assert.Regexp(t, `in use by process \d+, since 20`, words)
		assert.Equal(t, before, list(t, path))
		require.NoError(t, d.close())
	})
}

func content(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func list(t *testing.T, dir string) []string {
	es, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range es {
		out = append(out, e.Name())
	}
	return out
}

// evidence: P28
func TestWrongKeyDamagesNothing(t *testing.T) {
	data := newData(t)
	code, _, words := runOnce(t, "-data", data, "-once")
	require.Equal(t, exitDone, code, words)
	db := content(t, filepath.Join(data, mainDB))
	right := content(t, data+keySuffix)

	other := newData(t)
	d, err := openDataDir(t.Context(), other, nil, nil)
	require.NoError(t, err)
	require.NoError(t, d.close())
	require.NoError(t, os.WriteFile(data+keySuffix, []byte(content(t, other+keySuffix)), 0o600))
	code, _, words = runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "belongs to another data directory")
	assert.Equal(t, db, content(t, filepath.Join(data, mainDB)))

	require.NoError(t, os.Remove(data+keySuffix))
	code, _, words = runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, "is missing")
	assert.NoFileExists(t, data+keySuffix, "a new keyring in the place of a lost one would open nothing")

	require.NoError(t, os.WriteFile(data+keySuffix, []byte(right), 0o600))
	var out, errs output
	passphrase := func(name string) string {
		return map[string]string{passphraseV: "one that nobody set"}[name]
	}
	assert.Equal(t, exitUnavailable, run(t.Context(), []string{"-data", data, "-once"}, &out, &errs, passphrase))
	assert.Contains(t, errs.String(), passphraseV)

	code, _, words = runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitDone, code, words)
}

func TestMissingDatabaseKeyIsNotReplaced(t *testing.T) {
	data := newData(t)
	code, _, _ := runOnce(t, "-data", data, "-once")
	require.Equal(t, exitDone, code)
	require.NoError(t, os.Remove(filepath.Join(data, mainDB+keySuffix)))
	code, _, words := runOnce(t, "-data", data, "-once")
	assert.Equal(t, exitUnavailable, code)
	assert.Contains(t, words, mainDB+keySuffix+" is missing")
	assert.NoFileExists(t, filepath.Join(data, mainDB+keySuffix))
}
