package secrets_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/internal/peers"
)

func jwk(k *ecdsa.PrivateKey) map[string]any {
	b64 := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.FillBytes(make([]byte, 32))) }
	return map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": b64(k.X), "y": b64(k.Y)}
}

// Against a provider that nobody here wrote: consent with PKCE, state and
// issuer, refresh tokens that may be used once, twenty users of one token in two
// processes, revocation there; and clients that prove themselves in four ways.
func TestAgainstOIDCProvider(t *testing.T) {
	const redirect, secret = "https://app.example/back", "Canary-client-secret/+ 7%"
	w := newWorld(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	client := func(id, auth string, more map[string]any) map[string]any {
		c := map[string]any{"client_id": id, "client_secret": secret, "token_endpoint_auth_method": auth, "grant_types": []string{"authorization_code", "refresh_token", "client_credentials"},
			"redirect_uris": []string{redirect}, "response_types": []string{"code"}, "scope": "openid offline_access"}
		for k, v := range more {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	o := peers.StartOIDC(t, 1000, client("by basic:", "client_secret_basic", nil), client("by post", "client_secret_post", nil),
		client("by key", "private_key_jwt", map[string]any{"client_secret": nil, "jwks": map[string]any{"keys": []any{jwk(key)}}, "token_endpoint_auth_signing_alg": "ES256"}),
		client("public", "none", map[string]any{"client_secret": nil, "grant_types": []string{"authorization_code", "refresh_token"}}))
	policy := secrets.ClientPolicy{Origin: o.Issuer, AllowLoopbackHTTP: true}
	type said struct {
		Who   string `json:"who"`
		Asked int    `json:"asked"`
	}
	seen := watch(secret)
	ask := func(h secrets.Handle) (int, said) {
		t.Helper()
		c, err := h.HTTPClient(t.Context(), policy)
		require.NoError(t, err)
		resp, err := c.Get(o.Issuer + "/api")
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		var v said
		require.NoError(t, json.Unmarshal(b, &v), "%s", b)
		require.Empty(t, walk(seen, c))
		return resp.StatusCode, v
	}
	w.clock.t = time.Now() // the provider's clock is real

	for _, c := range []struct {
		id    string
		auth  secrets.ClientAuth
		value string
	}{{"by basic:", secrets.ClientBasic, secret}, {"by post", secrets.ClientPost, secret}, {"by key", secrets.ClientJWT, keyPEM(t, key)}} {
		ref := newRef(t, "tenants/acme", c.id)
		s := secrets.Scheme{Kind: secrets.ClientCredentials, ClientID: c.id, ClientAuth: c.auth, TokenURL: o.Issuer + "/token"}
		if c.auth == secrets.ClientJWT {
			s.Algorithm = secrets.ES256
		}
		w.put(t, ref, c.value, secrets.PutOptions{Scheme: s})
		code, v := ask(w.handle(t, ref))
		require.Equal(t, 200, code)
		require.Equal(t, c.id, v.Who)
	}

	for _, c := range []struct {
		id    string
		auth  secrets.ClientAuth
		value string
	}{{"by basic:", "", secret}, {"public", "", ""}} {
		ref := newRef(t, "tenants/acme/users/7f3a", c.id)
		w.put(t, ref, c.value, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.OAuthCode, ClientID: c.id, ClientAuth: c.auth, AuthURL: o.Issuer + "/auth?prompt=consent", TokenURL: o.Issuer + "/token",
			RevokeURL: o.Issuer + "/token/revocation", RedirectURL: redirect, Issuer: o.Issuer, Scope: "openid offline_access"}})
		g := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
		consent := func() url.Values {
			t.Helper()
			address, err := w.safe.ConsentURL(t.Context(), g, ref, "ana@example.com")
			require.NoError(t, err)
			q := o.Consent(t, address, redirect)
			require.Empty(t, q.Get("error"), q.Get("error_description"))
			return q
		}
		q := consent()
		require.Equal(t, o.Issuer, q.Get("iss"))
		bad := url.Values{"code": q["code"], "state": q["state"], "iss": {"https://mix.example"}}
		require.ErrorIs(t, w.safe.ExchangeCode(t.Context(), g, ref, bad, nil), secrets.ErrState)
		q = consent()
		require.NoError(t, w.safe.ExchangeCode(t.Context(), g, ref, q, nil))
		require.ErrorIs(t, w.safe.ExchangeCode(t.Context(), g, ref, q, nil), secrets.ErrState)
		code, v := ask(w.handle(t, ref))
		require.Equal(t, 200, code)
		require.Equal(t, "ana", v.Who)

		other := w.open(t, w.keys, w.keys, w.store)
		asked := v.Asked
		for range 3 {
			w.clock.add(time.Hour)
			use := w.grant(t, "service:conn", "secrets.use", ref.Resource())
			var wg sync.WaitGroup
			for i := range 20 {
				h, err := []*secrets.Safe{w.safe, other}[i%2].Handle(use, ref)
				require.NoError(t, err)
				c, err := h.HTTPClient(t.Context(), policy)
				require.NoError(t, err)
				wg.Go(func() {
					if code, err := get(t, c, o.Issuer+"/api"); err != nil || code != 200 {
						t.Error(code, err)
					}
				})
			}
			wg.Wait()
		}
		_, v = ask(w.handle(t, ref))
		require.Equal(t, asked+3, v.Asked, "three refreshes for sixty uses")
		c2 := w.client(t, ref, policy)
		w.revoke(t, ref)
		_, err := get(t, c2, o.Issuer+"/api")
		require.ErrorIs(t, err, secrets.ErrNotFound)
	}
	rows, err := w.store.List(t.Context(), "", "", 100)
	require.NoError(t, err)
	for _, r := range rows {
		row, err := w.store.Load(t.Context(), r.Tenant, r.Name, 0)
		require.NoError(t, err)
		seen.check(t, r.Name, bytes.Join([][]byte{row.Tenant.HeadKey, row.Version.Wrap, row.Version.Body, []byte(r.Name)}, nil))
	}
}
