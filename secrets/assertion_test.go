package secrets_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// jwt takes a JWT apart and verifies it with a public key or an HMAC key.
func jwt(t *testing.T, text string, key any) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(text, ".")
	require.Len(t, parts, 3)
	for i, into := range []*map[string]any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, into))
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	require.NoError(t, err)
	signed := []byte(parts[0] + "." + parts[1])
	sum := sha256.Sum256(signed)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if head["alg"] == "PS256" {
			require.NoError(t, rsa.VerifyPSS(k, crypto.SHA256, sum[:], sig, &rsa.PSSOptions{SaltLength: 32}))
		} else {
			require.Equal(t, "RS256", head["alg"])
			require.NoError(t, rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig))
		}
	case *ecdsa.PublicKey:
		require.Equal(t, "ES256", head["alg"])
		require.Len(t, sig, 64)
		require.True(t, ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])))
	case ed25519.PublicKey:
		require.Equal(t, "EdDSA", head["alg"])
		require.True(t, ed25519.Verify(k, signed, sig))
	case []byte:
		m := hmac.New(sha256.New, k)
		if head["alg"] == "HS512" {
			m = hmac.New(sha512.New, k)
		}
		m.Write(signed)
		require.True(t, hmac.Equal(m.Sum(nil), sig))
	default:
		t.Fatalf("%T", key)
	}
	return head, claims
}

// Client credentials: by secret in the header, in the form, by signed assertion,
// by certificate as Microsoft has it; and a service account in a user's name.
func TestClientsProveThemselves(t *testing.T) {
	w, b := newWorld(t), newBank(t)
	base := secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: b.URL + "/token", ClientID: "the client:7", Scope: "a b"}
	n := 0
	use := func(ref secrets.Ref) (url.Values, string) {
		t.Helper()
		code, err := get(t, w.client(t, ref, b.policy()), b.URL+"/api")
		require.NoError(t, err)
		require.Equal(t, 200, code)
		n++
		require.Equal(t, n, b.exchanged())
		return b.forms[n-1], b.users[n-1]
	}
	const secret = "s3cr&t/+ x-Canary"
	for _, auth := range []secrets.ClientAuth{"", secrets.ClientBasic, secrets.ClientPost} {
		for _, value := range []string{secret, string(pem.EncodeToMemory(&pem.Block{Type: "CLIENT SECRET", Bytes: []byte(secret)}))} {
			ref := newRef(t, "tenants/acme", string(auth)+value[:3])
			s := base
			s.ClientAuth = auth
			w.put(t, ref, value, secrets.PutOptions{Scheme: s})
			form, user := use(ref)
			require.Equal(t, "client_credentials", form.Get("grant_type"))
			require.Equal(t, "a b", form.Get("scope"))
			if auth == secrets.ClientPost {
				require.Equal(t, []string{"the client:7", secret, " "}, []string{form.Get("client_id"), form.Get("client_secret"), user})
			} else {
				require.Equal(t, url.QueryEscape("the client:7")+" "+url.QueryEscape(secret), user, "escaped before Basic")
				require.False(t, form.Has("client_secret"))
			}
		}
	}
	for _, alg := range []secrets.Algorithm{secrets.RS256, secrets.PS256, secrets.ES256, secrets.EdDSA} {
		ref := newRef(t, "tenants/acme", "jwt"+string(alg))
		s := base
		s.ClientAuth, s.Algorithm, s.KeyID = secrets.ClientJWT, alg, "key-1"
		cert := w.generate(t, ref, secrets.PutOptions{Scheme: s})
		form, user := use(ref)
		require.Equal(t, " ", user)
		require.Equal(t, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", form.Get("client_assertion_type"))
		head, claims := jwt(t, form.Get("client_assertion"), cert.PublicKey)
		sum := sha256.Sum256(cert.Raw)
		require.Equal(t, map[string]any{"alg": string(alg), "typ": "JWT", "kid": "key-1", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}, head)
		now := float64(w.clock.now().Unix())
		require.Len(t, claims["jti"], 26)
		delete(claims, "jti")
		require.Equal(t, map[string]any{"iss": "the client:7", "sub": "the client:7", "aud": b.URL + "/token", "iat": now - 30, "nbf": now - 30, "exp": now + 270}, claims)
	}
	for i, subject := range []string{"ana@example.com", ""} {
		_, key, _ := signingKey(t)
		block, _ := pem.Decode([]byte(key))
		file, err := json.Marshal(map[string]string{"type": "service_account", "private_key": key, "client_email": "robot@project.example", "token_uri": b.URL + "/token"})
		require.NoError(t, err)
		value := []string{key, string(file)}[i]
		ref := newRef(t, "tenants/acme", "account"+subject)
		w.put(t, ref, value, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: b.URL + "/token", Issuer: "robot@project.example", Subject: subject,
			Scope: "https://mail.google.com/", Algorithm: secrets.RS256, KeyID: "abc", Lifetime: time.Hour}})
		form, user := use(ref)
		require.Equal(t, " ", user)
		require.Equal(t, "urn:ietf:params:oauth:grant-type:jwt-bearer", form.Get("grant_type"))
		require.False(t, form.Has("scope") || form.Has("client_id"))
		p8, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		require.NoError(t, err)
		head, claims := jwt(t, form.Get("assertion"), &p8.(*rsa.PrivateKey).PublicKey)
		require.Equal(t, map[string]any{"alg": "RS256", "typ": "JWT", "kid": "abc"}, head)
		now := float64(w.clock.now().Unix())
		delete(claims, "jti")
		if subject == "" {
			subject = "robot@project.example"
		}
		require.Equal(t, map[string]any{"iss": "robot@project.example", "sub": subject, "aud": b.URL + "/token", "scope": "https://mail.google.com/", "iat": now - 30, "exp": now + 3570}, claims)
	}
	require.NotContains(t, strings.Join(b.seen(), " "), secret)
}

// Every signature verifies with the public key that Generate gave out; the
// algorithm is the scheme's, and a key does what its kind says and nothing else.
func TestSign(t *testing.T) {
	w := newWorld(t)
	message := []byte("what the caller brings")
	sum := sha256.Sum256(message)
	for _, alg := range []secrets.Algorithm{secrets.RS256, secrets.PS256, secrets.ES256, secrets.EdDSA} {
		ref := newRef(t, "tenants/acme", string(alg))
		pub := w.generate(t, ref, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.SigningKey, Algorithm: alg}}).PublicKey
		h := w.handle(t, ref)
		verify := func(sig []byte) bool {
			switch k := pub.(type) {
			case *rsa.PublicKey:
				if alg == secrets.PS256 {
					return rsa.VerifyPSS(k, crypto.SHA256, sum[:], sig, &rsa.PSSOptions{SaltLength: 32}) == nil
				}
				return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
			case *ecdsa.PublicKey:
				return ecdsa.VerifyASN1(k, sum[:], sig)
			}
			return ed25519.Verify(pub.(ed25519.PublicKey), message, sig)
		}
		sig, err := h.Sign(t.Context(), message)
		require.NoError(t, err)
		require.True(t, verify(sig), alg)
		sig, err = h.SignDigest(t.Context(), sum[:])
		if alg == secrets.EdDSA {
			require.ErrorContains(t, err, "digest")
		} else {
			require.NoError(t, err)
			require.True(t, verify(sig), alg)
		}
		_, err = h.SignDigest(t.Context(), sum[:31])
		require.ErrorContains(t, err, "digest")
		_, err = h.HMAC(t.Context(), message)
		require.ErrorContains(t, err, "not for that")
		_, err = h.MintJWT(t.Context(), nil)
		require.ErrorContains(t, err, "not for that", "who may sign anything could sign a JWT, but by that name it is not done")
		_, err = h.HTTPClient(t.Context(), secrets.ClientPolicy{Origin: "https://x.example"})
		require.ErrorContains(t, err, "not for requests")
	}
	key := []byte("0123456789abcdef-Canary")
	for alg, h := range map[secrets.Algorithm]func() []byte{
		secrets.HS256: func() []byte { m := hmac.New(sha256.New, key); m.Write(message); return m.Sum(nil) },
		secrets.HS512: func() []byte { m := hmac.New(sha512.New, key); m.Write(message); return m.Sum(nil) },
	} {
		ref := newRef(t, "tenants/acme", string(alg))
		w.put(t, ref, string(key), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: alg}})
		got, err := w.handle(t, ref).HMAC(t.Context(), message)
		require.NoError(t, err)
		require.Equal(t, h(), got)
		_, err = w.handle(t, ref).Sign(t.Context(), message)
		require.ErrorContains(t, err, "not for that")
	}
	for _, use := range []func(secrets.Handle) error{
		func(h secrets.Handle) error { _, err := h.Sign(t.Context(), nil); return err },
		func(h secrets.Handle) error { _, err := h.SignDigest(t.Context(), nil); return err },
		func(h secrets.Handle) error { _, err := h.HMAC(t.Context(), nil); return err },
		func(h secrets.Handle) error { _, err := h.MintJWT(t.Context(), nil); return err },
	} {
		require.ErrorIs(t, use(secrets.Handle{}), authz.ErrDenied)
		ref := newRef(t, "tenants/acme", "RS256")
		w := newWorld(t)
		w.put(t, ref, string(key), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}})
		h := w.handle(t, ref)
		w.revoke(t, ref)
		require.ErrorIs(t, use(h), secrets.ErrNotFound)
		w.clock.add(time.Hour)
		require.ErrorIs(t, use(h), authz.ErrDenied)
	}
}

func TestMintJWT(t *testing.T) {
	w := newWorld(t)
	scheme := secrets.Scheme{Kind: secrets.JWTKey, Algorithm: secrets.ES256, KeyID: "k1", Issuer: "lockkeeper.example", Audience: "crm.example", Lifetime: time.Minute}
	ref := newRef(t, "tenants/acme", "jwt")
	pub := w.generate(t, ref, secrets.PutOptions{Scheme: scheme}).PublicKey
	h := w.handle(t, ref)
	mine := map[string]any{"sub": "ana", "groups": []string{"a", "b"}}
	text, err := h.MintJWT(t.Context(), mine)
	require.NoError(t, err)
	require.Len(t, mine, 2, "the caller's map is the caller's")
	head, claims := jwt(t, text, pub)
	require.Equal(t, map[string]any{"alg": "ES256", "typ": "JWT", "kid": "k1"}, head)
	now := float64(w.clock.now().Unix())
	delete(claims, "jti")
	require.Equal(t, map[string]any{"sub": "ana", "groups": []any{"a", "b"}, "iss": "lockkeeper.example", "aud": "crm.example", "iat": now - 30, "nbf": now - 30, "exp": now + 30}, claims)
	for name, c := range map[string]map[string]any{
		"exp": {"exp": 1 << 40}, "iat": {"iat": 1}, "nbf": {"nbf": 1}, "jti": {"jti": "x"}, "iss": {"iss": "other"}, "aud": {"aud": []string{"crm.example"}},
		"claims": {"x": strings.Repeat("x", 65<<10)},
	} {
		_, err := h.MintJWT(t.Context(), c)
		require.ErrorContains(t, err, name)
	}
	_, err = h.MintJWT(t.Context(), map[string]any{"x": func() {}})
	require.ErrorContains(t, err, "claims")
	_, err = h.Sign(t.Context(), []byte("header.claims"))
	require.ErrorContains(t, err, "not for that", "a key for JWTs signs nothing else")

	key := "0123456789abcdef-Canary"
	sym := newRef(t, "tenants/acme", "hs")
	w.put(t, sym, key, secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.JWTKey, Algorithm: secrets.HS512}})
	text, err = w.handle(t, sym).MintJWT(t.Context(), nil)
	require.NoError(t, err)
	head, claims = jwt(t, text, []byte(key))
	require.Equal(t, "HS512", head["alg"])
	require.Equal(t, now+270, claims["exp"])
	watch(key).check(t, "jwt", []byte(text))
}

// Bad schemes and values name their field.
func TestUnfitSchemes(t *testing.T) {
	w := newWorld(t)
	_, rsaKey, rsaCert := signingKey(t)
	ref := newRef(t, "tenants/acme", "x")
	g := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	key := "0123456789abcdef"
	code := newProviderScheme()
	for name, c := range map[string]struct {
		s     secrets.Scheme
		value string
	}{
		"kind":                {secrets.Scheme{}, "x"},
		"algorithm none":      {secrets.Scheme{Kind: secrets.SigningKey}, rsaKey},
		"algorithm symmetric": {secrets.Scheme{Kind: secrets.SigningKey, Algorithm: secrets.HS256}, key},
		"algorithm unknown":   {secrets.Scheme{Kind: secrets.JWTKey, Algorithm: "none"}, key},
		"algorithm pair":      {secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.RS256}, key},
		"value other":         {secrets.Scheme{Kind: secrets.SigningKey, Algorithm: secrets.ES256}, rsaKey},
		"value short":         {secrets.Scheme{Kind: secrets.HMACKey, Algorithm: secrets.HS256}, key[1:]},
		"value short jwt":     {secrets.Scheme{Kind: secrets.JWTKey, Algorithm: secrets.HS256}, key[1:]},
		"value short recipe":  {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{path}", Headers: "X-S: {signature}"}}, key[1:]},
		"certificate":         {secrets.Scheme{Kind: secrets.SigningKey, Algorithm: secrets.RS256, Certificate: rsaCert}, mustOther(t)},
		"issuer":              {secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: "https://x.example/t", Algorithm: secrets.RS256}, rsaKey},
		"issuer file":         {secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: "https://x.example/t", Algorithm: secrets.RS256, Issuer: "a"}, `{"private_key":"x","client_email":"b"}`},
		"token_url file":      {secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: "https://x.example/t", Algorithm: secrets.RS256, Issuer: "a"}, `{"private_key":"x","client_email":"a","token_uri":"https://y.example"}`},
		"value file":          {secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: "https://x.example/t", Algorithm: secrets.RS256, Issuer: "a"}, `{"type":"service_account"}`},
		"header none":         {secrets.Scheme{Kind: secrets.APIKey}, key},
		"header both":         {secrets.Scheme{Kind: secrets.APIKey, Header: "X-Key", Query: "k"}, key},
		"header host":         {secrets.Scheme{Kind: secrets.APIKey, Header: "host"}, key},
		"header line":         {secrets.Scheme{Kind: secrets.APIKey, Header: "X-Key\r\nY"}, key},
		"query":               {secrets.Scheme{Kind: secrets.APIKey, Query: "a&b"}, key},
		"prefix":              {secrets.Scheme{Kind: secrets.APIKey, Header: "X-Key", Prefix: "a\n"}, key},
		"value key":           {secrets.Scheme{Kind: secrets.APIKey, Header: "X-Key"}, "a b"},
		"value empty":         {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "https://x.example/t", ClientID: "a"}, "\n"},
		"client_id":           {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "https://x.example/t"}, key},
		"client_auth":         {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "https://x.example/t", ClientID: "a", ClientAuth: "tls"}, key},
		"client_auth jwt":     {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "https://x.example/t", ClientID: "a"}, rsaKey},
		"client_auth saml":    {func() secrets.Scheme { s := saml(rsaCert).Scheme; s.ClientAuth = secrets.ClientJWT; return s }(), rsaKey},
		"token_url":           {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "http://x.example/t", ClientID: "a"}, key},
		"revoke_url":          {secrets.Scheme{Kind: secrets.ClientCredentials, TokenURL: "https://x.example/t", ClientID: "a", RevokeURL: "http://x.example"}, key},
		"revoke_url kind":     {secrets.Scheme{Kind: secrets.Bearer, RevokeURL: "https://x.example"}, key},
		"auth_url":            {with(code, func(s *secrets.Scheme) { s.AuthURL = "http://x.example/" }), key},
		"redirect_url":        {with(code, func(s *secrets.Scheme) { s.RedirectURL = "/back" }), key},
		"username":            {secrets.Scheme{Kind: secrets.NTLM, Host: "x", Legacy: acknowledged()}, key},
		"host":                {secrets.Scheme{Kind: secrets.NTLM, Username: "a", Legacy: acknowledged()}, key},
		"host cloud":          {secrets.Scheme{Kind: secrets.NTLM, Username: "a", Host: "outlook.office365.com", Legacy: acknowledged()}, key},
		"host ondemand":       {secrets.Scheme{Kind: secrets.NTLM, Username: "a", Host: "my1.crm.ondemand.com:443", Legacy: acknowledged()}, key},
		"host unicode":        {secrets.Scheme{Kind: secrets.Bearer, Host: "p\u0130n.example"}, key},
		"legacy":              {secrets.Scheme{Kind: secrets.NTLM, Username: "a", Host: "x"}, key},
		"legacy when":         {secrets.Scheme{Kind: secrets.NTLM, Username: "a", Host: "x", Legacy: secrets.Legacy{By: "user:idp/ada"}}, key},
		"recipe.text":         {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{password}", Headers: "X-S: {signature}"}}, key},
		"recipe.text open":    {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{path", Headers: "X-S: {signature}"}}, key},
		"recipe.headers":      {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{path}", Headers: "X-S: {path}"}}, key},
		"recipe.headers host": {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{path}", Headers: "Host: {signature}"}}, key},
		"recipe.encoding":     {secrets.Scheme{Kind: secrets.SignedRequest, Algorithm: secrets.HS256, Recipe: secrets.Recipe{Text: "{path}", Headers: "X-S: {signature}", Encoding: "rot13"}}, key},
		"algorithm recipe":    {secrets.Scheme{Kind: secrets.SignedRequest, Recipe: secrets.Recipe{Text: "{path}", Headers: "X-S: {signature}"}}, key},
	} {
		err := w.safe.Put(t.Context(), g, ref, []byte(c.value), secrets.PutOptions{Scheme: c.s})
		require.ErrorContains(t, err, strings.Fields(name)[0], name)
		if len(c.value) > 3 {
			require.NotContains(t, err.Error(), c.value)
		}
	}
}

func acknowledged() secrets.Legacy {
	return secrets.Legacy{By: "user:idp/ada", At: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Reason: "Exchange 2010 until it is replaced"}
}

func with(s secrets.Scheme, change func(*secrets.Scheme)) secrets.Scheme { change(&s); return s }

func newProviderScheme() secrets.Scheme {
	return secrets.Scheme{Kind: secrets.OAuthCode, AuthURL: "https://x.example/a", TokenURL: "https://x.example/t", RedirectURL: "https://app.example/back", ClientID: "a"}
}

func mustOther(t *testing.T) string { _, k, _ := signingKey(t); return k }
