package local_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t *testing.T, passphrase string) (*local.Keyring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyring")
	k, err := local.Create(path, []byte(passphrase))
	require.NoError(t, err)
	return k, path
}

func TestKeeper(t *testing.T) {
	secretstest.RunKeeper(t, func(t *testing.T) secrets.Keeper { k, _ := create(t, ""); return k })
}

func TestKeyStore(t *testing.T) {
	secretstest.RunKeyStore(t, func(t *testing.T) secrets.KeyStore { k, _ := create(t, ""); return k })
}

// reopening opens the file anew for every call, as another process would.
type reopening struct {
	t    *testing.T
	path string
}

func (r reopening) open() *local.Keyring {
	k, err := local.Open(r.path, nil)
	if err != nil {
		r.t.Error(err)
	}
	return k
}

func (r reopening) Keys(ctx ctx, tenant string) ([]secrets.WrappedKey, error) {
	return r.open().Keys(ctx, tenant)
}
func (r reopening) AddKey(ctx ctx, tenant string, k secrets.WrappedKey) error {
	return r.open().AddKey(ctx, tenant, k)
}
func (r reopening) List(ctx ctx, cursor string) ([]secrets.TenantKeys, string, error) {
	return r.open().List(ctx, cursor)
}
func (r reopening) ReplaceKey(ctx ctx, tenant string, old []byte, k secrets.WrappedKey) error {
	return r.open().ReplaceKey(ctx, tenant, old, k)
}
func (r reopening) RemoveKeys(ctx ctx, tenant string, before uint32) error {
	return r.open().RemoveKeys(ctx, tenant, before)
}
func (r reopening) Shred(ctx ctx, tenant string) error { return r.open().Shred(ctx, tenant) }

func TestKeyStoreReopened(t *testing.T) {
	secretstest.RunKeyStore(t, func(t *testing.T) secrets.KeyStore {
		_, path := create(t, "")
		return reopening{t, path}
	})
}

func TestPassphrase(t *testing.T) {
	k, path := create(t, "correct horse")
	w, err := k.Wrap(t.Context(), make([]byte, 32), []byte("a"))
	require.NoError(t, err)
	before := contents(t, path)
	for _, wrong := range []string{"", "correct hors", "correct horse ", "Correct horse"} {
		_, err := local.Open(path, []byte(wrong))
		require.ErrorIs(t, err, local.ErrPassphrase, "%q", wrong)
		_, created, err := local.OpenOrCreate(path, []byte(wrong))
		require.ErrorIs(t, err, local.ErrPassphrase)
		require.False(t, created)
	}
	require.Equal(t, before, contents(t, path))
	again, err := local.Open(path, []byte("correct horse"))
	require.NoError(t, err)
	out, err := again.Unwrap(t.Context(), w, []byte("a"))
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), out)

	_, plain := create(t, "")
	_, err = local.Open(plain, []byte("correct horse"))
	require.ErrorIs(t, err, local.ErrPassphrase, "a keyring without passphrase must not pretend to have one")
}

func TestOnlyTheOwnerMayReadTheFile(t *testing.T) {
	k, path := create(t, "")
	mode := func() os.FileMode {
		st, err := os.Stat(path)
		require.NoError(t, err)
		return st.Mode().Perm()
	}
	require.Equal(t, os.FileMode(0o600), mode())
	require.NoError(t, k.AddKey(t.Context(), "acme", key(1)))
	require.Equal(t, os.FileMode(0o600), mode(), "after a change too")
	require.NoError(t, os.Chmod(path, 0o400))
	_, err := local.Open(path, nil)
	require.NoError(t, err)
	for _, bad := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o777} {
		require.NoError(t, os.Chmod(path, bad))
		_, err := local.Open(path, nil)
		require.ErrorContains(t, err, "can be read by others", "%o", bad)
		_, _, err = local.OpenOrCreate(path, nil)
		require.Error(t, err)
	}
}

func TestCreateNeverReplaces(t *testing.T) {
	_, path := create(t, "")
	before := contents(t, path)
	_, err := local.Create(path, nil)
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, before, contents(t, path))
	_, created, err := local.OpenOrCreate(path, nil)
	require.NoError(t, err)
	require.False(t, created)
	_, created, err = local.OpenOrCreate(path+"2", nil)
	require.NoError(t, err)
	require.True(t, created)
	_, err = local.Open(path+"3", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = local.Create(filepath.Join(path, "below a file"), nil)
	require.Error(t, err)
}

// Each single flipped bit, each truncation and each addition is found when the
// file is opened, and found again by a keyring that is open already, before it
// would write the damage down for good.
func TestDamage(t *testing.T) {
	k, path := create(t, "")
	require.NoError(t, k.AddKey(t.Context(), "acme", key(1)))
	good := contents(t, path)
	refused := func(bad []byte, what string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		_, err := local.Open(path, nil)
		if err == nil {
			t.Fatalf("%s: opened", what)
		}
		require.True(t, is(err, local.ErrDamaged, local.ErrPassphrase), "%s: %v", what, err)
		_, created, err := local.OpenOrCreate(path, nil)
		require.Error(t, err)
		require.False(t, created)
		require.Equal(t, bad, contents(t, path), "%s: nothing may be written over it", what)
	}
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		refused(bad, fmt.Sprintf("bit %d", i))
	}
	for n := range len(good) {
		refused(good[:n], fmt.Sprintf("%d bytes of %d", n, len(good)))
	}
	refused(append(bytes.Clone(good), '\n'), "a byte more")
	refused(append(bytes.Clone(good), good...), "twice")
	refused(bytes.Replace(good, []byte(`"generation":2`), []byte(`"generation":2,"generation":2`), 1), "a field twice")
	refused([]byte(strings.Replace(string(good), `"id"`, `"note":1,"id"`, 1)), "an unknown field")

	for _, bad := range [][]byte{nil, good[:len(good)/2], bytes.Replace(good, []byte(`"acme"`), []byte(`"acmf"`), 1)} {
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		require.ErrorIs(t, k.AddKey(t.Context(), "beta", key(1)), local.ErrDamaged)
		require.ErrorIs(t, k.Shred(t.Context(), "acme"), local.ErrDamaged)
		_, err := k.Keys(t.Context(), "acme")
		require.ErrorIs(t, err, local.ErrDamaged)
		require.Equal(t, len(bad), len(contents(t, path)))
	}
	// Put right again, the same keyring goes on.
	require.NoError(t, os.WriteFile(path, good, 0o600))
	ks, err := k.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, ks, 1)
}

func TestDamageWithPassphrase(t *testing.T) {
	_, path := create(t, "correct horse")
	good := contents(t, path)
	var f map[string]any
	require.NoError(t, json.Unmarshal(good, &f))
	for _, field := range []string{`"salt":"`, `"root":"`, `"check":"`, `"time":`, `"memory_kib":`, `"threads":`, `"generation":`, `"format":"`} {
		i := bytes.Index(good, []byte(field))
		require.Positive(t, i+1, field)
		bad := bytes.Clone(good)
		bad[i+len(field)] ^= 1
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		_, err := local.Open(path, []byte("correct horse"))
		require.True(t, is(err, local.ErrDamaged, local.ErrPassphrase), "%s: %v", field, err)
	}
	// Parameters that would take all memory, or none, are refused before use.
	for _, p := range []string{`"memory_kib":4294967295`, `"memory_kib":1`} {
		require.NoError(t, os.WriteFile(path, bytes.Replace(good, []byte(`"memory_kib":65536`), []byte(p), 1), 0o600))
		_, err := local.Open(path, []byte("correct horse"))
		require.ErrorIs(t, err, local.ErrDamaged, p)
	}
}

// Two keyrings on one file, as two processes have them, lose nothing of each
// other's and see it at once.
func TestTwoKeyringsOnOneFile(t *testing.T) {
	a, path := create(t, "")
	b, err := local.Open(path, nil)
	require.NoError(t, err)
	require.NoError(t, a.AddKey(t.Context(), "acme", key(1)))
	ks, err := b.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, ks, 1, "added by the other")
	require.ErrorIs(t, b.AddKey(t.Context(), "acme", key(1)), secrets.ErrConflict)
	require.NoError(t, b.AddKey(t.Context(), "acme", key(2)))
	require.NoError(t, b.Shred(t.Context(), "acme"))
	ks, err = a.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Empty(t, ks, "shredded by the other")

	var wg sync.WaitGroup
	for i := range 20 {
		k := []*local.Keyring{a, b}[i%2]
		wg.Go(func() {
			if err := k.AddKey(t.Context(), fmt.Sprint("tenant", i), key(1)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	fresh, err := local.Open(path, nil)
	require.NoError(t, err)
	for i := range 20 {
		for _, k := range []*local.Keyring{a, b, fresh} {
			ks, err := k.Keys(t.Context(), fmt.Sprint("tenant", i))
			require.NoError(t, err)
			require.Len(t, ks, 1)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 2, "the keyring and its lock: no temporary file stays")
}

func TestReplacedFile(t *testing.T) {
	a, path := create(t, "")
	old := contents(t, path)
	require.NoError(t, a.AddKey(t.Context(), "acme", key(1)))
	require.NoError(t, os.WriteFile(path, old, 0o600))
	require.ErrorIs(t, a.AddKey(t.Context(), "acme", key(2)), local.ErrBusy, "an older copy came back")
	_, err := a.Keys(t.Context(), "acme")
	require.ErrorIs(t, err, local.ErrBusy)
	b, other := create(t, "")
	for v := range uint32(5) { // newer than the one it replaces
		require.NoError(t, b.AddKey(t.Context(), "acme", key(v+1)))
	}
	require.NoError(t, os.Rename(other, path))
	require.ErrorIs(t, a.AddKey(t.Context(), "acme", key(2)), local.ErrBusy, "another keyring")
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, a.AddKey(t.Context(), "acme", key(2)), fs.ErrNotExist)
	_, err = os.Stat(path)
	require.ErrorIs(t, err, fs.ErrNotExist, "a keyring that is gone is not made again without its keys")
}

// A write that fails leaves the file and the keyring as they were.
func TestFailedWrite(t *testing.T) {
	k, path := create(t, "")
	require.NoError(t, k.AddKey(t.Context(), "acme", key(1)))
	good := contents(t, path)
	dir := filepath.Dir(path)
	require.NoError(t, os.Rename(dir, dir+"-away"))
	t.Cleanup(func() { _ = os.Rename(dir+"-away", dir) })
	require.Error(t, k.AddKey(t.Context(), "acme", key(2)))
	require.NoError(t, os.Rename(dir+"-away", dir))
	require.Equal(t, good, contents(t, path))
	ks, err := k.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, ks, 1)
	require.NoError(t, k.AddKey(t.Context(), "acme", key(2)))
}

// evidence: P30
func TestNothingPrintsTheRoot(t *testing.T) {
	k, path := create(t, "")
	var f struct{ Root []byte }
	require.NoError(t, json.Unmarshal(contents(t, path), &f))
	require.Len(t, f.Root, 32)
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", k)
		fmt.Fprintf(&out, verb+"\n", []any{k, struct{ K *local.Keyring }{k}})
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "k", k)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "k", k, "in", struct{ K *local.Keyring }{k})
	_, err := json.Marshal(k)
	require.ErrorIs(t, err, secrets.ErrSecret)
	for _, form := range []string{string(f.Root), hex.EncodeToString(f.Root), strings.ToUpper(hex.EncodeToString(f.Root)),
		base64.StdEncoding.EncodeToString(f.Root), strings.Trim(fmt.Sprint(f.Root), "[]"), strings.Trim(strings.ReplaceAll(fmt.Sprintf("%#v", f.Root), "[]byte", ""), "{}")} {
		require.NotContains(t, out.String(), form)
	}
}

// evidence: P29
func TestPassphraseKeyringHoldsNoKeyInTheClear(t *testing.T) {
	k, path := create(t, "correct horse")
	secret := bytes.Repeat([]byte("K"), 32)
	w, err := k.Wrap(t.Context(), secret, nil)
	require.NoError(t, err)
	require.NoError(t, k.AddKey(t.Context(), "acme", secrets.WrappedKey{ID: [16]byte{1}, Version: 1, Wrapped: w}))
	var f struct{ Root []byte }
	b := contents(t, path)
	require.NoError(t, json.Unmarshal(b, &f))
	require.Len(t, f.Root, 12+32+16, "sealed, not plain")
	require.NotContains(t, string(b), "correct horse")
	require.NotContains(t, string(b), base64.StdEncoding.EncodeToString(secret)[:40])
}

func FuzzOpen(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "keyring")
	k, err := local.Create(path, nil)
	if err != nil {
		f.Fatal(err)
	}
	if err := k.AddKey(f.Context(), "acme", key(1)); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := k.Rotate(f.Context()); err != nil {
		f.Fatal(err)
	}
	rotated, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(rotated)
	f.Add([]byte(`{"format":"lockkeeper keyring 1","generation":1,"root":null,"check":null}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := filepath.Join(t.TempDir(), "keyring")
		require.NoError(t, os.WriteFile(p, b, 0o600))
		_, err := local.Open(p, nil)
		if err == nil {
			// Whoever knows the root can write a keyring; it is then in its one form.
			require.True(t, json.Valid(b))
			return
		}
		require.True(t, is(err, local.ErrDamaged, local.ErrPassphrase), "%v", err)
	})
}
