package secrets

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func testKey(fill byte) *tenantKey {
	return newTenantKey([16]byte(bytes.Repeat([]byte{fill}, 16)), 1, [32]byte(bytes.Repeat([]byte{fill + 1}, 32)))
}

func testPlace() place {
	return place{deployment: "default", table: "secrets", tenant: "acme", id: "tenants/acme/secrets/crm", version: 3, kind: "basic", created: 1_700_000_000, expires: 1_800_000_000}
}

// refused reports whether an error is one of the two that a bad envelope has.
func refused(err error) bool { return errors.Is(err, ErrTampered) || errors.Is(err, ErrFormat) }

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		k := newTenantKey([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")), rapid.Uint32().Draw(t, "key version"),
			[32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")))
		at := place{text.Draw(t, "deployment"), text.Draw(t, "table"), text.Draw(t, "tenant"), text.Draw(t, "id"), rapid.Uint64().Draw(t, "version"),
			text.Draw(t, "kind"), rapid.Int64().Draw(t, "created"), rapid.Int64().Draw(t, "expires")}
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
		kept := bytes.Clone(plain)
		sealed, err := seal(nil, k, at, plain)
		require.NoError(t, err)
		require.Len(t, sealed, overhead+len(plain))
		require.Equal(t, kept, plain, "the plaintext is the caller's to clear")
		out, err := openWhole(k, at, sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, out))
		other, err := seal(nil, k, at, plain)
		require.NoError(t, err)
		require.NotEqual(t, sealed[offSalt:], other[offSalt:], "never the same twice")
	})
}

func TestEveryAlteredBitIsRefused(t *testing.T) {
	k, at := testKey(1), testPlace()
	for _, plain := range [][]byte{nil, []byte("p"), bytes.Repeat([]byte("password"), 8)} {
		sealed, err := seal(nil, k, at, plain)
		require.NoError(t, err)
		for i := range len(sealed) * 8 {
			bad := bytes.Clone(sealed)
			bad[i/8] ^= 1 << (i % 8)
			out, err := openWhole(k, at, bad)
			require.True(t, refused(err), "bit %d: %v", i, err)
			require.Nil(t, out)
			if i < 16 {
				require.ErrorIs(t, err, ErrFormat, "version and suite are never guessed")
			} else {
				require.ErrorIs(t, err, ErrTampered, "bit %d", i)
			}
		}
		for i := range sealed { // and every byte by another difference
			bad := bytes.Clone(sealed)
			bad[i] += 0x55
			_, err := openWhole(k, at, bad)
			require.True(t, refused(err), "byte %d: %v", i, err)
		}
	}
}

func TestEveryOtherLengthIsRefused(t *testing.T) {
	k, at := testKey(1), testPlace()
	sealed, err := seal(nil, k, at, []byte("password"))
	require.NoError(t, err)
	for n := range len(sealed) {
		_, err := openWhole(k, at, sealed[:n])
		require.ErrorIs(t, err, ErrTampered, "%d bytes", n)
		_, err = openWhole(k, at, sealed[n+1:])
		require.True(t, refused(err), "without the first %d bytes: %v", n+1, err)
	}
	for _, more := range [][]byte{{0}, {1, 2, 3}, sealed} {
		_, err := openWhole(k, at, append(bytes.Clone(sealed), more...))
		require.ErrorIs(t, err, ErrTampered)
		_, err = openWhole(k, at, append(bytes.Clone(more), sealed...))
		require.True(t, refused(err))
	}
	_, err = openWhole(k, at, nil)
	require.ErrorIs(t, err, ErrTampered)
}

func TestEveryOtherPlaceAndKeyIsRefused(t *testing.T) {
	k, at := testKey(1), testPlace()
	sealed, err := seal(nil, k, at, []byte("password"))
	require.NoError(t, err)
	for what, change := range map[string]func(*place){
		"deployment": func(p *place) { p.deployment = "other" },
		"table":      func(p *place) { p.table = "tenant keys" },
		"tenant":     func(p *place) { p.tenant = "acm" },
		"ref":        func(p *place) { p.id += "2" },
		"version":    func(p *place) { p.version-- },
		"kind":       func(p *place) { p.kind = "bearer" },
		"creation":   func(p *place) { p.created++ },
		"expiry":     func(p *place) { p.expires++ },
		"no expiry":  func(p *place) { p.expires = 0 },
		"moved byte": func(p *place) { p.tenant, p.id = p.tenant+p.id[:1], p.id[1:] },
	} {
		other := at
		change(&other)
		_, err := openWhole(k, other, sealed)
		require.ErrorIs(t, err, ErrTampered, what)
	}
	same := k.key()
	for what, other := range map[string]*tenantKey{
		"another key":            testKey(2),
		"same id, other key":     newTenantKey(k.id, k.version, [32]byte{9}),
		"same key, other id":     newTenantKey([16]byte{9}, k.version, *same),
		"same key, next version": newTenantKey(k.id, k.version+1, *same),
	} {
		_, err := openWhole(other, at, sealed)
		require.ErrorIs(t, err, ErrTampered, what)
	}
}

// Parts of two good envelopes under one key, put together, are no envelope.
func TestMixedEnvelopesAreRefused(t *testing.T) {
	k, at := testKey(1), testPlace()
	a, err := seal(nil, k, at, []byte("password one"))
	require.NoError(t, err)
	b, err := seal(nil, k, at, []byte("password two"))
	require.NoError(t, err)
	for _, cut := range []int{offSalt, offCommitment, offWrapped, offBody, offBody + 12, len(a) - 16} {
		_, err := openWhole(k, at, append(bytes.Clone(a[:cut]), b[cut:]...))
		if cut <= offSalt {
			require.NoError(t, err, "up to the salt both are equal")
			continue
		}
		require.ErrorIs(t, err, ErrTampered, "cut at %d", cut)
	}
}

// The commitment is checked for itself, not only as part of what is
// authenticated: an envelope that a holder of the key made with another
// commitment, and that is right in everything else, does not open.
func TestTheCommitmentIsChecked(t *testing.T) {
	k, at := testKey(1), testPlace()
	ctx := at.append(nil)
	for _, flip := range []byte{0, 1} {
		out := make([]byte, offWrapped)
		out[0], out[1] = envelopeVersion, envelopeSuite
		copy(out[offKeyID:], k.id[:])
		out[offSalt-1] = byte(k.version)
		okm := derived(t, k, out[:offCommitment], ctx)
		copy(out[offCommitment:], okm[32:])
		out[offWrapped-1] ^= flip
		kw, err := gcm(okm[:32])
		require.NoError(t, err)
		dek := make([]byte, 32)
		out = kw.Seal(out, nil, dek, append(bytes.Clone(out[:offWrapped]), ctx...))
		body, err := gcm(dek)
		require.NoError(t, err)
		out = body.Seal(out, nil, []byte("x"), append([]byte{1, 1}, ctx...))
		_, err = openWhole(k, at, out)
		if flip == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrTampered)
	}
}

// derived is the derivation by the standard library.
func derived(t testing.TB, k *tenantKey, header, ctx []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(append(bytes.Clone(header[2:54]), ctx...))
	info := "lockkeeper envelope v1" + string(sum[:])
	okm, err := hkdf.Expand(sha256.New, k.key()[:], info, 64)
	require.NoError(t, err)
	return okm
}

func TestPlacesNeverShareAnEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune("ab\x00\x01/")), 0, 4, -1)
		draw := func(n string) place {
			return place{text.Draw(t, n), text.Draw(t, n), text.Draw(t, n), text.Draw(t, n), rapid.Uint64Range(0, 2).Draw(t, n), text.Draw(t, n), rapid.Int64Range(-1, 1).Draw(t, n), rapid.Int64Range(-1, 1).Draw(t, n)}
		}
		p, q := draw("p"), draw("q")
		require.Equal(t, p == q, bytes.Equal(p.append(nil), q.append(nil)))
	})
}

// The key derivation is the standard library's, byte for byte, for whatever is
// derived, and however many at once from one key.
func TestDerive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newTenantKey([16]byte{}, 1, [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key")))
		for range 3 {
			info := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "info")
			n := rapid.IntRange(1, 200).Draw(t, "length")
			want, err := hkdf.Expand(sha256.New, k.key()[:], string(info), n)
			require.NoError(t, err)
			got := make([]byte, n)
			k.expand(got, info)
			require.Equal(t, want, got)
		}
	})
	k, at := testKey(4), testPlace()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				s := &scratch{about: append(bytes.Repeat([]byte{7}, offWrapped), at.append(nil)...)}
				s.derive(k)
				if !bytes.Equal(s.okm[:], derived(t, k, s.about, s.about[offWrapped:])) {
					t.Error("derived something else")
				}
			}
		})
	}
	wg.Wait()
}

// A rewrapped envelope opens under the new key, at its place alone, and its body
// and data key are the same.
func TestRewrap(t *testing.T) {
	from, to, at := testKey(1), testKey(5), testPlace()
	sealed, err := seal(nil, from, at, []byte("password"))
	require.NoError(t, err)
	old, body := split(sealed)
	wrap, err := rewrap(from, to, at, old)
	require.NoError(t, err)
	require.Len(t, wrap, offBody)
	require.NotEqual(t, old[offSalt:offCommitment], wrap[offSalt:offCommitment])
	plain, err := open(nil, to, at, wrap, body)
	require.NoError(t, err)
	require.Equal(t, "password", string(plain))
	_, err = open(nil, from, at, wrap, body)
	require.ErrorIs(t, err, ErrTampered)
	other := at
	other.version++
	_, err = rewrap(from, to, other, old)
	require.ErrorIs(t, err, ErrTampered)
	_, err = rewrap(to, from, at, old)
	require.ErrorIs(t, err, ErrTampered)
	for i := range len(old) * 8 {
		bad := bytes.Clone(old)
		bad[i/8] ^= 1 << (i % 8)
		_, err := rewrap(from, to, at, bad)
		require.True(t, refused(err), "bit %d: %v", i, err)
	}
}

// Nothing of one seal or open is left in the memory that the next one gets.
func TestScratchIsCleared(t *testing.T) {
	k, at := testKey(1), testPlace()
	sealed, err := seal(nil, k, at, []byte("password"))
	require.NoError(t, err)
	_, err = openWhole(k, at, sealed)
	require.NoError(t, err)
	for range 100 {
		s := scratches.Get().(*scratch)
		require.Zero(t, s.fresh)
		require.Zero(t, s.okm)
	}
}

// evidence: P29
func TestSealAndOpenAllocateLittle(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	k, at, plain := testKey(1), testPlace(), make([]byte, 1000)
	sealed, err := seal(nil, k, at, plain)
	require.NoError(t, err)
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = seal(nil, k, at, plain) }), 5.0)
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() { _, _ = openWhole(k, at, sealed) }), 5.0)
}

// openWhole opens an envelope in one piece.
func openWhole(k *tenantKey, at place, sealed []byte) ([]byte, error) {
	wrap, body := split(sealed)
	return open(nil, k, at, wrap, body)
}

func FuzzOpen(f *testing.F) {
	// A vector and not a fresh envelope, which each of the fuzzer's processes
	// would have its own of.
	v := readVectors(f)[0]
	k, at, good := v.key, v.at, v.sealed
	f.Add(good)
	f.Add(good[:overhead])
	f.Add([]byte{1})
	f.Add([]byte{2, 1})
	f.Add(bytes.Repeat([]byte{1}, overhead))
	f.Fuzz(func(t *testing.T, b []byte) {
		kept := bytes.Clone(b)
		out, err := openWhole(k, at, b)
		require.Equal(t, kept, b, "opening alters nothing")
		switch {
		case err == nil:
			require.Equal(t, good, b, "only what was sealed opens")
		case !refused(err):
			t.Fatalf("an error without its type: %v", err)
		default:
			require.Nil(t, out)
		}
	})
}

func FuzzUnpackValue(f *testing.F) {
	f.Add(packValue([]byte(`{"kind":"basic"}`), []byte("password")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		scheme, value, err := unpackValue(b)
		if err != nil {
			require.ErrorIs(t, err, ErrTampered)
			return
		}
		require.True(t, bytes.Equal(b, packValue(scheme, value)))
	})
}

// The dialer pins the origin too: whatever passes the first check by a spelling
// that nobody thought of does not reach another host.
func TestDialerPinsTheOrigin(t *testing.T) {
	var w wires
	defer w.close()
	send := w.get("https://pin.example:443", nil, "")
	for _, u := range []string{"https://other.example/", "https://pin.example:444/", "http://pin.example/", "https://p\u0130n.example/"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
		require.NoError(t, err)
		_, err = send(r)
		require.ErrorIs(t, err, ErrOrigin, u)
	}
}

func TestWiresAreBounded(t *testing.T) {
	var w wires
	defer w.close()
	for i := range maxWires + 10 {
		w.get(fmt.Sprintf("https://h%d.example:443", i), nil, "")
	}
	require.Len(t, w.m, maxWires)
}

func TestOriginHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"https://A.example":             "https://a.example:443",
		"https://a.example:443/":        "https://a.example:443",
		"https://a.example:8443":        "https://a.example:8443",
		"https://[::1]:8443":            "https://[::1]:8443",
		"https://xn--bcher-kva.example": "https://xn--bcher-kva.example:443",
	} {
		got, err := ClientPolicy{Origin: in}.origin()
		require.NoError(t, err, in)
		require.Equal(t, want, got)
	}
	for _, bad := range []string{"", "a.example", "https://", "http://a.example", "ftp://a.example", "https://u:p@a.example", "https://a.example/x", "https://a.example?x",
		"https://a.example#x", "https://b\u00fccher.example", "https://p\u0130n.example", "https://\u212a.example", "http://127.0.0.1", "http://localhost", "://", "https://a b"} {
		_, err := ClientPolicy{Origin: bad}.origin()
		require.Error(t, err, bad)
	}
	for _, in := range []string{"http://127.0.0.1:80", "http://localhost:1", "http://[::1]"} {
		_, err := ClientPolicy{Origin: in, AllowLoopbackHTTP: true}.origin()
		require.NoError(t, err, in)
	}
	for _, bad := range []string{"http://a.example", "http://10.0.0.1", "http://localhost.example", "http://127.0.0.1.example", "http://0.0.0.0"} {
		_, err := ClientPolicy{Origin: bad, AllowLoopbackHTTP: true}.origin()
		require.Error(t, err, bad)
	}
	require.Empty(t, originOf(&url.URL{Scheme: "https", Host: "a\x00b"}))
}

// An answer that ends when its exchange is given up is not taken for whole.
func TestAnAnswerThatIsCutIsNotWhole(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	l := newAnswer(ctx, io.NopCloser(strings.NewReader("whole")), 100)
	b, err := io.ReadAll(l)
	require.NoError(t, err)
	require.Equal(t, "whole", string(b))
	l = newAnswer(ctx, io.NopCloser(strings.NewReader("half")), 100)
	giveUp()
	_, err = io.ReadAll(l)
	require.ErrorIs(t, err, context.Canceled)
}

func TestLimitedAtItsEdges(t *testing.T) {
	for _, c := range []struct {
		limit int64
		size  int
		ok    bool
	}{{0, 0, true}, {0, 1, false}, {10, 10, true}, {10, 11, false}, {10, 5000, false}, {math.MaxInt64, 5000, true}} {
		l := newLimited(http.NoBody, c.limit)
		r := bytes.NewReader(make([]byte, c.size))
		l.read = r.Read
		var out bytes.Buffer
		_, err := out.ReadFrom(l)
		if c.ok {
			require.NoError(t, err, "%+v", c)
			require.Equal(t, c.size, out.Len())
			continue
		}
		require.ErrorIs(t, err, ErrTooLarge, "%+v", c)
		require.LessOrEqual(t, int64(out.Len()), c.limit)
		_, err = l.Read(make([]byte, 1))
		require.ErrorIs(t, err, ErrTooLarge, "and stays so")
	}
}
