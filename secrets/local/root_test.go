package local_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// A root that was rotated is in the file, sealed as the first was; another
// process finds it, and one that missed it altogether says so.
func TestRotatedFile(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		t.Run("passphrase="+passphrase, func(t *testing.T) {
			a, path := create(t, passphrase)
			b, err := local.Open(path, []byte(passphrase))
			require.NoError(t, err)
			late, err := local.Open(path, []byte(passphrase))
			require.NoError(t, err)
			secret, aad := bytes.Repeat([]byte{7}, 32), []byte("about")
			first, err := a.Wrap(t.Context(), secret, aad)
			require.NoError(t, err)
			require.NotContains(t, string(contents(t, path)), "keyring 2", "a keyring that was never rotated stays as it was")
			version, err := a.Rotate(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 2, version)
			second, err := a.Wrap(t.Context(), secret, aad)
			require.NoError(t, err)
			require.Len(t, second, len(first)+4)
			for _, w := range [][]byte{first, second} {
				for _, k := range []*local.Keyring{a, b} {
					got, err := k.Unwrap(t.Context(), w, aad)
					require.NoError(t, err)
					require.Equal(t, secret, got)
				}
			}
			third, err := b.Rotate(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 3, third)
			again, err := local.Open(path, []byte(passphrase))
			require.NoError(t, err)
			for _, k := range []*local.Keyring{a, b, again} {
				w, err := k.Wrap(t.Context(), secret, aad)
				require.NoError(t, err)
				require.Equal(t, []byte{0, 0, 0, 3}, w[:4], "the newest wraps, in each process")
			}

			// Nothing in the file shows an older root, nor with a passphrase the newest.
			var f struct {
				Root  []byte
				Older []struct{ Root []byte }
			}
			require.NoError(t, json.Unmarshal(contents(t, path), &f))
			require.Len(t, f.Older, 2)
			require.Len(t, f.Older[0].Root, 60)
			require.Equal(t, passphrase != "", len(f.Root) == 60)
			_, err = local.Open(path, []byte(passphrase+"x"))
			require.ErrorIs(t, err, local.ErrPassphrase)

			require.NoError(t, a.Retire(t.Context(), 3))
			_, err = b.Rewrap(t.Context(), []secrets.KeyItem{{Wrapped: second, AAD: aad}})
			require.NoError(t, err)
			_, err = b.Unwrap(t.Context(), second, aad)
			require.ErrorIs(t, err, secrets.ErrTampered)
			_, err = late.Keys(t.Context(), "acme")
			require.ErrorIs(t, err, local.ErrBusy, "it cannot tell this file from another keyring's")
			_, err = late.Wrap(t.Context(), secret, aad)
			require.ErrorIs(t, err, local.ErrBusy)
		})
	}
}

// A root is not given up while it wraps a tenant's key of this file.
func TestRetireInUse(t *testing.T) {
	k, path := create(t, "")
	w, err := k.Wrap(t.Context(), make([]byte, 32), []byte("a"))
	require.NoError(t, err)
	one := secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w}
	require.NoError(t, k.AddKey(t.Context(), "acme", one))
	_, err = k.Rotate(t.Context())
	require.NoError(t, err)
	before := contents(t, path)
	require.ErrorIs(t, k.Retire(t.Context(), 2), secrets.ErrInUse)
	require.Equal(t, before, contents(t, path))
	out, err := k.Rewrap(t.Context(), []secrets.KeyItem{{Wrapped: w, AAD: []byte("a")}})
	require.NoError(t, err)
	next := one
	next.Wrapped = out[0].Key
	require.NoError(t, k.ReplaceKey(t.Context(), "acme", w, next))
	require.NoError(t, k.Retire(t.Context(), 2))
}

// Every byte of a rotated file counts.
func TestRotatedFileDamaged(t *testing.T) {
	k, path := create(t, "")
	for range 2 {
		_, err := k.Rotate(t.Context())
		require.NoError(t, err)
	}
	good := contents(t, path)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		_, err := local.Open(path, nil)
		require.Error(t, err, "byte %d", i)
	}
	for _, s := range [][2]string{{`"lockkeeper keyring 2"`, `"lockkeeper keyring 1"`}, {`"version":3`, `"version":1`}, {`"version":3`, `"version":4`}} {
		require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(good), s[0], s[1], 1)), 0o600))
		_, err := local.Open(path, nil)
		require.ErrorIs(t, err, local.ErrDamaged)
	}
}

func TestCredential(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	_, err := local.Credential("keyring")
	require.ErrorContains(t, err, "LoadCredential")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for content, want := range map[string]string{"correct horse": "correct horse", "a\n": "a", "a\r\n": "a", " a \n\n": " a \n", strings.Repeat("x", 4096): strings.Repeat("x", 4096)} {
		write("keyring", content, 0o440)
		got, err := local.Credential("keyring")
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	for _, bad := range []string{"", "\n", strings.Repeat("x", 4097)} {
		write("keyring", bad, 0o400)
		_, err := local.Credential("keyring")
		require.Error(t, err)
	}
	write("keyring", "a", 0o444)
	_, err = local.Credential("keyring")
	require.ErrorContains(t, err, "everybody")
	for _, bad := range []string{"", ".", "..", "a/b", "../keyring", "none"} {
		_, err := local.Credential(bad)
		require.Error(t, err, "%q", bad)
	}
}

// A keyring is not put where the data is, unless that was said aloud.
//
// evidence: P29
func TestTogether(t *testing.T) {
	dir := t.TempDir()
	data, keys := filepath.Join(dir, "data"), filepath.Join(dir, "keys")
	for _, d := range []string{filepath.Join(data, "deep"), keys} {
		require.NoError(t, os.MkdirAll(d, 0o700))
	}
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(data, link))
	db := filepath.Join(data, "a.db")
	for _, c := range []struct {
		keyring, data string
		refused       bool
	}{
		{filepath.Join(data, "keyring"), db, true}, {filepath.Join(data, "keyring"), data, true}, {filepath.Join(data, "deep", "keyring"), data, true},
		{filepath.Join(link, "keyring"), db, true}, {filepath.Join(data, "keyring"), filepath.Join(link, "a.db"), true}, {filepath.Join(data, "deep", "..", "keyring"), db, true},
		{filepath.Join(data, "deep", "keyring"), db, false}, {filepath.Join(keys, "keyring"), db, false}, {filepath.Join(keys, "keyring"), data, false},
		{filepath.Join(dir, "keyring"), data, false}, {filepath.Join(keys, "keyring"), filepath.Join(dir, "data2"), false},
	} {
		for _, exists := range []bool{false, true} {
			if exists {
				require.NoError(t, os.WriteFile(db, []byte("rows"), 0o600))
			}
			k, _, err := local.Use(c.keyring, &local.Options{Data: []string{filepath.Join(dir, "elsewhere", "b.db"), c.data}})
			if !c.refused {
				require.NoError(t, err, "%v", c)
				require.NotNil(t, k)
				continue
			}
			require.ErrorIs(t, err, local.ErrTogether, "%v", c)
			require.NoFileExists(t, c.keyring)
		}
		_ = os.Remove(db)
		_ = os.Remove(c.keyring)
	}
	_, created, err := local.Use(filepath.Join(data, "keyring"), &local.Options{Data: []string{db}, Together: true, Passphrase: []byte("correct horse")})
	require.NoError(t, err)
	require.True(t, created)
	_, _, err = local.Use(filepath.Join(data, "keyring"), nil)
	require.ErrorIs(t, err, local.ErrPassphrase)
}
