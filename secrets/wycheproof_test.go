package secrets

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// hexed is a byte string of a vector.
type hexed []byte

func (h *hexed) UnmarshalText(b []byte) error {
	var err error
	*h, err = hex.DecodeString(string(b))
	return err
}

// wycheproof calls f for each vector of a file.
func wycheproof[G, V any](t *testing.T, name string, f func(G, V)) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
	require.NoError(t, err)
	var file struct {
		TestGroups []json.RawMessage `json:"testGroups"`
	}
	require.NoError(t, json.Unmarshal(b, &file))
	for _, raw := range file.TestGroups {
		var g G
		var vs struct{ Tests []V }
		require.NoError(t, json.Unmarshal(raw, &g))
		require.NoError(t, json.Unmarshal(raw, &vs))
		for _, v := range vs.Tests {
			f(g, v)
		}
	}
}

type verdict struct {
	ID      int    `json:"tcId"`
	Result  string `json:"result"`
	Comment string `json:"comment"`
}

// The cipher of envelopes, opening what others sealed: every vector with the
// sizes that an envelope has.
func TestCipherAgainstWycheproof(t *testing.T) {
	n := map[string]int{}
	wycheproof(t, "aes_gcm_test.json", func(g struct{ IvSize, KeySize, TagSize int }, v struct {
		verdict
		Key, IV, AAD, Msg, CT, Tag hexed
	}) {
		if g.IvSize != 96 || g.KeySize != 256 || g.TagSize != 128 {
			return
		}
		n[v.Result]++
		a, err := gcm(v.Key)
		require.NoError(t, err)
		out, err := a.Open(nil, nil, append(append(append([]byte{}, v.IV...), v.CT...), v.Tag...), v.AAD)
		if v.Result == "valid" {
			require.NoError(t, err, "%d %s", v.ID, v.Comment)
			require.Equal(t, []byte(v.Msg), append([]byte{}, out...), "%d %s", v.ID, v.Comment)
			return
		}
		require.Error(t, err, "%d %s", v.ID, v.Comment)
	})
	require.Greater(t, n["valid"], 30)
	require.Greater(t, n["invalid"], 20)
}

// The derivation, from the pseudorandom key that the extract step makes. Longer
// outputs than HKDF has do not come up here: 64 bytes are asked for.
func TestDerivationAgainstWycheproof(t *testing.T) {
	n := 0
	wycheproof(t, "hkdf_sha256_test.json", func(_ struct{}, v struct {
		verdict
		IKM, Salt, Info, OKM hexed
		Size                 int
	}) {
		if v.Result != "valid" {
			require.Greater(t, v.Size, 255*sha256.Size, "%d %s", v.ID, v.Comment)
			return
		}
		prk, err := hkdf.Extract(sha256.New, v.IKM, v.Salt)
		require.NoError(t, err)
		out := make([]byte, v.Size)
		newTenantKey([16]byte{}, 1, [32]byte(prk)).expand(out, v.Info)
		require.Equal(t, []byte(v.OKM), out, "%d %s", v.ID, v.Comment)
		n++
	})
	require.Greater(t, n, 50)
}

// The MAC of heads, with keys of its size, from a pool that is used again.
func TestMACAgainstWycheproof(t *testing.T) {
	n := map[string]int{}
	wycheproof(t, "hmac_sha256_test.json", func(g struct{ KeySize, TagSize int }, v struct {
		verdict
		Key, Msg, Tag hexed
	}) {
		if g.KeySize != 256 {
			return
		}
		key := [32]byte(v.Key)
		pool := macPool(&key)()
		for range 2 {
			m := pool.Get().(*mac)
			m.h.Reset()
			m.h.Write(v.Msg)
			sum := m.h.Sum(nil)[:g.TagSize/8]
			pool.Put(m)
			require.Equal(t, v.Result == "valid", string(sum) == string(v.Tag), "%d %s", v.ID, v.Comment)
		}
		n[v.Result]++
	})
	require.Greater(t, n["valid"], 20)
	require.Greater(t, n["invalid"], 20)
}
