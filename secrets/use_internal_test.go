package secrets

import (
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever a mail server says, signing in ends, shows no password, and hands on
// no capability that would be more than a word in our own greeting.
func FuzzSignInIMAP(f *testing.F) {
	for _, s := range []string{
		"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\nL1 OK [CAPABILITY IMAP4rev1 IDLE] in\r\n", "* OK hi\r\n* CAPABILITY IMAP4rev1\r\nL1 OK\r\n+\r\n+ \r\nL2 OK\r\nL3 OK\r\n",
		"* PREAUTH x\r\n", "* BYE\r\n", "* OK [CAPABILITY ] \"x\" {5}] y\r\nL1 OK\r\n", "* OK [CAPABILITY AUTH=PLAIN]\r\n+ go\r\nL1 NO [UNAVAILABLE] Canary-password\r\n", "\r\n\r\n",
	} {
		f.Add(s)
	}
	const password = "Canary-password"
	f.Fuzz(func(t *testing.T, said string) {
		client, server := net.Pipe()
		defer client.Close()
		_ = client.SetDeadline(time.Now().Add(5 * time.Second))
		done := make(chan struct{})
		go func() {
			defer close(done)
			go func() { _, _ = io.Copy(io.Discard, server) }()
			_, _ = io.WriteString(server, said)
			_ = server.Close()
		}()
		l := mailLogin{user: "ana", secret: func() string { return password }}
		l.shown = func() []string { return []string{password, l.plain()} }
		_, caps, err := signInIMAP(context.Background(), MailPolicy{Address: "mail.example:993"}, client, l)
		_ = client.Close()
		<-done
		if err != nil {
			require.NotContains(t, err.Error(), password)
			return
		}
		for _, c := range caps {
			require.False(t, c == "" || strings.ContainsAny(c, " []\r\n(){}\""), "%q", c)
		}
	})
}

// Whatever a token endpoint says is a token that can be a header, or an error.
func FuzzTokenAnswer(f *testing.F) {
	for _, s := range []string{`{"access_token":"a","token_type":"bearer","expires_in":3600,"refresh_token":"b"}`, `{"access_token":"a","token_type":"Bearer","expires_in":"1e9"}`,
		`{"access_token":"a\n","token_type":"Bearer"}`, `[]`, `null`, `{"expires_in":-1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := readAnswer(body)
		if err != nil {
			require.Equal(t, "answer is no bearer token", err.Error())
			return
		}
		require.NotEmpty(t, a.access)
		require.True(t, printable(a.access) && printable(a.refresh))
		require.True(t, a.life > 0 && a.life <= 24*time.Hour)
	})
}

// A key in the query is there once, and everything else as it was.
func FuzzQueryKey(f *testing.F) {
	f.Add("a=1&key=x&k%65y=y&&b", "the key")
	f.Add("", "")
	f.Add("key", "&key=2")
	f.Fuzz(func(t *testing.T, raw, key string) {
		out := withQuery(raw, "key", key)
		v, err := url.ParseQuery(out)
		if err == nil {
			require.Equal(t, []string{key}, v["key"])
		}
		was, werr := url.ParseQuery(raw)
		if werr == nil && err == nil {
			delete(was, "key")
			delete(v, "key")
			require.Equal(t, was, v)
		}
		require.Equal(t, withoutQuery(raw, "key"), withoutQuery(out, "key"))
	})
}

// Two tokens of the same age are not replaced at the same moment, and none of
// them later than at 80 % of its life.
func TestTokensAreReplacedEarlyAndSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := early(time.Hour)
		require.True(t, d >= 45*time.Minute && d <= 48*time.Minute, d)
		seen[d] = true
	}
	require.Greater(t, len(seen), 900)
	require.Zero(t, early(0))
}
