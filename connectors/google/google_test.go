package google

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// world is an account behind a Hub, with calendars and contacts at two addresses
// as Google has them, and somebody else's server that must see nothing.
type world struct {
	testing.TB
	g     *googletest.Server
	srv   *httptest.Server // calendars
	there *httptest.Server // contacts, mails and tasks
	conn  *connectors.Conn

	mu    sync.Mutex
	paths []string // what arrived
	asks  []string // the same with what is asked, without the name of the server
	said  []string // what was answered
	meets func(rw http.ResponseWriter, r *http.Request) bool
}

// meet lets a function answer instead of the service, where it reports that it did.
func (w *world) meet(f func(rw http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.meets = f
}

// asked returns what was asked since the last time, and what was answered.
func (w *world) asked() (asks, said []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asks, said, w.asks, w.said = w.asks, w.said, nil, nil
	return asks, said
}

func newWorld(t testing.TB, o googletest.Options, options ...string) *world {
	return newWorldAs(t, o, secrets.Scheme{Kind: secrets.Bearer}, []byte("token-of-ana"), options...)
}

// newWorldAs is newWorld with another way to get in.
func newWorldAs(t testing.TB, o googletest.Options, scheme secrets.Scheme, value []byte, options ...string) *world {
	o.Accounts = map[string]string{"token-of-ana": ana, "token-of-ben": ben}
	w := &world{TB: t, g: googletest.New(&o)}
	settings := map[string]string{}
	for i := 0; i < len(options); i += 2 {
		settings[options[i]] = options[i+1]
	}
	roots := x509.NewCertPool()
	start := func(name string) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			w.paths = append(w.paths, name+" "+r.Method+" "+r.URL.Path)
			w.asks = append(w.asks, r.Method+" "+r.URL.RequestURI())
			f := w.meets
			w.mu.Unlock()
			if f != nil && f(rw, r) {
				return
			}
			b, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(strings.NewReader(string(b)))
			rec := httptest.NewRecorder()
			w.g.ServeHTTP(rec, r)
			w.mu.Lock()
			w.said = append(w.said, rec.Body.String())
			w.asks[len(w.asks)-1] += string(b)
			w.mu.Unlock()
			maps.Copy(rw.Header(), rec.Header())
			rw.WriteHeader(rec.Code)
			_, _ = rw.Write(rec.Body.Bytes())
		}))
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		roots.AddCert(s.Certificate())
		return s
	}
	w.srv, w.there = start("calendars"), start("contacts")
	az := authztest.New(t, "allow user:idp/ana role:user tenants/acme/users/ana", "allow service:connections role:connection tenants/acme", "allow service:admin role:tenant-admin tenants/acme")
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = safe.Close() })
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme/users/ana"), "google")
	require.NoError(t, err)
	g, err := az.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(t, err)
	require.NoError(t, safe.Put(t.Context(), g, ref, value, secrets.PutOptions{Scheme: scheme}))
	hub, err := connectors.NewHub(az.Authorizer, safe, Plugin())
	require.NoError(t, err)
	w.conn, err = hub.Open(t.Context(), authztest.Principal(t, "user:idp/ana"), connectors.Endpoint{Plugin: Name, URL: w.srv.URL + "/calendar/v3",
		Elsewhere: map[connectors.Kind]string{connectors.KindContact: w.there.URL + "/v1", connectors.KindMail: w.there.URL + "/gmail/v1", connectors.KindTask: w.there.URL + "/tasks/v1"},
		Resource:  authztest.Resource(t, "tenants/acme/users/ana/mailbox"), Secret: ref, Roots: roots, Timeout: 20 * time.Second, Options: settings})
	require.NoError(t, err)
	return w
}

// other sends a request of a client that is not ours.
func (w *world) other(method, path string, body any) map[string]any {
	w.Helper()
	b, err := json.Marshal(body)
	require.NoError(w, err)
	r := httptest.NewRequest(method, path, strings.NewReader(string(b)))
	r.Header.Set("Authorization", "Bearer token-of-ana")
	rec := httptest.NewRecorder()
	w.g.ServeHTTP(rec, r)
	require.Less(w, rec.Code, 300, "%s %s %s", method, path, rec.Body)
	out := map[string]any{}
	_ = json.Unmarshal(rec.Body.Bytes(), &out)
	return out
}

// evidence: P18, the credential goes to the addresses that were said, each for its kind.
func TestKindsAtTheirAddresses(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment} {
		_, err := w.conn.Changes(t.Context(), k, "", 10)
		require.NoError(t, err)
	}
	require.Equal(t, []string{"contacts GET /v1/people/me/connections", "calendars GET /calendar/v3/calendars/primary/events"}, w.paths)
}

// evidence: I5, whatever is written to a meeting, nobody is sent a message.
func TestNobodyIsTold(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	made := w.other("POST", "/calendar/v3/calendars/primary/events?sendUpdates=all", map[string]any{"id": "meeting1", "summary": "plan", "attendees": []any{map[string]any{"email": ben}},
		"start": map[string]any{"dateTime": "2026-07-01T07:00:00Z"}, "end": map[string]any{"dateTime": "2026-07-01T08:00:00Z"}})
	require.Len(t, w.g.Ledger(), 1)
	id := made["id"].(string)
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, []connectors.Party{{Address: ben}}, r.Appointment.Attendees)
	require.Equal(t, ana, r.Appointment.Organizer.Address)
	next := r.Clone()
	next.Appointment.Subject, next.Appointment.Start = "moved", r.Appointment.Start.Add(-time.Hour)
	ws, err := w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: next, Fields: []connectors.Field{connectors.FieldSubject, connectors.FieldTime}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	ws, err = w.conn.Delete(t.Context(), connectors.KindAppointment, []connectors.Target{{ID: id, Rev: ws[0].Rev}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	require.Len(t, w.g.Ledger(), 1, "somebody was told")
}

// What a contact holds beyond what is mapped stays in it, in every list.
func TestUpdatesKeepWhatIsNotMapped(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	made := w.other("POST", "/v1/people:createContact?personFields=names,metadata", map[string]any{
		"names":          []any{map[string]any{"givenName": "Kei", "familyName": "Ito", "phoneticFamilyName": "イトウ", "unstructuredName": "Kei Ito"}},
		"emailAddresses": []any{map[string]any{"value": "a@x.example", "type": "home", "displayName": "Kei"}, map[string]any{"value": "b@x.example"}},
		"phoneNumbers":   []any{map[string]any{"value": "1", "type": "work"}, map[string]any{"value": "2", "type": "work"}, map[string]any{"value": "3", "type": "pager"}},
		"addresses":      []any{map[string]any{"type": "home", "city": "H"}, map[string]any{"type": "work", "city": "C", "poBox": "9", "formattedValue": "C 9"}},
		"relations":      []any{map[string]any{"person": "Ren", "type": "spouse"}},
	})
	id := strings.TrimPrefix(made["resourceName"].(string), "people/")
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	r.Contact.FamilyName, r.Contact.Phone, r.Contact.City, r.Contact.Email2 = "Berg", "7", "D", "z@x.example"
	ws, err := w.conn.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r,
		Fields: []connectors.Field{connectors.FieldFamilyName, connectors.FieldPhone, connectors.FieldCity, connectors.FieldEmail2}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other("GET", "/v1/people/"+id+"?personFields=names,emailAddresses,phoneNumbers,addresses,relations", nil)
	assert.Equal(t, []any{map[string]any{"givenName": "Kei", "familyName": "Berg", "phoneticFamilyName": "イトウ"}}, got["names"])
	assert.Equal(t, []any{map[string]any{"value": "a@x.example", "type": "home", "displayName": "Kei"}, map[string]any{"value": "z@x.example"}}, got["emailAddresses"])
	assert.Equal(t, []any{map[string]any{"value": "7", "type": "work"}, map[string]any{"value": "2", "type": "work"}, map[string]any{"value": "3", "type": "pager"}}, got["phoneNumbers"])
	assert.Equal(t, []any{map[string]any{"type": "home", "city": "H"}, map[string]any{"type": "work", "city": "D", "poBox": "9"}}, got["addresses"])
	assert.Equal(t, []any{map[string]any{"person": "Ren", "type": "spouse"}}, got["relations"])
}

// evidence: F43, too many requests are heard whether they are told with 403 or 429.
func TestToldToWait(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	for _, status := range []int{403, 429} {
		w.g.TellToWait(googletest.Busy{Status: status})
		r := connectors.NewRecord(connectors.KindContact)
		r.Contact.FamilyName = "Ito"
		ws, err := w.conn.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
		require.NoError(t, err)
		require.ErrorIs(t, ws[0].Err, connectors.ErrThrottled, "%d", status)
	}
}

// A change of a contact that does not show yet is not lost: it comes later.
func TestContactsShowLater(t *testing.T) {
	w := newWorld(t, googletest.Options{Lag: 4})
	p, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName = "Ito"
	ws, err := w.conn.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, []string{ws[0].ID}) // by its id it is there at once
	require.NoError(t, err)
	require.Equal(t, "k", rs[0].Record.Key)
	seen := 0
	for range 6 {
		p, err = w.conn.Changes(t.Context(), connectors.KindContact, p.Cursor, 10)
		require.NoError(t, err)
		seen += len(p.Changes)
	}
	require.Equal(t, 1, seen)
}

func TestOpenRefusesWhatItDoesNotUnderstand(t *testing.T) {
	_, err := open(connectors.Settings{})
	require.ErrorContains(t, err, "url")
	u, err := url.Parse(CalendarURL)
	require.NoError(t, err)
	for k, v := range map[string]string{OptCalendar: "", "colour": "red"} {
		_, err := open(connectors.Settings{URL: u, Options: map[string]string{k: v}})
		require.ErrorContains(t, err, k)
	}
	d, err := open(connectors.Settings{URL: u, Options: map[string]string{OptCalendar: "../x/team@group.calendar.google.com"}})
	require.NoError(t, err)
	require.Equal(t, CalendarURL+"/calendars/..%2Fx%2Fteam@group.calendar.google.com", d.calendar)
}

func TestTimes(t *testing.T) {
	for name, c := range map[string][4]string{
		"in its zone": {`"start":{"dateTime":"2026-07-01T09:00:00+02:00","timeZone":"Europe/Berlin"},"end":{"dateTime":"2026-07-01T10:00:00+02:00"}`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", "Europe/Berlin"},
		"all day":     {`"start":{"date":"2026-07-01"},"end":{"date":"2026-07-02"}`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"no zone":     {`"start":{"dateTime":"2026-07-01T07:00:00Z"},"end":{"dateTime":"2026-07-01T08:00:00Z"}`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", ""},
	} {
		var v event
		require.NoError(t, json.Unmarshal([]byte(`{"id":"abcde","etag":"x",`+c[0]+`}`), &v))
		r, err := calendar{zones: &zone.Book{}, kind: connectors.KindAppointment}.record(&v, nil)
		require.NoError(t, err, name)
		assert.Equal(t, c[1:], []string{r.Appointment.Start.Format(time.RFC3339), r.Appointment.End.Format(time.RFC3339), r.Appointment.Zone}, name)
	}
	_, err := calendar{zones: &zone.Book{}, kind: connectors.KindAppointment}.record(&event{}, nil)
	require.ErrorIs(t, err, connectors.ErrMalformed)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"resourceName":"people/c1","metadata":{"sources":[{"type":"CONTACT","etag":"x"}]},"names":[{"familyName":"z"}],"emailAddresses":[{"value":"a@b"}],"birthdays":[{"date":{"year":2000,"month":1,"day":1}}]}`))
	f.Add([]byte(`{"id":"abcde","start":{"dateTime":"2026-07-01T07:00:00Z"},"end":{"dateTime":"2026-07-01T08:00:00Z"},"recurrence":["RRULE:FREQ=DAILY"],"attendees":[{"email":"a@b"}]}`))
	zones := &zone.Book{}
	f.Fuzz(func(t *testing.T, b []byte) {
		var rs []*connectors.Record
		var p person
		if json.Unmarshal(b, &p) == nil {
			r := p.record()
			rs = append(rs, r)
			if _, err := p.apply(r, connectors.Fields(connectors.KindContact)); err != nil {
				require.ErrorIs(t, err, connectors.ErrInvalid)
			}
		}
		var v event
		if json.Unmarshal(b, &v) == nil {
			if r, err := (calendar{zones: zones, kind: connectors.KindAppointment}).record(&v, nil); err == nil {
				rs = append(rs, r)
			}
		}
		for _, r := range rs {
			for _, field := range connectors.Fields(r.Kind) {
				require.Equal(t, connectors.NormalizeText(field, r.Text(field)), r.Text(field), field)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	contact := []byte(`{"resourceName":"people/c7000000000037","metadata":{"sources":[{"type":"CONTACT","id":"7000","etag":"\"30\"","updateTime":"2026-03-10T09:00:00Z"}]},"names":[{"givenName":"Ana","familyName":"Ito"}],` +
		`"organizations":[{"name":"Acme"}],"emailAddresses":[{"value":"ana@acme.example"}],"phoneNumbers":[{"value":"+49 6221 1","type":"work"}],"biographies":[{"value":"n"}]}`)
	one := []byte(`{"id":"abcdefg","etag":"\"30\"","status":"confirmed","iCalUID":"u","summary":"Plan","start":{"dateTime":"2026-07-01T09:00:00+02:00","timeZone":"Europe/Berlin"},` +
		`"end":{"dateTime":"2026-07-01T10:00:00+02:00"},"attendees":[{"email":"b@x.example"}]}`)
	zones := &zone.Book{}
	b.Run("contact", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p person
			if err := json.Unmarshal(contact, &p); err != nil || p.record() == nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
	})
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var v event
			err := json.Unmarshal(one, &v)
			if err == nil {
				_, err = calendar{zones: zones, kind: connectors.KindAppointment}.record(&v, nil)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
	})
}
