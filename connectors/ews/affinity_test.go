package ews

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Which server has the mailbox is remembered, and nothing else that a server would
// like to be told again; when that server stops to answer, it is forgotten.
//
// fault: F35
func TestAffinity(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	var got []string
	status := 0
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		got = append(got, r.Header.Get("Cookie")+" for "+r.Header.Get("X-AnchorMailbox"))
		for _, v := range []string{"exchangecookie=one; Path=/; HttpOnly", "X-BackEndOverrideCookie=ana~42; Path=/; Secure", "tracking=me; Path=/", "X-BackEndCookie=" + strings.Repeat("x", 5000)} {
			rw.Header().Add("Set-Cookie", v)
		}
		if status != 0 {
			rw.WriteHeader(status)
			return true
		}
		return false
	}
	list := func() error {
		_, err := c.List(t.Context(), connectors.KindContact, "", 10)
		return err
	}
	require.NoError(t, list())
	require.NoError(t, list())
	require.Equal(t, []string{" for " + ana, "exchangecookie=one; X-BackEndOverrideCookie=ana~42 for " + ana}, got)
	status = http.StatusForbidden
	require.ErrorIs(t, list(), connectors.ErrForbidden)
	got, status = nil, 0
	require.NoError(t, list())
	require.Equal(t, []string{" for " + ana}, got, "asked the server that refused")
}

// Where a server takes a token it gets a token: a refusal is no reason to show it
// anything else.
//
// evidence: P17
func TestNoDowngrade(t *testing.T) {
	w := newWorldOf(t, asAna(), ewstest.Options{Password: "token-of-svc", Mailboxes: []string{ana}}, func(string) secrets.Scheme { return secrets.Scheme{Kind: secrets.Bearer} })
	var shown []string
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		shown = append(shown, r.Header.Get("Authorization"))
		rw.Header().Add("WWW-Authenticate", "Negotiate")
		rw.Header().Add("WWW-Authenticate", "NTLM")
		rw.Header().Add("WWW-Authenticate", `Basic realm="exchange"`)
		rw.WriteHeader(http.StatusUnauthorized)
		return true
	}
	_, err := w.open().List(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrUnauthorized)
	require.Equal(t, []string{"Bearer token-of-svc"}, shown)
}

// A mailbox that cannot be reached, has moved, or is no more is that mailbox's
// trouble and never an empty folder: nothing is called deleted for it.
//
// fault: F35, F36
func TestAMailboxThatIsGoneIsNotEmpty(t *testing.T) {
	for code, want := range map[string]error{"ErrorNonExistentMailbox": connectors.ErrForbidden, "ErrorMailboxMoveInProgress": connectors.ErrUnavailable, "ErrorAccessDenied": connectors.ErrForbidden,
		"ErrorMailboxStoreUnavailable": connectors.ErrUnavailable, "ErrorInvalidSyncStateData": connectors.ErrCursorExpired, "ErrorImpersonateUserDenied": connectors.ErrForbidden, "ErrorFolderNotFound": connectors.ErrForbidden} {
		for _, form := range []string{`<s:Fault><detail><ResponseCode>` + code + `</ResponseCode></detail></s:Fault>`,
			`<R><ResponseMessages><M ResponseClass="Error"><ResponseCode>` + code + `</ResponseCode></M></ResponseMessages></R>`} {
			w := newWorld(t, asAna())
			w.intercept = func(rw http.ResponseWriter, _ *http.Request) bool {
				if strings.Contains(form, "Fault") {
					rw.WriteHeader(http.StatusInternalServerError)
				}
				_, _ = rw.Write([]byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>` + form + `</s:Body></s:Envelope>`))
				return true
			}
			for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindMail, connectors.KindTask} {
				p, err := w.open().Changes(t.Context(), k, "", 10)
				require.ErrorIs(t, err, want, "%s %s", code, k)
				require.Empty(t, p)
			}
		}
	}
}

// What no parser should be fed ends in an error, in little memory and time.
//
// fault: F52, F53, F61
func TestHostileAnswers(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	for name, answer := range map[string]string{
		"entities": `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Envelope><Body><R><ResponseMessages><M ResponseClass="Success"><ResponseCode>&b;</ResponseCode></M></ResponseMessages></R></Body></Envelope>`,
		"outside":  `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Envelope><Body><Fault><detail><ResponseCode>&a;</ResponseCode></detail></Fault></Body></Envelope>`,
		"depth":    strings.Repeat("<a>", 300_000),
		"page":     "<html>" + strings.Repeat("please sign in ", 70_000) + "</html>",
		"trailing": `<Envelope><Body/></Envelope><Envelope/>`,
	} {
		w.intercept = func(rw http.ResponseWriter, _ *http.Request) bool {
			_, _ = rw.Write([]byte(answer))
			return true
		}
		_, err := c.Changes(t.Context(), connectors.KindTask, "", 10)
		require.ErrorIs(t, err, connectors.ErrMalformed, name)
		require.Less(t, len(err.Error()), 200, name)
		require.NotContains(t, err.Error(), "sign in")
	}
}
