package google

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// evidence: P18, a service account acts for those on the list and for nobody else,
// whatever Google would let it do. feature: F38
func TestDelegationHasAList(t *testing.T) {
	d := Delegation{Account: "robot@project.iam.gserviceaccount.com", Allow: []string{"Ana@acme.example"}}
	s, err := d.Scheme("ana@ACME.example", connectors.KindAppointment, connectors.KindContact)
	require.NoError(t, err)
	require.Equal(t, "ana@acme.example", s.Subject)
	require.Equal(t, d.Account, s.Issuer)
	require.Equal(t, secrets.JWTBearer, s.Kind)
	require.NotContains(t, s.Scope, "gmail")
	for _, user := range []string{"ben@acme.example", "", "acme.example", "ana@acme.example.evil", "ana@acme.example,ben@acme.example", "*@acme.example"} {
		_, err := d.Scheme(user, connectors.KindContact)
		require.ErrorIs(t, err, authz.ErrDenied, user)
	}
	_, err = d.Scheme("ana@acme.example")
	require.ErrorIs(t, err, authz.ErrDenied, "no kinds")
	_, err = Delegation{}.Scheme("ana@acme.example", connectors.KindContact)
	require.ErrorIs(t, err, authz.ErrDenied)
	_, err = Delegation{Account: d.Account}.Scheme("ana@acme.example", connectors.KindContact)
	require.ErrorIs(t, err, authz.ErrDenied, "an empty list is nobody")
}

// feature: F38; evidence: P18, with its key the account asks for one user's token, for
// the scopes of the kinds and for nobody else's.
func TestDelegatedToken(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	var asked []map[string]any
	tokens := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.FormValue("assertion"), ".")
		claims := map[string]any{}
		if len(parts) == 3 {
			b, _ := base64.RawURLEncoding.DecodeString(parts[1])
			_ = json.Unmarshal(b, &claims)
		}
		asked = append(asked, claims)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"token-of-ana","token_type":"Bearer","expires_in":3600}`))
	}))
	defer tokens.Close()
	d := Delegation{Account: "robot@project.example", Allow: []string{ana}, TokenURL: tokens.URL + "/token"}
	scheme, err := d.Scheme(ana, connectors.KindTask, connectors.KindContact)
	require.NoError(t, err)
	w := newWorldAs(t, googletest.Options{}, scheme, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, k := range []connectors.Kind{connectors.KindTask, connectors.KindContact} {
		_, err = w.conn.Changes(t.Context(), k, "", 10)
		require.NoError(t, err)
	}
	require.NotEmpty(t, asked)
	require.Equal(t, ana, asked[0]["sub"])
	require.Equal(t, "robot@project.example", asked[0]["iss"])
	require.Equal(t, "https://www.googleapis.com/auth/contacts https://www.googleapis.com/auth/tasks", asked[0]["scope"])
}

// feature: F11, a group of contacts is a folder for those who want one.
func TestContactGroup(t *testing.T) {
	w := newWorld(t, googletest.Options{}, OptContactGroup, "SAP Contacts")
	_, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrInvalid, "there is no such group")
	made := w.other("POST", "/v1/contactGroups", map[string]any{"contactGroup": map[string]any{"name": "SAP Contacts"}})["resourceName"].(string)
	out := w.other("POST", "/v1/people:createContact?personFields=metadata", map[string]any{"names": []any{map[string]any{"familyName": "Other"}}})["resourceName"].(string)
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName = "Ito"
	ws, err := w.conn.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	cs, cursor := w.all(connectors.KindContact, "")
	require.Len(t, cs, 1)
	require.Equal(t, ws[0].ID, cs[0].ID)
	require.Equal(t, "SAP Contacts", cs[0].Record.Folder())
	ids, err := w.conn.List(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	require.Equal(t, []string{ws[0].ID}, ids.IDs)
	w.other("POST", "/v1/"+made+"/members:modify", map[string]any{"resourceNamesToAdd": []any{out}, "resourceNamesToRemove": []any{"people/" + ws[0].ID}})
	cs, _ = w.all(connectors.KindContact, cursor)
	require.Len(t, cs, 1, "who leaves the group is not gone")
	require.Equal(t, out, "people/"+cs[0].ID)
}

// evidence: P26, each kind brings its own scope and no other: mails are in reach only
// where they are switched on, and then to be read.
func TestLeastScopes(t *testing.T) {
	const root = "https://www.googleapis.com/auth/"
	require.Empty(t, Scopes())
	require.Empty(t, Scopes(connectors.KindAccount))
	for k, want := range map[connectors.Kind]string{connectors.KindContact: "contacts", connectors.KindAppointment: "calendar.events", connectors.KindVisit: "calendar.events",
		connectors.KindTask: "tasks", connectors.KindMail: "gmail.readonly"} {
		assert.Equal(t, []string{root + want}, Scopes(k))
	}
	s := Consent("client", "https://lockkeeper.example/back", connectors.KindAppointment, connectors.KindTask, connectors.KindVisit)
	require.Equal(t, root+"calendar.events "+root+"tasks", s.Scope)
	require.Equal(t, secrets.OAuthCode, s.Kind)
	require.Contains(t, s.AuthURL, "access_type=offline")
}

// fault: F42, a notification is a hint to look, from whoever knows the channel's token
// and until it expires; whatever else comes is told nothing.
func TestHooks(t *testing.T) {
	now := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	var hints []string
	h := NewHooks(func(id string) { hints = append(hints, id) })
	h.now = func() time.Time { return now }
	require.True(t, h.Open(Channel{ID: "c1", Token: "0123456789abcdef", Expires: now.Add(time.Hour)}))
	require.False(t, h.Open(Channel{ID: "c2", Token: "short", Expires: now.Add(time.Hour)}))
	require.False(t, h.Open(Channel{Token: "0123456789abcdef"}))
	send := func(method, id, token, state string) int {
		r := httptest.NewRequest(method, "/hooks", strings.NewReader(`{"evil":true}`))
		r.Header.Set("X-Goog-Channel-ID", id)
		r.Header.Set("X-Goog-Channel-Token", token)
		r.Header.Set("X-Goog-Resource-State", state)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		require.Empty(t, rec.Body.String())
		return rec.Code
	}
	require.Equal(t, 204, send("POST", "c1", "0123456789abcdef", "sync"))
	require.Empty(t, hints)
	require.Equal(t, 204, send("POST", "c1", "0123456789abcdef", "exists"))
	require.Equal(t, 204, send("POST", "c1", "0123456789abcdef", "not_exists"))
	require.Equal(t, []string{"c1", "c1"}, hints)
	for _, c := range [][3]string{{"POST", "c1", "0123456789abcdeg"}, {"POST", "c1", ""}, {"POST", "c2", "0123456789abcdef"}, {"POST", "", ""}, {"GET", "c1", "0123456789abcdef"}} {
		require.Equal(t, 404, send(c[0], c[1], c[2], "exists"), c)
	}
	require.Empty(t, h.Due(30*time.Minute))
	now = now.Add(45 * time.Minute)
	require.Len(t, h.Due(30*time.Minute), 1)
	now = now.Add(time.Hour)
	require.Equal(t, 404, send("POST", "c1", "0123456789abcdef", "exists"), "expired")
	h.Close("c1")
	require.Empty(t, h.Due(time.Hour))
	require.Len(t, hints, 2)
	require.Equal(t, 404, func() int {
		rec := httptest.NewRecorder()
		(&Hooks{}).ServeHTTP(rec, httptest.NewRequest("POST", "/", nil))
		return rec.Code
	}())
}

// What the emulator sends to a channel is what the handler takes.
func TestHooksHearTheService(t *testing.T) {
	var hints []string
	h := NewHooks(func(id string) { hints = append(hints, id) })
	w := newWorld(t, googletest.Options{Notify: func(address string, header http.Header) {
		r := httptest.NewRequest("POST", address, nil)
		r.Header = header
		h.ServeHTTP(httptest.NewRecorder(), r)
	}})
	require.True(t, h.Open(Channel{ID: "c1", Token: "0123456789abcdef", Expires: time.Now().Add(time.Hour)}))
	w.other("POST", "/calendar/v3/calendars/primary/events/watch", map[string]any{"id": "c1", "type": "web_hook", "address": "https://hooks.example/g", "token": "0123456789abcdef"})
	require.Empty(t, hints, "that it is open is no hint")
	w.weekly()
	require.Equal(t, []string{"c1"}, hints)
}
