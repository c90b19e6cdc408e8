package secrets_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// keeping is a server that keeps whole requests.
type keeping struct {
	*server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	answer   http.HandlerFunc
}

func newKeeping(t testing.TB) *keeping {
	k := &keeping{}
	k.server = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.requests, k.bodies = append(k.requests, r), append(k.bodies, string(b))
		if k.answer != nil {
			k.answer(w, r)
		}
	})
	return k
}

func (k *keeping) last() (*http.Request, string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.requests[len(k.requests)-1], k.bodies[len(k.bodies)-1]
}

// A key in a header or in the query reaches the server and nobody else, also
// when the server redirects with the query it got.
//
// evidence: P30
func TestAPIKey(t *testing.T) {
	const key = "Canary+api/key=9%Tz~"
	c := watch(key)
	w, k := newWorld(t), newKeeping(t)
	other := newServer(t, nil)
	for name, s := range map[string]secrets.Scheme{
		"header": {Kind: secrets.APIKey, Header: "x-api-key"}, "prefix": {Kind: secrets.APIKey, Header: "Authorization", Prefix: "Token token="},
		"query": {Kind: secrets.APIKey, Query: "api_key"},
	} {
		ref := newRef(t, "tenants/acme", name)
		w.put(t, ref, key, secrets.PutOptions{Scheme: s})
		client := w.client(t, ref, k.policy())
		k.answer = func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/a":
				http.Redirect(w, r, "/b?"+r.URL.RawQuery, http.StatusFound)
			case "/away":
				w.Header().Set("Link", "<"+r.URL.String()+">; rel=self")
				http.Redirect(w, r, other.URL+"/?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
			}
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, k.URL+"/a?x=1%2c&api_key=mine&api%5Fkey=mine&y=%20+;", nil)
		require.NoError(t, err)
		r.Header.Set("X-Api-Key", "mine")
		r.Header.Set("Authorization", "mine")
		resp, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		got, _ := k.last()
		require.Equal(t, "/b", got.URL.Path)
		switch name {
		case "header":
			require.Equal(t, []string{key}, got.Header["X-Api-Key"])
			require.Empty(t, got.Header.Get("Authorization"))
		case "prefix":
			require.Equal(t, "Token token="+key, got.Header.Get("Authorization"))
		case "query":
			require.Equal(t, "x=1%2c&y=%20+;&api_key=Canary%2Bapi%2Fkey%3D9%25Tz~", got.URL.RawQuery, "the rest as it was written, the caller's own key gone")
			require.Empty(t, got.Header.Get("Authorization"))
		}
		for req := resp.Request; req != nil; {
			c.check(t, "request", fmt.Appendf(nil, "%s %v", req.URL, req.Header))
			if req.Response == nil {
				break
			}
			c.check(t, "redirect", fmt.Appendf(nil, "%v", req.Response.Header))
			req = req.Response.Request
		}
		require.Equal(t, "mine", r.Header.Get("Authorization"))
		_, err = client.Get(k.URL + "/away")
		require.ErrorIs(t, err, secrets.ErrOrigin)
		c.check(t, "error", []byte(err.Error()))
		_, err = client.Transport.RoundTrip((&http.Request{Method: http.MethodGet, URL: mustURL(t, k.URL+"/away")}).WithContext(t.Context())) //nolint:bodyclose // there is no answer
		require.ErrorIs(t, err, secrets.ErrOrigin)
		require.Empty(t, walk(c, client))
		c.check(t, "client", fmt.Appendf(nil, "%+v %#v", client, client.Transport))
	}
	require.Empty(t, other.seen())
}

// A request signed by a recipe verifies as the vendor would do it, with a body
// that can be read twice and with one that cannot.
func TestSignedRequest(t *testing.T) {
	const key = "Canary-recipe-key/0123456789"
	w, k := newWorld(t), newKeeping(t)
	host := strings.TrimPrefix(k.URL, "https://")
	at := w.clock.now()
	hexSum := func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	for name, c := range map[string]struct {
		s    secrets.Scheme
		text func(r *http.Request, body string) string // what the vendor signs
		sig  func(r *http.Request) string
	}{
		"plain": {secrets.Scheme{Algorithm: secrets.HS256, KeyID: "id-7", Recipe: secrets.Recipe{Text: "{method}\n{path}\n{query}\n{unix}\n{nonce}\n{body-sha256}",
			Headers: "X-Time: {unix}\nX-Nonce: {nonce}\nAuthorization: HMAC id={key-id}, sig={signature}"}},
			func(r *http.Request, body string) string {
				return strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, fmt.Sprint(at.Unix()), r.Header.Get("X-Nonce"), hexSum(body)}, "\n")
			},
			func(r *http.Request) string {
				return strings.TrimPrefix(r.Header.Get("Authorization"), "HMAC id=id-7, sig=")
			}},
		"headers": {secrets.Scheme{Algorithm: secrets.HS512, Recipe: secrets.Recipe{Text: "date: {header:Date}\nhost: {host}\ndigest: {header:Digest}", Encoding: "base64",
			Headers: "Date: {http-date}\nDigest: SHA-256={body-sha256-base64}\nX-Stamp: {iso8601} {unix-ms}\nX-Signature: {signature}"}},
			func(r *http.Request, body string) string {
				h := sha256.Sum256([]byte(body))
				return "date: " + at.Format(http.TimeFormat) + "\nhost: " + host + "\ndigest: SHA-256=" + base64.StdEncoding.EncodeToString(h[:])
			},
			func(r *http.Request) string { return r.Header.Get("X-Signature") }},
	} {
		ref := newRef(t, "tenants/acme", name)
		c.s.Kind = secrets.SignedRequest
		w.put(t, ref, key, secrets.PutOptions{Scheme: c.s})
		client := w.client(t, ref, k.policy())
		for _, body := range []io.Reader{nil, http.NoBody, strings.NewReader("twice"), io.MultiReader(strings.NewReader("once"))} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, k.URL+"/a%2Fb/c?q=1&p=%20", body)
			require.NoError(t, err)
			r.Header.Set("Authorization", "mine")
			r.Header.Set("X-Nonce", "mine")
			_, err = send(client, r)
			require.NoError(t, err)
			got, text := k.last()
			m := hmac.New(sha256.New, []byte(key))
			if c.s.Algorithm == secrets.HS512 {
				m = hmac.New(sha512.New, []byte(key))
			}
			m.Write([]byte(c.text(got, text)))
			want := hex.EncodeToString(m.Sum(nil))
			if c.s.Recipe.Encoding == "base64" {
				want = base64.StdEncoding.EncodeToString(m.Sum(nil))
			}
			require.Equal(t, want, c.sig(got), name)
			require.Contains(t, []string{"", "twice", "once"}, text)
			require.NotContains(t, got.Header.Get("Authorization"), "mine")
			watch(key).check(t, "request", fmt.Appendf(nil, "%v", got.Header))
		}
		before := len(k.requests)
		big := io.MultiReader(bytes.NewReader(make([]byte, 8<<20+1)))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, k.URL, big)
		require.NoError(t, err)
		_, err = send(client, r)
		require.ErrorIs(t, err, secrets.ErrTooLarge)
		require.Len(t, k.requests, before)
	}
}

func FuzzRecipe(f *testing.F) {
	f.Add("{method}\n{path}", "X-S: {signature}")
	f.Add("{header:X", "a:b\n{signature}")
	w := newWorld(f)
	k := newKeeping(f)
	ref := newRef(f, "tenants/acme", "x")
	g := w.grant(f, "user:idp/admin", "secrets.write", ref.Resource())
	f.Fuzz(func(t *testing.T, text, headers string) {
		err := w.safe.Put(t.Context(), g, ref, []byte("0123456789abcdef"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256,
			Recipe: secrets.Recipe{Text: text, Headers: headers}}})
		if err != nil {
			require.ErrorContains(t, err, "recipe")
			return
		}
		h, err := w.safe.Handle(w.grant(t, "service:conn", "secrets.use", ref.Resource()), ref)
		require.NoError(t, err)
		c, err := h.HTTPClient(t.Context(), k.policy())
		require.NoError(t, err)
		_, err = get(t, c, k.URL)
		require.NoError(t, err, "what was taken in can be used")
	})
}
