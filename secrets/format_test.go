package secrets_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/argon2"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// The reader below is written from FORMAT.md and shares no code with the
// package: it builds on hashes and block ciphers alone.

// envelopeVector is one sealed secret and everything on the way to its value.
type envelopeVector struct {
	Deployment  string `json:"deployment"`
	Table       string `json:"table"`
	Tenant      string `json:"tenant"`
	ID          string `json:"id"`
	Version     uint64 `json:"version"`
	Kind        string `json:"kind"`
	Expires     int64  `json:"expires"`
	TenantKey   string `json:"tenant_key,omitempty"`
	Context     string `json:"context,omitempty"`
	WrappingKey string `json:"wrapping_key,omitempty"`
	Commitment  string `json:"commitment,omitempty"`
	DataKey     string `json:"data_key,omitempty"`
	Plaintext   string `json:"plaintext,omitempty"`
	Sealed      string `json:"sealed"`
	Value       string `json:"value"`
}

// keyringVector is a keyring file and a secret that it opens.
type keyringVector struct {
	Passphrase string         `json:"passphrase"`
	File       string         `json:"file"`
	Secret     envelopeVector `json:"secret"`
}

// expand is HKDF-Expand with SHA-256 (RFC 5869 section 2.3).
func expand(key, info []byte, n int) []byte {
	var out, block []byte
	for i := byte(1); len(out) < n; i++ {
		h := hmac.New(sha256.New, key)
		h.Write(block)
		h.Write(info)
		h.Write([]byte{i})
		block = h.Sum(nil)
		out = append(out, block...)
	}
	return out[:n]
}

// unseal opens nonce, ciphertext and tag.
func unseal(t *testing.T, key, sealed, aad []byte) []byte {
	t.Helper()
	b, err := aes.NewCipher(key)
	require.NoError(t, err)
	a, err := cipher.NewGCM(b)
	require.NoError(t, err)
	out, err := a.Open(nil, sealed[:12], sealed[12:], aad)
	require.NoError(t, err)
	return out
}

func contextOf(deployment, table, tenant, id string, version uint64, kind string, expires int64) []byte {
	var b []byte
	for _, f := range [][]byte{[]byte(deployment), []byte(table), []byte(tenant), []byte(id), binary.BigEndian.AppendUint64(nil, version), []byte(kind),
		binary.BigEndian.AppendUint64(nil, uint64(expires))} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

// decode opens a vector with its tenant key and fills in all that is on the way.
func decode(t *testing.T, v envelopeVector) envelopeVector {
	t.Helper()
	key, err := hex.DecodeString(v.TenantKey)
	require.NoError(t, err)
	s, err := hex.DecodeString(v.Sealed)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 1}, s[:2])
	ctx := contextOf(v.Deployment, v.Table, v.Tenant, v.ID, v.Version, v.Kind, v.Expires)
	sum := sha256.Sum256(ctx)
	info := append([]byte("lockkeeper envelope v1"), s[2:22]...)
	info = append(append(info, sum[:]...), s[22:54]...)
	okm := expand(key, info, 64)
	require.Equal(t, okm[32:], s[54:86], "commitment")
	dek := unseal(t, okm[:32], s[86:146], append(bytes.Clone(s[:86]), ctx...))
	plain := unseal(t, dek, s[146:], append([]byte{1, 1}, ctx...))
	n := binary.BigEndian.Uint32(plain)
	var scheme struct{ Kind string }
	require.NoError(t, json.Unmarshal(plain[4:4+n], &scheme))
	require.Equal(t, v.Kind, scheme.Kind)
	v.Context, v.WrappingKey, v.Commitment = hex.EncodeToString(ctx), hex.EncodeToString(okm[:32]), hex.EncodeToString(okm[32:])
	v.DataKey, v.Plaintext, v.Value = hex.EncodeToString(dek), hex.EncodeToString(plain), string(plain[4+n:])
	return v
}

// opened is a keyring file with its root.
type opened struct {
	Format string
	KDF    *struct {
		Salt    []byte
		Time    uint32
		Memory  uint32 `json:"memory_kib"`
		Threads uint8
	}
	Root []byte
	Keys map[string][]struct {
		ID      []byte
		Version uint32
		Wrapped []byte
	}
	Check []byte
}

func openKeyring(t *testing.T, b []byte, passphrase string) opened {
	t.Helper()
	var o opened
	require.NoError(t, json.Unmarshal(b, &o))
	require.Equal(t, "lockkeeper keyring 1", o.Format)
	if o.KDF != nil {
		key := argon2.IDKey([]byte(passphrase), o.KDF.Salt, o.KDF.Time, o.KDF.Memory, o.KDF.Threads, 32)
		o.Root = unseal(t, key, o.Root, []byte(o.Format))
	}
	require.Len(t, o.Root, 32)
	i := bytes.LastIndex(b, []byte(`"check":`))
	h := hmac.New(sha256.New, expand(o.Root, []byte("lockkeeper keyring check v1"), 32))
	h.Write(append(bytes.Clone(b[:i]), `"check":null}`...))
	require.Equal(t, h.Sum(nil), o.Check)
	require.Equal(t, `"check":"`+base64.StdEncoding.EncodeToString(o.Check)+`"}`, string(b[i:]))
	return o
}

func (o opened) tenantKey(t *testing.T, tenant string, id []byte, version uint32) []byte {
	t.Helper()
	for _, k := range o.Keys[tenant] {
		if bytes.Equal(k.ID, id) && k.Version == version {
			aad := contextOf("default", "tenant keys", tenant, string(id), uint64(version), "kek", 0)
			return unseal(t, expand(o.Root, []byte("lockkeeper keyring wrap v1"), 32), k.Wrapped, aad)
		}
	}
	t.Fatal("no such key")
	return nil
}

func vectors[T any](t *testing.T, name string) []T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var out []T
	require.NoError(t, json.Unmarshal(b, &out))
	require.Len(t, out, 2)
	return out
}

func TestVectorsOpenByTheDescriptionAlone(t *testing.T) {
	for _, v := range vectors[envelopeVector](t, "envelope_v1.json") {
		require.NotEmpty(t, v.Value)
		bare := v
		bare.Context, bare.WrappingKey, bare.Commitment, bare.DataKey, bare.Plaintext, bare.Value = "", "", "", "", "", ""
		require.Equal(t, v, decode(t, bare))
	}
	for _, v := range vectors[keyringVector](t, "keyring_v1.json") {
		sealed, err := hex.DecodeString(v.Secret.Sealed)
		require.NoError(t, err)
		o := openKeyring(t, []byte(v.File), v.Passphrase)
		s := v.Secret
		s.TenantKey = hex.EncodeToString(o.tenantKey(t, s.Tenant, sealed[2:18], binary.BigEndian.Uint32(sealed[18:22])))
		require.Equal(t, v.Secret.Value, decode(t, s).Value)
	}
}

// What the first release wrote, this one uses: the file is opened as a keyring
// and the row is served from a store.
func TestVectorsOpenInTheSafe(t *testing.T) {
	for _, v := range vectors[keyringVector](t, "keyring_v1.json") {
		w := newWorld(t)
		path := filepath.Join(t.TempDir(), "keyring")
		require.NoError(t, os.WriteFile(path, []byte(v.File), 0o600))
		k, err := local.Open(path, []byte(v.Passphrase))
		require.NoError(t, err)
		sealed, err := hex.DecodeString(v.Secret.Sealed)
		require.NoError(t, err)
		store := &secrets.Memory{}
		require.NoError(t, store.Save(t.Context(), secrets.Row{Name: v.Secret.ID, Tenant: v.Secret.Tenant, Kind: secrets.Kind(v.Secret.Kind), Version: v.Secret.Version, Sealed: sealed}, 0))
		srv := newServer(t, nil)
		ref := newRef(t, "tenants/acme/users/7f3a", "mailbox")
		require.Equal(t, v.Secret.ID, ref.String())
		h, err := w.open(t, k, k, store).Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		c, err := h.HTTPClient(t.Context(), srv.policy())
		require.NoError(t, err)
		_, err = get(t, c, srv.URL)
		require.NoError(t, err)
		require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte("ana@example.com:"+v.Secret.Value)), srv.seen()[0])
	}
}

// And what this release writes, the description opens.
func TestDescriptionOpensWhatIsWrittenNow(t *testing.T) {
	w := newWorld(t)
	ref := newRef(t, "tenants/beta/users/%C3%BC", "a b")
	w.put(t, ref, "open sesame", basic("ana"))
	r, err := w.store.Load(t.Context(), ref.String())
	require.NoError(t, err)
	b, err := os.ReadFile(w.path)
	require.NoError(t, err)
	v := envelopeVector{Deployment: "default", Table: "secrets", Tenant: "beta", ID: "tenants/beta/users/%C3%BC/secrets/a%20b", Version: 1, Kind: "basic", Sealed: hex.EncodeToString(r.Sealed)}
	v.TenantKey = hex.EncodeToString(openKeyring(t, b, "").tenantKey(t, "beta", r.Sealed[2:18], 1))
	require.Equal(t, "open sesame", decode(t, v).Value)
}
