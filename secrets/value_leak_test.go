package secrets

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets/leaktest"
)

// Whatever somebody puts as a value, of whatever kind, is a credential or an
// error, and neither shows it.
func FuzzPrepare(f *testing.F) {
	for i, c := range leaktest.Canaries(1, 22) {
		f.Add(uint8(i), []byte(c), "")
	}
	f.Add(uint8(9), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n-----BEGIN CLIENT SECRET-----\nAAAA\n-----END CLIENT SECRET-----\n"), "")
	f.Add(uint8(8), []byte(`{"private_key":"x","client_email":"a","token_uri":"b"}`), "")
	f.Add(uint8(9), []byte("\x00"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	kinds := []Kind{Basic, Bearer, APIKey, SignedRequest, NTLM, OAuthCode, ClientCredentials, JWTBearer, SAMLBearer, SigningKey, JWTKey, HMACKey, "", kindConsent}
	algorithms := []Algorithm{"", RS256, PS256, ES256, EdDSA, HS256, HS512}
	f.Fuzz(func(t *testing.T, n uint8, value []byte, certificate string) {
		s := Scheme{Kind: kinds[int(n)%len(kinds)], Algorithm: algorithms[int(n)/len(kinds)%len(algorithms)], Username: "ana", Certificate: certificate}
		if n > 200 {
			s.ClientAuth = ClientJWT
		}
		c, err := prepare(s, value)
		require.Equal(t, err == nil, c != nil)
		if len(value) < leaktest.MinLength {
			return
		}
		text := fmt.Sprintf("%v %+v %#v %v", c, c, c, err)
		if strings.Contains(text, string(value)) && !strings.Contains(text0, string(value)) {
			t.Errorf("the value shows in %q", text)
		}
	})
}

// text0 is what is printed whatever the value: a value may be a part of it.
const text0 = "credential value: a PEM block PRIVATE KEY is wanted a password without line ends is wanted of visible ASCII a key of at least 16 bytes is not PKCS #8 does not sign certificate: not X.509 " +
	"does not belong to the private key client_auth: private_key_jwt is wanted with a PRIVATE KEY a client secret is wanted a key file with private_key is wanted kind is not known is not one for (RSA of at least 2048 bits, P-256 or Ed25519)"

// What a consent has, as it is unsealed: anything is a state or an error.
func FuzzConsentState(f *testing.F) {
	b, err := json.Marshal(consentState{Client: "x", Access: "a", Refresh: "b", Until: time.Unix(1, 0), Lost: 1})
	require.NoError(f, err)
	f.Add(b)
	f.Add([]byte(`{"lost":-1,"until":"0000-00-00T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var st consentState
		if json.Unmarshal(b, &st) != nil {
			return
		}
		require.Equal(t, "consent", fmt.Sprintf("%+v", st))
		again, err := json.Marshal(st)
		require.NoError(t, err)
		var same consentState
		require.NoError(t, json.Unmarshal(again, &same))
	})
}
