package c4c_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

func create(t *testing.T, c *connectors.Conn, key string) (connectors.Written, error) {
	t.Helper()
	ws, err := c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: contact("A", "B"), Key: key}})
	if err != nil {
		return connectors.Written{}, err
	}
	return ws[0], nil
}

// An answer that is lost after the effect leaves the outcome unknown, and the
// key finds what was made.
// fault: F30
func TestLostReply(t *testing.T) {
	for name, f := range map[string]c4ctest.Fault{
		"cut":    {Method: "POST", Path: "$batch", After: true, Drop: true},
		"503":    {Method: "POST", Path: "$batch", After: true, Status: 503},
		"html":   {Method: "POST", Path: "$batch", After: true, Status: 200, Body: "<html>maintenance</html>"},
		"inside": {Method: "POST", Path: "ContactCollection", Inner: true, After: true, Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := emulator(t, c4ctest.Options{}, nil)
			s.Inject(f)
			w, err := create(t, c, "k")
			require.NoError(t, err)
			require.ErrorIs(t, w.Err, connectors.ErrUnknownOutcome)
			found, err := c.Find(t.Context(), connectors.KindContact, []string{"k"})
			require.NoError(t, err)
			assert.Len(t, found["k"], 1)
			w, err = create(t, c, "k")
			require.NoError(t, err)
			assert.ErrorIs(t, w.Err, connectors.ErrExists)
			assert.Len(t, s.All("ContactCollection"), 1)
		})
	}
}

// A failure before the effect is the failure of the call and changes nothing.
// fault: F32
func TestRefusedBefore(t *testing.T) {
	for name, x := range map[string]struct {
		f     c4ctest.Fault
		class error
	}{
		"throttled":    {c4ctest.Fault{Method: "POST", Path: "$batch", Status: 429, RetryAfter: time.Minute, Times: -1}, connectors.ErrThrottled},
		"read first":   {c4ctest.Fault{Method: "GET", Path: "ContactCollection", Status: 429, RetryAfter: time.Minute, Times: -1}, connectors.ErrThrottled},
		"unauthorized": {c4ctest.Fault{Status: 401, Times: -1}, connectors.ErrUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := emulator(t, c4ctest.Options{}, nil)
			s.Inject(x.f)
			_, err := create(t, c, "k")
			require.ErrorIs(t, err, x.class)
			assert.Empty(t, s.All("ContactCollection"))
		})
	}
}

// One record that the system refuses takes no other with it.
func TestPartialBatch(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	ds := []connectors.Draft{{Record: contact("A", "1"), Key: "1"}, {Record: contact("A", "2"), Key: "2"}, {Record: contact("A", "3"), Key: "3"}}
	ds[0].Record.Contact.Company, ds[2].Record.Contact.Company = "Fails Ltd", "Works Ltd"
	s.Inject(c4ctest.Fault{Method: "POST", Path: "CorporateAccountCollection", Inner: true, Status: 400})
	ws, err := c.Create(t.Context(), connectors.KindContact, ds)
	require.NoError(t, err)
	var e *connectors.Error
	require.ErrorAs(t, ws[0].Err, &e)
	assert.Equal(t, connectors.FieldCompany, e.Field)
	assert.NoError(t, ws[1].Err)
	assert.NoError(t, ws[2].Err)
	assert.Len(t, s.All("ContactCollection"), 2)
}

// Long records do not make a batch that no server takes.
func TestLongRecords(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	var ds []connectors.Draft
	for _, key := range []string{"1", "2", "3", "4", "5"} {
		r := contact("A", key)
		r.Contact.Note = strings.Repeat("long ", 100_000) + "end"
		ds = append(ds, connectors.Draft{Record: r, Key: key})
	}
	ws, err := c.Create(t.Context(), connectors.KindContact, ds)
	require.NoError(t, err)
	for _, w := range ws {
		require.NoError(t, w.Err)
	}
	batches := 0
	for _, e := range s.Ledger() {
		if e.Path == "$batch" {
			batches++
		}
	}
	assert.Equal(t, 3, batches)
	assert.Empty(t, connectors.Diff(ds[4].Record, get(t, c, connectors.KindContact, ws[4].ID), fields(t, c, connectors.KindContact)))
}

// An expired session costs one more request for a token and never a record.
// fault: F34
func TestExpiredSession(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	_, err := create(t, c, "1")
	require.NoError(t, err)
	s.ExpireSessions()
	before := s.RequestCount()
	w, err := create(t, c, "2")
	require.NoError(t, err)
	require.NoError(t, w.Err)
	assert.EqualValues(t, 4, s.RequestCount()-before, "look for the key, write, fetch a token, write again")
	assert.Len(t, s.All("ContactCollection"), 2)
}

// The remote side's words never get into an error.
// fault: F61
func TestErrorsHoldNoBody(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	canary := "CANARY-IN-THE-BODY"
	body := "<html>" + strings.Repeat(canary+" ", 50000) + "</html>"
	for _, status := range []int{400, 403, 404, 409, 412, 500} {
		s.Inject(c4ctest.Fault{Method: "GET", Status: status, Body: body})
		_, err := c.Changes(t.Context(), connectors.KindContact, "", 10)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), canary)
		assert.Less(t, len(err.Error()), 300)
	}
}

// Ids and keys are data, whatever they look like.
// fault: F56
func TestHostileIDs(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	ctx, k := t.Context(), connectors.KindContact
	id, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": "Victim"})
	require.NoError(t, err)
	hostile := []string{"x' or LastName eq 'Victim", "*", "x*", "')/ContactTextCollection", "a/../b", "?$top=1", "%27", "a&$filter=x", "#", "\r\nDELETE x", "日本", "a+b c"}
	rs, err := c.Get(ctx, k, hostile)
	require.NoError(t, err)
	for i, r := range rs {
		assert.Error(t, r.Err, hostile[i])
	}
	found, err := c.Find(ctx, k, hostile)
	require.NoError(t, err)
	assert.Empty(t, found)
	for i, key := range hostile {
		ws, err := c.Create(ctx, k, []connectors.Draft{{Record: contact("A", "B"), Key: key}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err, hostile[i])
	}
	found, err = c.Find(ctx, k, hostile)
	require.NoError(t, err)
	assert.Len(t, found, len(hostile))
	for key, cs := range found {
		assert.Len(t, cs, 1, key)
	}
	ds, err := c.Delete(ctx, k, []connectors.Target{{ID: "x' or 1", Rev: `W/"x"`}, {ID: "y", Rev: "a\r\nIf-Match: *"}})
	if err == nil {
		assert.NotNil(t, ds[1].Err)
	}
	p, _ := s.Get("ContactCollection", id)
	assert.Equal(t, "2", p["StatusCode"])
}

func TestCancelled(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	s.Inject(c4ctest.Fault{Delay: time.Minute, Times: -1})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := c.Changes(ctx, connectors.KindContact, "", 10)
	assert.ErrorIs(t, err, context.Canceled)
}

// Without the permission of a verb nothing reaches the system, whatever the verb.
func TestDenied(t *testing.T) {
	w := newWorld(t, "deny "+ana(t).String()+" role:crm-user tenants/acme/crm/contacts")
	s := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{user: {Password: password}}})
	s.StartTLS()
	t.Cleanup(s.Close)
	c := w.open(s.URL(), s.Roots(), secrets.Scheme{Kind: secrets.Basic, Username: user}, password, nil)
	ctx, k := t.Context(), connectors.KindContact
	_, err := c.Changes(ctx, k, "", 1)
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = c.Get(ctx, k, []string{"x"})
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = c.Find(ctx, k, []string{"x"})
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = c.List(ctx, k, "", 1)
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = create(t, c, "k")
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = c.Update(ctx, k, []connectors.Edit{{ID: "x", Rev: "y", Record: contact("a", "b"), Fields: []connectors.Field{connectors.FieldCity}}})
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = c.Delete(ctx, k, []connectors.Target{{ID: "x", Rev: "y"}})
	assert.ErrorIs(t, err, authz.ErrDenied)
	assert.Zero(t, s.RequestCount())
	_, err = c.Changes(ctx, connectors.KindAccount, "", 1)
	assert.NoError(t, err, "the other containers are not affected")
}

// A quiet round reads nothing and costs one request, however much there is and
// however much changed at once before.
// fault: F39
func TestQuietRound(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, c := emulator(t, c4ctest.Options{Now: func() time.Time { return now }}, map[string]string{"overlap": "20ms"})
	k := connectors.KindContact
	for range 300 {
		_, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": "x"})
		require.NoError(t, err)
	}
	all, cursor := drain(t, c, k, "", 1000)
	require.Len(t, all, 300)
	again, cursor := drain(t, c, k, cursor, 1000)
	assert.Len(t, again, 300, "what was stamped just now is looked at again")
	require.Eventually(t, func() bool { again, cursor = drain(t, c, k, cursor, 1000); return len(again) == 0 }, 10*time.Second, 10*time.Millisecond)
	before := s.RequestCount()
	again, cursor = drain(t, c, k, cursor, 1000)
	assert.Empty(t, again)
	assert.EqualValues(t, 1, s.RequestCount()-before)
	now = now.Add(time.Second)
	id, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": "new"})
	require.NoError(t, err)
	again, _ = drain(t, c, k, cursor, 1000)
	assert.Len(t, again, 1)
	assert.Contains(t, again, id)
}

// A mass touch gives every record a new revision and changes nothing else.
// fault: F38
func TestTouch(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{Now: seconds()}, nil)
	id, err := s.Seed("ContactCollection", c4ctest.Props{"LastName": "Seed"})
	require.NoError(t, err)
	before := get(t, c, connectors.KindContact, id)
	s.Touch("ContactCollection")
	after := get(t, c, connectors.KindContact, id)
	assert.NotEqual(t, before.Rev, after.Rev)
	assert.Equal(t, before.Modified, after.Modified)
	assert.Empty(t, connectors.Diff(before, after, fields(t, c, connectors.KindContact)))
}

// OAuth 2 with a SAML bearer assertion: no token to fetch, no cookie, and the
// key never leaves the safe.
func TestSAMLBearer(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lockkeeper"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)

	s := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{user: {Password: password}}, SAML: &c4ctest.SAML{Issuer: "https://lockkeeper.example",
		Certificates: []*x509.Certificate{cert}, Audience: "https://tenant.example", ClientID: "_CLIENT", ClientSecret: "client secret"}})
	s.StartTLS()
	t.Cleanup(s.Close)
	scheme := secrets.Scheme{Kind: secrets.SAMLBearer, TokenURL: s.TokenURL(), ClientID: "_CLIENT", Issuer: "https://lockkeeper.example", Subject: user,
		Audience: "https://tenant.example", Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	value := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})) + string(pem.EncodeToMemory(&pem.Block{Type: "CLIENT SECRET", Bytes: []byte("client secret")}))
	c := newWorld(t).open(s.URL(), s.Roots(), scheme, value, nil)
	w, err := create(t, c, "k")
	require.NoError(t, err)
	require.NoError(t, w.Err)
	w, err = create(t, c, "k2")
	require.NoError(t, err)
	require.NoError(t, w.Err)
	tokens := 0
	for _, e := range s.Ledger() {
		if strings.HasSuffix(e.Path, "oauth2/token") {
			tokens++
			assert.Equal(t, 200, e.Status)
		} else {
			assert.Equal(t, user, e.User)
		}
	}
	assert.Equal(t, 1, tokens)

	bad := scheme
	bad.Audience = "https://other.example"
	_, err = create(t, newWorld(t).open(s.URL(), s.Roots(), bad, value, nil), "k3")
	assert.Error(t, err)
	assert.Len(t, s.All("ContactCollection"), 2)
}
