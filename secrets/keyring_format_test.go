package secrets_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// rotatedVector is a keyring file whose root key was rotated, and what is in it.
type rotatedVector struct {
	Passphrase string       `json:"passphrase"`
	File       string       `json:"file"`
	Roots      []rootVector `json:"roots"` // newest first
	Keys       []keyVector  `json:"keys"`  // by tenant and version
}

type rootVector struct {
	Version uint32 `json:"version"`
	Root    string `json:"root"`
}

type keyVector struct {
	Tenant  string `json:"tenant"`
	ID      string `json:"id"`
	Version uint32 `json:"version"`
	Under   uint32 `json:"under"` // version of the root key
	Key     string `json:"key"`
}

// decodeRotated reads a file of either format by the description alone.
func decodeRotated(t *testing.T, b []byte, passphrase string) rotatedVector {
	t.Helper()
	var more struct {
		Version uint32
		Older   []struct {
			Version uint32
			Root    []byte
		}
	}
	require.NoError(t, json.Unmarshal(b, &more))
	o := openKeyring(t, b, passphrase)
	require.Equal(t, more.Version > 1, o.Format == "lockkeeper keyring 2")
	newest := max(more.Version, 1)
	roots := map[uint32][]byte{newest: o.Root}
	v := rotatedVector{Passphrase: passphrase, File: string(b), Roots: []rootVector{{newest, hex.EncodeToString(o.Root)}}}
	for _, old := range slices.Backward(more.Older) {
		root := unseal(t, expand(o.Root, []byte("lockkeeper keyring older v1"), 32), old.Root, binary.BigEndian.AppendUint32(nil, old.Version))
		roots[old.Version] = root
		v.Roots = append(v.Roots, rootVector{old.Version, hex.EncodeToString(root)})
	}
	for tenant, ks := range o.Keys {
		for _, k := range ks {
			under, wrapped := uint32(1), k.Wrapped
			if len(wrapped) == 64 {
				under, wrapped = binary.BigEndian.Uint32(wrapped), wrapped[4:]
			}
			key := unseal(t, expand(roots[under], []byte("lockkeeper keyring wrap v1"), 32), wrapped, contextOf("default", "tenant keys", tenant, string(k.ID), uint64(k.Version), "kek", 0, 0))
			v.Keys = append(v.Keys, keyVector{tenant, hex.EncodeToString(k.ID), k.Version, under, hex.EncodeToString(key)})
		}
	}
	slices.SortFunc(v.Keys, func(a, b keyVector) int {
		if a.Tenant != b.Tenant {
			return strings.Compare(a.Tenant, b.Tenant)
		}
		return int(a.Version) - int(b.Version)
	})
	return v
}

func TestRotatedVectorsOpenByTheDescriptionAlone(t *testing.T) {
	vs := vectors[rotatedVector](t, "keyring_v2.json")
	require.Len(t, vs, 3)
	for _, v := range vs {
		require.Equal(t, v, decodeRotated(t, []byte(v.File), v.Passphrase))
	}
	require.Len(t, vs[0].Roots, 3)
	require.Equal(t, []uint32{1, 3, 2}, []uint32{vs[0].Keys[0].Under, vs[0].Keys[1].Under, vs[0].Keys[2].Under})
	require.Len(t, vs[1].Roots, 1, "older ones were given up")
}

// What was written once is a keyring: its keys unwrap, and it goes on from there.
func TestRotatedVectorsOpenInTheKeyring(t *testing.T) {
	for _, v := range vectors[rotatedVector](t, "keyring_v2.json") {
		path := filepath.Join(t.TempDir(), "keyring")
		require.NoError(t, os.WriteFile(path, []byte(v.File), 0o600))
		k, err := local.Open(path, []byte(v.Passphrase))
		require.NoError(t, err)
		for _, want := range v.Keys {
			ks, err := k.Keys(t.Context(), want.Tenant)
			require.NoError(t, err)
			i := slices.IndexFunc(ks, func(w secrets.WrappedKey) bool { return w.Version == want.Version })
			key, err := k.Unwrap(t.Context(), ks[i].Wrapped, contextOf("default", "tenant keys", want.Tenant, string(ks[i].ID[:]), uint64(want.Version), "kek", 0, 0))
			require.NoError(t, err)
			require.Equal(t, want.Key, hex.EncodeToString(key))
		}
		next, err := k.Rotate(t.Context())
		require.NoError(t, err)
		require.Equal(t, v.Roots[0].Version+1, next)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, v.Keys, decodeRotated(t, b, v.Passphrase).Keys, "and the description opens what is written now")
	}
}

func TestWriteRotatedVectors(t *testing.T) {
	if !*update {
		t.Skip("with -update: writes testdata")
	}
	var out []rotatedVector
	for _, c := range []struct {
		passphrase string
		retire     bool
	}{{"", false}, {"", true}, {"correct horse battery staple", false}} {
		w := newWorld(t)
		path := filepath.Join(t.TempDir(), "keyring")
		keys, err := local.Create(path, []byte(c.passphrase))
		require.NoError(t, err)
		w.store = &secrets.Memory{}
		w.safe = w.open(t, keys, keys, w.store)
		custodian := w.grant(t, "service:custodian", "secrets.rotate", authztest.Resource(t, "tenants"))
		w.put(t, newRef(t, "tenants/acme", "crm"), "one", bearer())
		_, err = w.safe.RotateRoot(t.Context(), custodian)
		require.NoError(t, err)
		w.put(t, newRef(t, "tenants/beta", "crm"), "two", bearer())
		newest, err := w.safe.RotateRoot(t.Context(), custodian)
		require.NoError(t, err)
		acme := authztest.Resource(t, "tenants/acme")
		_, err = w.safe.RotateTenant(t.Context(), w.grant(t, "service:custodian", "secrets.rotate", acme), acme)
		require.NoError(t, err)
		if c.retire {
			require.NoError(t, w.safe.RetireRoot(t.Context(), custodian, newest))
		}
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		out = append(out, decodeRotated(t, b, c.passphrase))
	}
	writeVectors(t, "keyring_v2.json", out)
}

// A stranger's reader of keyring files, in another language, from the description
// alone.
func TestKeyringsOpenInPython(t *testing.T) {
	exe := python(t, "import cryptography, argon2", "from cryptography.hazmat.primitives.kdf.argon2 import Argon2id")
	b, err := os.ReadFile("testdata/keyring.py")
	require.NoError(t, err)
	require.LessOrEqual(t, bytes.Count(b, []byte("\n")), 60)
	read := func(vs any) (string, error) {
		path := filepath.Join(t.TempDir(), "files.json")
		b, err := json.Marshal(vs)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, b, 0o600))
		out, err := exec.CommandContext(t.Context(), exe, "-B", "testdata/keyring.py", path).CombinedOutput()
		return string(out), err
	}
	var files []rotatedVector
	for _, v := range vectors[keyringVector](t, "keyring_v1.json") {
		files = append(files, decodeRotated(t, []byte(v.File), v.Passphrase))
	}
	files = append(files, vectors[rotatedVector](t, "keyring_v2.json")...)
	require.True(t, slices.ContainsFunc(files, func(v rotatedVector) bool { return v.Passphrase != "" }), "one with a passphrase among them")
	var want strings.Builder
	for _, v := range files {
		for _, k := range v.Keys {
			fmt.Fprintln(&want, k.Tenant, k.Version, k.Under, k.Key)
		}
	}
	got, err := read(files)
	require.NoError(t, err, got)
	require.Equal(t, want.String(), got)
	// And it refuses what was altered.
	good := files[len(files)-1]
	for _, change := range [][2]string{{`"generation":`, `"generation":9`}, {"keyring 2", "keyring 1"}} {
		bad := good
		bad.File = strings.Replace(good.File, change[0], change[1], 1)
		got, err := read([]rotatedVector{bad})
		require.Error(t, err, change[1])
		require.Contains(t, got, "Error")
	}
}
