package secrets_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/md4" //nolint:staticcheck // the protocol has it

	"github.com/lockkeeper/lockkeeper/secrets"
)

func wide(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func hmacMD5(key []byte, data ...[]byte) []byte {
	m := hmac.New(md5.New, key)
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(nil)
}

// ntowf is NTOWFv2 (MS-NLMP section 3.3.2).
func ntowf(user, domain, password string) []byte {
	h := md4.New()
	h.Write(wide(password))
	return hmacMD5(h.Sum(nil), wide(strings.ToUpper(user)+domain))
}

// The verifier against the protocol's own test vectors (MS-NLMP section 4.2.4).
func TestNTLMVerifier(t *testing.T) {
	key := ntowf("User", "Domain", "Password")
	require.Equal(t, "0c868a403bfd7a93a3001ef22ef02e3f", hex.EncodeToString(key))
	temp, err := hex.DecodeString("01010000000000000000000000000000aaaaaaaaaaaaaaaa0000000002000c0044006f006d00610069006e0001000c005300650072007600650072000000000000000000")
	require.NoError(t, err)
	challenge, err := hex.DecodeString("0123456789abcdef")
	require.NoError(t, err)
	require.Equal(t, "68cd0ab851e51c96aabc927bebef6a1c", hex.EncodeToString(hmacMD5(key, challenge, temp)))
}

// exchange is a server that signs in connections by NTLM, as Exchange does.
type exchange struct {
	*httptest.Server
	mu        sync.Mutex
	passwords map[string]string // of users, as DOMAIN\name
	offers    []string          // in a 401
	heard     []string          // every Authorization
	protocols map[string]bool
	bodies    []string
	served    map[string]int // requests by user
	conns     int
	page      []byte // of a 401
}

// session is what a connection has come to.
type session struct {
	mu        sync.Mutex
	challenge []byte
	user      string
}

type sessionKey struct{}

func newExchange(t *testing.T) *exchange {
	e := &exchange{passwords: map[string]string{}, offers: []string{"Negotiate", "NTLM"}, served: map[string]int{}, protocols: map[string]bool{}}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	e.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.conns++
		return context.WithValue(ctx, sessionKey{}, &session{})
	}
	e.Config.ErrorLog = quiet()
	e.EnableHTTP2 = true // offered, and not to be taken
	e.StartTLS()
	t.Cleanup(e.Close)
	return e
}

func (e *exchange) serve(w http.ResponseWriter, r *http.Request) {
	s := r.Context().Value(sessionKey{}).(*session)
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	auth := r.Header.Get("Authorization")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, auth)
	e.protocols[r.Proto] = true
	no := func(offers ...string) {
		for _, o := range offers {
			w.Header().Add("WWW-Authenticate", o)
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(e.page)
	}
	scheme, text, _ := strings.Cut(auth, " ")
	msg, err := base64.StdEncoding.DecodeString(text)
	switch {
	case auth == "" && s.user != "":
	case (scheme != "NTLM" && scheme != "Negotiate") || err != nil || !bytes.HasPrefix(msg, []byte("NTLMSSP\x00")) || len(msg) < 32:
		no(e.offers...)
		return
	case msg[8] == 1:
		s.challenge = make([]byte, 8)
		_, _ = rand.Read(s.challenge)
		s.user = ""
		no(scheme + " " + base64.StdEncoding.EncodeToString(challengeMessage(s.challenge)))
		return
	default:
		if s.user = e.verify(msg, s.challenge); s.user == "" {
			no(e.offers...)
			return
		}
		s.challenge = nil
	}
	e.served[s.user]++
	e.bodies = append(e.bodies, string(body))
	fmt.Fprint(w, s.user)
}

// challengeMessage is a CHALLENGE_MESSAGE (MS-NLMP section 2.2.1.2).
func challengeMessage(challenge []byte) []byte {
	target := wide("ACME")
	info := []byte{}
	for _, av := range [][2]any{{uint16(2), "ACME"}, {uint16(1), "MAIL"}} {
		v := wide(av[1].(string))
		info = binary.LittleEndian.AppendUint16(info, av[0].(uint16))
		info = append(binary.LittleEndian.AppendUint16(info, uint16(len(v))), v...)
	}
	info = append(info, 0, 0, 0, 0)
	field := func(b []byte, n, at int) []byte {
		b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, uint16(n)), uint16(n))
		return binary.LittleEndian.AppendUint32(b, uint32(at))
	}
	out := binary.LittleEndian.AppendUint32([]byte("NTLMSSP\x00"), 2)
	out = field(out, len(target), 56)
	out = binary.LittleEndian.AppendUint32(out, 0xa2898205&^0x40000000) // no key exchange
	out = append(append(out, challenge...), make([]byte, 8)...)
	out = field(out, len(info), 56+len(target))
	out = append(out, 10, 0, 0x61, 0x4a, 0, 0, 0, 15)
	return append(append(out, target...), info...)
}

// verify returns who an AUTHENTICATE_MESSAGE proves (section 2.2.1.3, 3.3.2).
func (e *exchange) verify(msg, challenge []byte) string {
	part := func(at int) []byte {
		if len(msg) < at+8 {
			return nil
		}
		n, off := int(binary.LittleEndian.Uint16(msg[at:])), int(binary.LittleEndian.Uint32(msg[at+4:]))
		if off+n > len(msg) {
			return nil
		}
		return msg[off : off+n]
	}
	text := func(b []byte) string {
		u := make([]uint16, len(b)/2)
		for i := range u {
			u[i] = binary.LittleEndian.Uint16(b[2*i:])
		}
		return string(utf16.Decode(u))
	}
	nt, domain, user := part(20), text(part(28)), text(part(36))
	password, ok := e.passwords[domain+`\`+user]
	if !ok || len(nt) < 44 || challenge == nil { // 24 bytes would be the broken version 1
		return ""
	}
	if !hmac.Equal(nt[:16], hmacMD5(ntowf(user, domain, password), challenge, nt[16:])) {
		return ""
	}
	return domain + `\` + user
}

func (e *exchange) policy() secrets.ClientPolicy { return (&server{Server: e.Server}).policy() }

func ntlmOptions(e *exchange, user string) secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.NTLM, Username: user, Host: strings.TrimPrefix(e.URL, "https://"), Legacy: acknowledged()}}
}

// evidence: P15, P17
func TestNTLM(t *testing.T) {
	e := newExchange(t)
	w := newWorld(t)
	var secretsPut []string
	refs := map[string]secrets.Ref{}
	for _, user := range []string{"ana", "bo"} {
		password := "Canary-ntlm-p\u00e4ss " + user
		secretsPut = append(secretsPut, password)
		e.passwords[`ACME\`+user] = password
		refs[user] = newRef(t, "tenants/acme", user)
		w.put(t, refs[user], password, ntlmOptions(e, `ACME\`+user))
	}
	c := watch(secretsPut...)
	// Two people, one server, many requests at once: nobody gets the other's connection.
	var wg sync.WaitGroup
	e.page = bytes.Repeat([]byte("<p>no</p>"), 500)
	policy := e.policy()
	var clients []*http.Client
	for user, ref := range refs {
		for range 2 {
			client := w.client(t, ref, policy)
			clients = append(clients, client)
			for i := range 5 {
				wg.Go(func() {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+"/EWS/Exchange.asmx", strings.NewReader(fmt.Sprint("body ", i)))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Authorization", "mine")
					resp, err := client.Do(r)
					if err != nil {
						t.Error(err)
						return
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					if err != nil || string(b) != `ACME\`+user {
						t.Errorf("%s is served as %q: %v", user, b, err)
					}
					c.check(t, "request", fmt.Appendf(nil, "%+v", resp.Request))
					c.check(t, "client", fmt.Appendf(nil, "%+v", client))
				})
			}
		}
	}
	wg.Wait()
	for _, client := range clients {
		require.Empty(t, walk(c, client))
	}
	e.mu.Lock()
	require.Equal(t, map[string]int{`ACME\ana`: 10, `ACME\bo`: 10}, e.served)
	require.Equal(t, 2, e.conns, "one connection each, signed in once")
	require.Equal(t, map[string]bool{"HTTP/1.1": true}, e.protocols)
	require.NotContains(t, strings.Join(e.bodies, ","), ",,", "every body came whole")
	for _, a := range e.heard {
		c.check(t, "what was sent", []byte(a))
		require.NotContains(t, a, "Basic")
		require.NotContains(t, a, "mine")
	}
	e.mu.Unlock()

	// A body that cannot be read twice is not sent; another host gets nothing.
	client := w.client(t, refs["ana"], e.policy())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL, io.MultiReader(strings.NewReader("once")))
	require.NoError(t, err)
	_, err = send(client, r)
	require.ErrorContains(t, err, "GetBody")
	other := newExchange(t)
	_, err = w.handle(t, refs["ana"]).HTTPClient(t.Context(), other.policy())
	require.ErrorIs(t, err, secrets.ErrOrigin)
	require.Empty(t, other.heard)
	_, err = w.handle(t, refs["ana"]).DialIMAP(t.Context(), secrets.MailPolicy{Address: strings.TrimPrefix(e.URL, "https://")}, nil)
	require.ErrorContains(t, err, "want a scheme")

	// A client of a revoked secret sends nothing on the connection that is signed in.
	heard := len(e.heard)
	w.revoke(t, refs["ana"])
	_, err = get(t, client, e.URL)
	require.ErrorIs(t, err, secrets.ErrNotFound)
	require.Len(t, e.heard, heard)
}

// Whatever a server asks for instead, a 401 never brings out the password.
//
// evidence: P17
func TestNTLMNeverFallsBack(t *testing.T) {
	const password = "Canary-ntlm-9fQ2"
	c := watch(password)
	for name, offers := range map[string][]string{
		"basic": {`Basic realm="x"`}, "basic first": {`Basic realm="x"`, "NTLM"}, "digest": {`Digest realm="x"`}, "nothing": nil,
		"broken challenge": {"NTLM AAAA"}, "not base64": {"NTLM ***"}, "version 1": {"NTLM TlRMTVNTUAACAAAAAAAAADgAAACAAAAAAAAAAAAAAAAAAAAA"},
	} {
		e := newExchange(t)
		e.offers = offers
		e.passwords[`ACME\ana`] = "another"
		e.page = bytes.Repeat([]byte("x"), 200<<10)
		w := newWorld(t)
		ref := newRef(t, "tenants/acme", "ana")
		w.put(t, ref, password, ntlmOptions(e, `ACME\ana`))
		for range 2 {
			p := e.policy()
			p.Timeout = 10 * time.Second
			code, err := get(t, w.client(t, ref, p), e.URL)
			if err == nil {
				require.Equal(t, 401, code, name)
			} else {
				c.check(t, "error", []byte(err.Error()))
			}
		}
		e.mu.Lock()
		require.LessOrEqual(t, len(e.heard), 6, name)
		for _, a := range e.heard {
			c.check(t, name, []byte(a))
			require.NotContains(t, a, "Basic", name)
		}
		e.mu.Unlock()
	}
	// Nor is Basic taken for NTLM: a Basic secret answers no challenge.
	e := newExchange(t)
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "basic")
	w.put(t, ref, password, basic(`ACME\ana`))
	code, err := get(t, w.client(t, ref, e.policy()), e.URL)
	require.NoError(t, err)
	require.Equal(t, 401, code)
	require.Len(t, e.heard, 1)
}
