package leaktest_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	_ "github.com/ncruces/go-sqlite3/driver"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var seedFlag = flag.Uint64("leaktest.seed", 0, "seed of the planted leaks; 0: a new one")

func newRand(t testing.TB) (*rand.Rand, uint64) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-leaktest.seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 1)), seed
}

func scanner(t testing.TB, canaries ...string) *leaktest.Scanner {
	t.Helper()
	s, err := leaktest.New(canaries)
	require.NoError(t, err)
	return s
}

// spelling writes a secret in some way, with nothing of the scanner's own code.
type spelling struct {
	name  string
	write func(r *rand.Rand, v string) string
}

// binary: what a text cannot hold.
func (s spelling) binary() bool {
	return slices.Contains([]string{"UTF-16LE", "UTF-16BE", "gzip", "zlib", "SHA-512", "reversed"}, s.name)
}

// packed: what a database cuts into pages cannot be unpacked again.
func (s spelling) packed() bool {
	return slices.Contains([]string{"gzip", "zlib", "deflate in base64"}, s.name)
}

// of reports whether a canary can be written so: half of a key or token in a
// structure of its own is as good as any text.
func (s spelling) of(canary string) bool {
	return !strings.HasSuffix(s.name, " half") || !strings.HasPrefix(canary, "-----BEGIN") && !strings.HasPrefix(canary, "eyJ")
}

// mix escapes some characters, whole ones: a log would not write part of one.
func mix(r *rand.Rand, v string, escape func(c byte) string, must func(c byte) bool) string {
	var b strings.Builder
	for len(v) > 0 {
		_, n := utf8.DecodeRuneInString(v)
		some := r.IntN(3) == 0 || slices.ContainsFunc([]byte(v[:n]), must)
		for _, c := range []byte(v[:n]) {
			if some {
				b.WriteString(escape(c))
			} else {
				b.WriteByte(c)
			}
		}
		v = v[n:]
	}
	return b.String()
}

func spellings() []spelling {
	always := func(f func(string) string) func(*rand.Rand, string) string {
		return func(_ *rand.Rand, v string) string { return f(v) }
	}
	around := func(f func(string) string) func(*rand.Rand, string) string { // inside something longer, at any offset
		return func(r *rand.Rand, v string) string {
			return f("user@example.com:"[r.IntN(17):] + v + "; and more"[:r.IntN(10)])
		}
	}
	wide := func(v string, swap bool) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(v)) {
			lo, hi := byte(u), byte(u>>8)
			if swap {
				lo, hi = hi, lo
			}
			b = append(b, lo, hi)
		}
		return string(b)
	}
	pack := func(w io.WriteCloser, b *bytes.Buffer, v string) string {
		if _, err := io.WriteString(w, v); err != nil {
			panic(err)
		}
		if err := w.Close(); err != nil {
			panic(err)
		}
		return b.String()
	}
	reverse := func(v string) string {
		b := []byte(v)
		slices.Reverse(b)
		return string(b)
	}
	sum := func(h func(v []byte) []byte) func(string) string {
		return func(v string) string { return string(h([]byte(v))) }
	}
	return []spelling{
		{"plain", always(func(v string) string { return v })},
		{"hex", always(func(v string) string { return hex.EncodeToString([]byte(v)) })},
		{"HEX", always(func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) })},
		{"spaced hex", always(func(v string) string { return fmt.Sprintf("% X", v) })},
		{"base64", around(func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) })},
		{"base64url", around(func(v string) string { return base64.URLEncoding.EncodeToString([]byte(v)) })},
		{"raw base64url", around(func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) })},
		{"base64 in lines", around(func(v string) string {
			return string(pem.EncodeToMemory(&pem.Block{Type: "X", Bytes: []byte(v)}))
		})},
		{"base64 of base64", around(func(v string) string {
			return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(v))))
		})},
		{"base32", around(func(v string) string { return base32.StdEncoding.EncodeToString([]byte(v)) })},
		{"base32hex", around(func(v string) string { return strings.ToLower(base32.HexEncoding.EncodeToString([]byte(v))) })},
		{"query", always(url.QueryEscape)},
		{"path", always(url.PathEscape)},
		{"all percent", func(r *rand.Rand, v string) string {
			return mix(r, v, func(c byte) string { return fmt.Sprintf("%%%02x", c) }, func(byte) bool { return true })
		}},
		{"some percent", func(r *rand.Rand, v string) string {
			return mix(r, v, func(c byte) string { return fmt.Sprintf("%%%02X", c) }, func(c byte) bool { return c == '%' })
		}},
		{"JSON", always(func(v string) string {
			b, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			return string(b)
		})},
		{"JSON in JSON", always(func(v string) string {
			b, _ := json.Marshal(v)
			b, _ = json.Marshal(map[string]string{"body": string(b)})
			return string(b)
		})},
		{"query in JSON", always(func(v string) string {
			b, _ := json.Marshal("https://x.example/?q=" + url.QueryEscape(v) + "&")
			return string(b)
		})},
		{"quoted", always(strconv.Quote)},
		{"quoted ASCII", always(strconv.QuoteToASCII)},
		{"all \\x", func(r *rand.Rand, v string) string {
			return mix(r, v, func(c byte) string { return fmt.Sprintf(`\x%02x`, c) }, func(byte) bool { return true })
		}},
		{"octal", func(r *rand.Rand, v string) string {
			return mix(r, v, func(c byte) string { return fmt.Sprintf(`\%03o`, c) }, func(c byte) bool { return c > 0x7e || c < ' ' || c == '\\' })
		}},
		{"bytes", always(func(v string) string { return fmt.Sprint([]byte(v)) })},
		{"bytes in Go", always(func(v string) string { return fmt.Sprintf("%#v", []byte(v)) })},
		{"bytes in JSON", always(func(v string) string { return strings.ReplaceAll(fmt.Sprint([]byte(v)), " ", ",") })},
		{"XML", always(func(v string) string {
			var b bytes.Buffer
			if err := xml.EscapeText(&b, []byte(v)); err != nil {
				panic(err)
			}
			return b.String()
		})},
		{"HTML", always(html.EscapeString)},
		{"all entities", always(func(v string) string {
			var b strings.Builder
			for _, c := range v {
				fmt.Fprintf(&b, "&#x%x;", c)
			}
			return b.String()
		})},
		{"quoted-printable", around(func(v string) string {
			var b bytes.Buffer
			return pack(quotedprintable.NewWriter(&b), &b, v)
		})},
		{"UTF-16LE", always(func(v string) string { return wide(v, false) })},
		{"UTF-16BE", always(func(v string) string { return wide(v, true) })},
		{"reversed", always(reverse)},
		{"upper case", always(strings.ToUpper)},
		{"lower case", always(strings.ToLower)},
		{"first half", always(func(v string) string { return v[:whole(v, len(v)/2, 1)] })},
		{"last half", always(func(v string) string { return v[whole(v, len(v)-len(v)/2, -1):] })},
		{"Basic", always(func(v string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte("ana:"+v)) })},
		{"gzip", func(r *rand.Rand, v string) string {
			var b bytes.Buffer
			return pack(gzip.NewWriter(&b), &b, filler(r, 100+r.IntN(9000))+v+filler(r, 100))
		}},
		{"zlib", func(r *rand.Rand, v string) string {
			var b bytes.Buffer
			return pack(zlib.NewWriter(&b), &b, filler(r, 100+r.IntN(9000))+v+filler(r, 100))
		}},
		{"deflate in base64", func(r *rand.Rand, v string) string { // as SAML's redirect binding does
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, 6)
			return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(pack(w, &b, "<saml>"+filler(r, 300)+v))))
		}},
		{"MD5", always(sum(func(v []byte) []byte { h := md5.Sum(v); return []byte(hex.EncodeToString(h[:])) }))},
		{"SHA-1", always(sum(func(v []byte) []byte { h := sha1.Sum(v); return []byte(base64.StdEncoding.EncodeToString(h[:])) }))},
		{"SHA-256", always(sum(func(v []byte) []byte { h := sha256.Sum256(v); return []byte(fmt.Sprintf("%X", h)) }))},
		{"SHA-512", always(sum(func(v []byte) []byte { h := sha512.Sum512(v); return h[:] }))},
	}
}

// filler is text that looks like what leaks are found among.
func filler(r *rand.Rand, n int) string {
	var b strings.Builder
	words := []string{"time=2026-05-01T12:00:00Z", "level=INFO", "msg=\"request done\"", "path=/api/v2/contacts?$top=50&$skip=%20100", "status=200", "id=7f3a-99", "\n", "{\"a\":\"b\\\"c\"}",
		"<x a=\"1\">&amp;</x>", "Authorization: [withheld]", "goroutine 12 [running]:", "0xc000123456", "[1 2 3 97 110]", "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", "=?utf-8?q?a=20b?=", "\t", "tenants/acme/secrets/crm"}
	for b.Len() < n {
		switch r.IntN(8) {
		case 0:
			fmt.Fprintf(&b, "%x ", r.Uint64())
		case 1:
			fmt.Fprintf(&b, "%s ", base64.StdEncoding.EncodeToString([]byte(words[r.IntN(len(words))]+strconv.Itoa(r.Int()))))
		default:
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
	}
	return b.String()
}

// container writes a file with a text somewhere inside.
type container struct {
	name  string
	write func(t testing.TB, r *rand.Rand, dir, text string)
}

// text: what cannot hold anything but text.
func (c container) text() bool {
	return slices.Contains([]string{"text log", "JSON log", "panic"}, c.name)
}

func (c container) pages() bool { return c.name == "SQLite" || c.name == "WAL" }

func containers() []container {
	file := func(t testing.TB, dir, name string, b []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	sqlite := func(keepWAL bool) func(t testing.TB, r *rand.Rand, dir, text string) {
		return func(t testing.TB, r *rand.Rand, dir, text string) {
			work := t.TempDir()
			db, err := sql.Open("sqlite3", "file:"+filepath.Join(work, "x.db"))
			require.NoError(t, err)
			defer db.Close()
			db.SetMaxOpenConns(1)
			for _, q := range []string{"PRAGMA journal_mode=wal", "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)"} {
				_, err = db.Exec(q)
				require.NoError(t, err)
			}
			n := 2 + r.IntN(5)
			for i := range n {
				v := filler(r, 10+r.IntN(9000))
				if i == n/2 {
					v += text + filler(r, 10)
				}
				_, err = db.Exec("INSERT INTO t (v) VALUES (?)", []byte(v))
				require.NoError(t, err)
			}
			if keepWAL {
				b, err := os.ReadFile(filepath.Join(work, "x.db-wal"))
				require.NoError(t, err)
				file(t, dir, "x.db-wal", b)
				return
			}
			require.NoError(t, db.Close())
			b, err := os.ReadFile(filepath.Join(work, "x.db"))
			require.NoError(t, err)
			file(t, dir, "x.db", b)
		}
	}
	return []container{
		{"log", func(t testing.TB, r *rand.Rand, dir, text string) {
			file(t, dir, "a.log", []byte(filler(r, r.IntN(60_000))+text+filler(r, r.IntN(3000))))
		}},
		{"text log", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", filler(r, 200), "err", errors.New("what: "+text))
			file(t, dir, "a.log", b.Bytes())
		}},
		{"JSON log", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", filler(r, 200), "err", errors.New("what: "+strings.ToValidUTF8(text, "?")))
			file(t, dir, "a.jsonl", b.Bytes())
		}},
		{"SQLite", sqlite(false)},
		{"WAL", sqlite(true)},
		{"JSON", func(t testing.TB, r *rand.Rand, dir, text string) {
			b, err := json.Marshal(map[string]any{"rows": []any{filler(r, 300), map[string]any{"raw": []byte(filler(r, r.IntN(50)) + text)}}})
			require.NoError(t, err)
			file(t, dir, "a.json", b)
		}},
		{"gob", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			require.NoError(t, gob.NewEncoder(&b).Encode(struct {
				A string
				B map[string][]byte
			}{filler(r, 300), map[string][]byte{"x": []byte(text)}}))
			file(t, dir, "a.gob", b.Bytes())
		}},
		{"tar.gz", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for i := range 3 {
				body := filler(r, r.IntN(30_000))
				if i == 1 {
					body += text + filler(r, 30)
				}
				require.NoError(t, w.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Size: int64(len(body)), Mode: 0o600}))
				_, err := io.WriteString(w, body)
				require.NoError(t, err)
			}
			require.NoError(t, w.Close())
			require.NoError(t, z.Close())
			file(t, dir, "a.tar.gz", b.Bytes())
		}},
		{"zip", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			w := zip.NewWriter(&b)
			f, err := w.Create("sheet.xml")
			require.NoError(t, err)
			_, err = io.WriteString(f, filler(r, 1000)+text)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			file(t, dir, "a.xlsx", b.Bytes())
		}},
		{"panic", func(t testing.TB, r *rand.Rand, dir, text string) {
			file(t, dir, "crash.txt", fmt.Appendf(nil, "panic: main.E{v:%q} [recovered]\n\tpanic: again\n\ngoroutine 1 [running]:\nmain.f(%#x)\n\t/src/x.go:%d +0x1d\n%s", text, r.Uint64(), r.IntN(99), filler(r, 300)))
		}},
		{"traffic", func(t testing.TB, r *rand.Rand, dir, text string) {
			req := httptest.NewRequest(http.MethodPost, "/x", strings.NewReader(filler(r, r.IntN(500))+text))
			req.Header.Set("X-Filler", url.PathEscape(filler(r, 100)))
			b, err := httputil.DumpRequest(req, true)
			require.NoError(t, err)
			file(t, dir, "capture", b)
		}},
		{"compressed traffic", func(t testing.TB, r *rand.Rand, dir, text string) {
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, 9)
			require.NoError(t, err)
			_, err = io.WriteString(w, filler(r, r.IntN(5000))+text)
			require.NoError(t, err)
			require.NoError(t, w.Close())
			file(t, dir, "capture", append([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n"), b.Bytes()...))
		}},
		{"binary", func(t testing.TB, r *rand.Rand, dir, text string) {
			file(t, dir, "heap", []byte(noise(r, 200_000+r.IntN(2_000_000))+text+noise(r, 50_000)))
		}},
	}
}

// whole moves a cut out of a character, which a log would not write in part.
func whole(v string, at, by int) int {
	for at > 0 && at < len(v) && utf8.ValidString(v) && !utf8.RuneStart(v[at]) {
		at += by
	}
	return at
}

func noise(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

const planted = 500

// The scanner finds each of 500 leaks, and none in 500 files like them. Without
// this no test that finds nothing proves anything.
//
// evidence: P30
func TestTheScannerFindsPlantedLeaks(t *testing.T) {
	r, seed := newRand(t)
	canaries := leaktest.Canaries(seed, 1000)
	s := scanner(t, canaries...)
	ways, places := spellings(), containers()
	for i := range planted {
		way, place := ways[i%len(ways)], places[r.IntN(len(places))]
		which := r.IntN(len(canaries))
		for way.binary() && place.text() || way.packed() && place.pages() || !way.of(canaries[which]) {
			place, which = places[r.IntN(len(places))], r.IntN(len(canaries))
		}
		what := fmt.Sprintf("leak %d: canary %d as %s in %s", i, which, way.name, place.name)
		dir := t.TempDir()
		place.write(t, r, dir, way.write(r, canaries[which]))
		found, err := s.Path(dir)
		require.NoError(t, err, what)
		require.True(t, slices.ContainsFunc(found, func(f leaktest.Finding) bool { return f.Canary == which }), what)
		for _, f := range found {
			require.Equal(t, which, f.Canary, what)
			require.NotContains(t, f.String(), canaries[which])
		}
	}
	for i := range planted {
		place := places[i%len(places)]
		dir := t.TempDir()
		other := leaktest.Canaries(rand.Uint64(), 1)[0] // a secret, but none of ours
		place.write(t, r, dir, ways[r.IntN(len(ways))].write(r, other))
		found, err := s.Path(dir)
		require.NoError(t, err)
		require.Empty(t, found, "clean file %d: %s", i, place.name)
	}
}

// Every spelling, of every kind of canary.
func TestEverySpellingOfEveryKind(t *testing.T) {
	r, seed := newRand(t)
	canaries := leaktest.Canaries(seed, 44)
	s := scanner(t, canaries...)
	for _, way := range spellings() {
		for i, c := range canaries {
			if !way.of(c) {
				continue
			}
			found, err := s.Bytes([]byte(filler(r, 40) + way.write(r, c) + " " + filler(r, 40)))
			require.NoError(t, err)
			require.NotEmpty(t, found, "%s of %d", way.name, i)
			for _, f := range found {
				require.Equal(t, i, f.Canary)
			}
		}
	}
}

func TestSplitWrites(t *testing.T) {
	r, seed := newRand(t)
	c := leaktest.Canaries(seed, 11)
	s := scanner(t, c...)
	for i := range c {
		for _, way := range spellings() {
			if !way.of(c[i]) {
				continue
			}
			w := s.Writer()
			text := []byte(filler(r, 1000) + way.write(r, c[i]) + " " + filler(r, 1000))
			for len(text) > 0 {
				n := 1 + r.IntN(min(len(text), 7))
				_, err := w.Write(text[:n])
				require.NoError(t, err)
				text = text[n:]
			}
			found, err := w.Close()
			require.NoError(t, err)
			require.NotEmpty(t, found, "%d as %s", i, way.name)
		}
	}
}

// Where the blocks end in which a long file is scanned makes no difference.
func TestAtEveryPlaceOfALongFile(t *testing.T) {
	r, seed := newRand(t)
	c := leaktest.Canaries(seed, 11)
	s := scanner(t, c...)
	pad := []byte(noise(r, 5<<20))
	ways := spellings()
	for i := range 60 {
		way := ways[i%len(ways)]
		if !way.of(c[i%len(c)]) {
			continue
		}
		text := []byte(way.write(r, c[i%len(c)]))
		block := 1 << 20
		at := block*(1+i%4) + 16<<10*(i%3) - len(text) + r.IntN(2*len(text))
		file := slices.Concat(pad[:at], text, []byte(" "), pad[at:])
		found, err := s.Bytes(file)
		require.NoError(t, err)
		require.NotEmpty(t, found, "%s at %d", way.name, at)
		require.InDelta(t, at, found[0].Offset, float64(len(text)+32<<10))
	}
}

// A packed part larger than any block is scanned to its end.
func TestPackedPartsOfAnyLength(t *testing.T) {
	r, seed := newRand(t)
	c := leaktest.Canaries(seed, 5)
	s := scanner(t, c...)
	var b bytes.Buffer
	b.WriteString(filler(r, 3000))
	z := gzip.NewWriter(&b)
	for range 20 {
		_, err := io.WriteString(z, noise(r, 1<<18))
		require.NoError(t, err)
	}
	_, err := io.WriteString(z, c[3])
	require.NoError(t, err)
	require.NoError(t, z.Close())
	b.WriteString(noise(r, 3000) + c[1])
	found, err := s.Reader(iotest.HalfReader(&b))
	require.NoError(t, err)
	require.Equal(t, 3, found[0].Canary)
	require.Contains(t, found[0].Form, "in gzip")
	require.Equal(t, 1, found[len(found)-1].Canary)
}

// Memory does not grow with what is scanned.
func TestScanOfAHugeFileNeedsLittleMemory(t *testing.T) {
	_, seed := newRand(t)
	s := scanner(t, leaktest.Canaries(seed, 20)...)
	line := []byte(strings.Repeat("a line of a log that goes on, and on; ", 1000))
	var most uint64
	n := 0
	found, err := s.Reader(readFunc(func(p []byte) (int, error) {
		if n++; n > 6000 {
			return 0, io.EOF
		}
		if n%500 == 0 {
			most = max(most, heap())
		}
		return copy(p, line), nil
	}))
	require.NoError(t, err)
	require.Empty(t, found)
	require.Less(t, most, uint64(64<<20))
}

func TestACanaryMustSaySomething(t *testing.T) {
	_, err := leaktest.New(nil)
	require.ErrorContains(t, err, "no canaries")
	_, err = leaktest.New([]string{"long enough", "short"})
	require.ErrorContains(t, err, "canary 1: want at least 8 bytes")
	require.NotContains(t, err.Error(), "short")
	_, err = leaktest.New([]string{"long enough", "as long as", "long enough"})
	require.ErrorContains(t, err, "canary 2 is canary 0 again")
}

func TestCanariesComeFromTheirSeed(t *testing.T) {
	a, b := leaktest.Canaries(7, 100), leaktest.Canaries(7, 100)
	require.Equal(t, a, b)
	require.NotEqual(t, a, leaktest.Canaries(8, 100))
	seen := map[string]bool{}
	for _, c := range a {
		require.GreaterOrEqual(t, len(c), 16)
		require.False(t, seen[c])
		seen[c] = true
	}
}

func TestTheScannerPrintsNoCanary(t *testing.T) {
	c := leaktest.Canaries(1, 3)
	s := scanner(t, c...)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "scanner for 3 canaries", fmt.Sprintf(verb, s))
	}
}

// A test that checks fails, and says which and how, not what.
func TestCheckFailsTheTest(t *testing.T) {
	c := leaktest.Canaries(1, 3)
	s := scanner(t, c...)
	rec := &recorder{TB: t}
	s.Check(rec, "log", []byte("nothing"))
	require.Empty(t, rec.text)
	s.Check(rec, "log", []byte("x "+hex.EncodeToString([]byte(c[2]))))
	require.Contains(t, rec.text, "log shows secrets:\ncanary 2 as hex at 2")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte(c[1]), 0o600))
	s.CheckPath(rec, dir)
	require.Contains(t, rec.text, "canary 1 as plain "+filepath.Join(dir, "f")+" at 0")
	s.CheckPath(rec, filepath.Join(dir, "absent"))
	require.Contains(t, rec.text, "no such file")
	require.NotContains(t, rec.text, c[1])
	require.NotContains(t, rec.text, c[2])
	// A name of a file is a place too.
	require.NoError(t, os.WriteFile(filepath.Join(dir, url.PathEscape(c[0])), nil, 0o600))
	found, err := s.Path(dir)
	require.NoError(t, err)
	require.Len(t, found, 2)
}

type recorder struct {
	testing.TB
	text string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) + "\n" }

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// 1,000 canaries; bytes a second of each kind of content.
func BenchmarkScan(b *testing.B) {
	s := scanner(b, leaktest.Canaries(1, 1000)...)
	r := rand.New(rand.NewPCG(1, 2))
	for name, text := range map[string][]byte{"binary": []byte(noise(r, 8<<20)), "log": requests(r, 8<<20), "escapes": []byte(filler(r, 8<<20)), "plain": bytes.Repeat([]byte("Nothing to be seen here, and no sign of it. "), 1<<18)} {
		b.Run("content="+name, func(b *testing.B) {
			var from, to syscall.Rusage // other work on the machine counts as little as it can
			n := 0
			_, _ = s.Bytes(text)
			require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &from))
			for b.Loop() {
				if found, err := s.Bytes(text); err != nil || len(found) > 0 {
					b.Fatal(found, err)
				}
				n++
			}
			require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &to))
			cpu := time.Duration(to.Utime.Nano() + to.Stime.Nano() - from.Utime.Nano() - from.Stime.Nano())
			b.ReportMetric(float64(n*len(text))/1e6/cpu.Seconds(), "MB/cpu-s")
		})
	}
}

// requests are lines as a server logs them.
func requests(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	l := slog.New(slog.NewJSONHandler(&b, nil))
	for b.Len() < n {
		l.Info("request done", "method", "GET", "url", fmt.Sprintf("https://crm.example/odata/ContactCollection('%d')?$select=ID", r.IntN(1e6)), "status", 200, "took", r.Int(), "trace", fmt.Sprintf("%016x", r.Uint64()))
		l.Warn("record refused", "ref", "tenants/acme/users/7f3a", "err", fmt.Sprintf("sync: create %q: not accepted", fmt.Sprint(r.IntN(1e6))))
	}
	return b.Bytes()
}

func BenchmarkNew(b *testing.B) {
	c := leaktest.Canaries(1, 1000)
	for b.Loop() {
		_ = scanner(b, c...)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
