package secrets

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// section returns the tables of FORMAT.md under a heading, cells trimmed,
// without their head lines.
func section(t *testing.T, heading string) [][]string {
	t.Helper()
	b, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(b), heading+"\n")
	require.True(t, ok, heading)
	if i := strings.Index(rest, "\n#"); i >= 0 {
		rest = rest[:i]
	}
	var out [][]string
	for _, l := range strings.Split(rest, "\n") {
		if !strings.HasPrefix(l, "| ") {
			continue
		}
		cells := strings.Split(strings.Trim(l, "| "), " | ")
		if cells[0] != "offset" && cells[0] != "field" {
			out = append(out, cells)
		}
	}
	return out
}

func TestFormatDescribesTheConstants(t *testing.T) {
	offsets := map[string]int{"version": 0, "suite": 1, "key id": offKeyID, "key version": offKeyVersion, "salt": offSalt, "commitment": offCommitment,
		"wrapped data key": offWrapped, "nonce": offBody, "body": offBody + 12}
	next, n := 0, 0
	for _, c := range section(t, "## Envelope, version 1") {
		if c[2] == "tag" {
			require.Equal(t, fmt.Sprintf("%d + n", next), c[0])
			next += 16
			require.Equal(t, "16", c[1])
			continue
		}
		at, err := strconv.Atoi(c[0])
		require.NoError(t, err)
		require.Equal(t, next, at, "%s begins where the one before ends", c[2])
		want, ok := offsets[c[2]]
		require.True(t, ok, c[2])
		require.Equal(t, want, at, c[2])
		n++
		if c[2] == "body" {
			require.Equal(t, "n", c[1])
			continue
		}
		size, err := strconv.Atoi(c[1])
		require.NoError(t, err)
		next += size
	}
	require.Equal(t, len(offsets), n)
	require.Equal(t, overhead, next)
	b, err := os.ReadFile("FORMAT.md")
	require.NoError(t, err)
	text := string(b)
	require.Contains(t, text, fmt.Sprintf("%d bytes longer than its plaintext", overhead))
	require.Contains(t, text, fmt.Sprintf("bytes 0 to %d of the envelope", offWrapped-1))
	require.Contains(t, text, "`"+envelopeLabel+"`")
	require.Contains(t, text, fmt.Sprintf("| version | %d |", envelopeVersion))
	require.Contains(t, text, fmt.Sprintf("| suite | %d:", envelopeSuite))
	for _, k := range []Kind{Basic, Bearer, SAMLBearer} {
		require.Contains(t, text, "`"+string(k)+"`")
	}
}

func TestFormatDescribesTheContext(t *testing.T) {
	p := place{deployment: "deployment", table: "table", tenant: "tenant", id: "id", version: 0x76657273696f6e21, kind: "kind", created: 0x6372656174656421, expires: 0x6578706972657321}
	want := ""
	for _, c := range section(t, "### Context") {
		name := c[0]
		if len(name) == 7 { // the numbers of 8 bytes, chosen to read as their names
			name += "!"
		}
		want += fmt.Sprintf("\x00\x00\x00%c%s", len(name), name)
	}
	require.Equal(t, want, string(p.append(nil)))
}

// vector is an envelope of testdata with what opens it.
type vector struct {
	key                *tenantKey
	at                 place
	sealed             []byte
	context, plaintext string
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/envelope_v1.json")
	require.NoError(t, err)
	var vs []struct {
		Deployment, Table, Tenant, ID, Kind string
		Version                             uint64
		Created, Expires                    int64
		TenantKey                           string `json:"tenant_key"`
		Context, Plaintext, Sealed          string
	}
	require.NoError(t, json.Unmarshal(b, &vs))
	require.NotEmpty(t, vs)
	var out []vector
	for _, v := range vs {
		sealed, err := hex.DecodeString(v.Sealed)
		require.NoError(t, err)
		key, err := hex.DecodeString(v.TenantKey)
		require.NoError(t, err)
		id, version, err := keyOf(sealed)
		require.NoError(t, err)
		at := place{v.Deployment, v.Table, v.Tenant, v.ID, v.Version, v.Kind, v.Created, v.Expires}
		out = append(out, vector{newTenantKey(id, version, [32]byte(key)), at, sealed, v.Context, v.Plaintext})
	}
	return out
}

func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		require.Equal(t, v.context, hex.EncodeToString(v.at.append(nil)))
		plain, err := openWhole(v.key, v.at, v.sealed)
		require.NoError(t, err)
		require.Equal(t, v.plaintext, hex.EncodeToString(plain))
	}
}
