package msgraph

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

const ben = "ben@acme.example"

// world is a mailbox behind a Hub, and a client of somebody else.
type world struct {
	testing.TB
	g    *msgraphtest.Server
	srv  *httptest.Server
	conn *connectors.Conn
	open func(mailbox string, timeout time.Duration) *connectors.Conn
	sent atomic.Int64
	meet func(http.ResponseWriter, *http.Request) bool
}

func newWorld(t testing.TB, options map[string]string) *world {
	return newWorldOf(t, options, &msgraphtest.Options{})
}

func newWorldOf(t testing.TB, options map[string]string, o *msgraphtest.Options) *world {
	o.Token, o.Mailboxes, o.PageSize, o.Now = "token-of-ana", []string{ana, ben}, 50, today
	w := &world{TB: t, g: msgraphtest.New(o)}
	w.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.sent.Add(1)
		if w.meet == nil || !w.meet(rw, r) {
			w.g.ServeHTTP(rw, r)
		}
	}))
	w.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.srv.StartTLS()
	t.Cleanup(w.srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(w.srv.Certificate())
	seed := func(who, role string) authz.Authorization {
		return authz.Authorization{Principal: authztest.Principal(t, who), Role: authz.MustRole(role), Resource: authztest.Resource(t, "tenants/acme"), Effect: authz.Allow}
	}
	az, err := authz.New(t.Context(), policy.Files(), &authz.Options{Seed: []authz.Authorization{seed("user:idp/ana", "role:user"),
		seed("service:"+connectors.ConnectionsPrincipal, "role:connection"), seed("user:idp/tara", "role:tenant-admin")}})
	require.NoError(t, err)
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = safe.Close() })
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme/users/ana"), "mailbox")
	require.NoError(t, err)
	grant, err := az.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "user:idp/tara"),
		Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(t, err)
	require.NoError(t, safe.Put(t.Context(), grant, ref, []byte("token-of-ana"), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}))
	hub, err := connectors.NewHub(az, safe, plugin(today))
	require.NoError(t, err)
	w.open = func(mailbox string, timeout time.Duration) *connectors.Conn {
		c, err := hub.Open(t.Context(), authztest.Principal(t, "user:idp/ana"), connectors.Endpoint{Plugin: Name, URL: w.srv.URL + "/v1.0/users/" + mailbox, Timeout: timeout,
			Resource: authztest.Resource(t, "tenants/acme/users/ana/mailbox"), Secret: ref, Roots: roots, Options: options})
		require.NoError(t, err)
		return c
	}
	w.conn = w.open(ana, 0)
	return w
}

// other sends a request of a client that is not ours.
func (w *world) other(method, path string, body any) map[string]any {
	w.Helper()
	b, err := json.Marshal(body)
	require.NoError(w, err)
	r, err := http.NewRequestWithContext(context.Background(), method, w.srv.URL+"/v1.0/users/"+path, strings.NewReader(string(b)))
	require.NoError(w, err)
	r.Header.Set("Authorization", "Bearer token-of-ana")
	resp, err := w.srv.Client().Do(r)
	require.NoError(w, err)
	defer resp.Body.Close()
	require.Less(w, resp.StatusCode, 300, "%s %s", method, path)
	var out map[string]any
	if resp.StatusCode != http.StatusNoContent {
		require.NoError(w, json.NewDecoder(resp.Body).Decode(&out))
	}
	return out
}

func (w *world) changes(cursor string) (map[string]connectors.Change, string) {
	w.Helper()
	out := map[string]connectors.Change{}
	for {
		p, err := w.conn.Changes(w.Context(), connectors.KindAppointment, cursor, 0)
		require.NoError(w, err)
		for _, c := range p.Changes {
			out[c.ID] = c
		}
		if cursor = p.Cursor; !p.More {
			return out, cursor
		}
	}
}

func at(t time.Time) map[string]any {
	return map[string]any{"dateTime": t.Format("2006-01-02T15:04:05"), "timeZone": "UTC"}
}

// evidence: I4, an event outside the range is not deleted because Graph says removed.
func TestRemovedOutsideTheRangeIsNotDeleted(t *testing.T) {
	w := newWorld(t, nil)
	near := w.other("POST", ana+"/events", map[string]any{"subject": "near", "start": at(today()), "end": at(today().Add(time.Hour))})["id"].(string)
	far := today().AddDate(4, 0, 0)
	out := w.other("POST", ana+"/events", map[string]any{"subject": "far", "start": at(far), "end": at(far.Add(time.Hour))})["id"].(string)
	all, cursor := w.changes("")
	require.Contains(t, all, near)
	require.NotContains(t, all, out)

	// It moves out of the range, is changed there, and something out there is new.
	w.other("PATCH", ana+"/events/"+near, map[string]any{"start": at(far), "end": at(far.Add(time.Hour))})
	w.other("PATCH", ana+"/events/"+out, map[string]any{"subject": "further"})
	news, cursor := w.changes(cursor)
	require.Len(t, news, 2)
	for id, c := range news {
		require.False(t, c.Gone, id)
		require.NotEmpty(t, c.Rev)
	}
	// What is really gone is.
	w.other("DELETE", ana+"/events/"+near, nil)
	w.other("DELETE", ana+"/events/"+out, nil)
	news, _ = w.changes(cursor)
	require.True(t, news[near].Gone)
	require.True(t, news[out].Gone)
}

// The range moves on by a new beginning, which calls nothing deleted.
func TestTheRangeMovesWithoutDeletions(t *testing.T) {
	w := newWorld(t, map[string]string{OptPast: "1", OptAhead: "10"})
	id := w.other("POST", ana+"/events", map[string]any{"subject": "s", "start": at(today()), "end": at(today().Add(time.Hour))})["id"].(string)
	_, cursor := w.changes("")
	var c struct {
		Since time.Time `json:"at"`
		From  time.Time `json:"f"`
	}
	require.NoError(t, json.Unmarshal([]byte(cursor), &c))
	require.Equal(t, today(), c.Since)
	old := strings.ReplaceAll(cursor, today().Format(time.RFC3339), today().AddDate(0, 0, -5).Format(time.RFC3339))
	require.NotEqual(t, cursor, old)
	again, cursor := w.changes(old)
	require.Contains(t, again, id, "everything in the range is told anew")
	require.False(t, again[id].Gone)
	require.NoError(t, json.Unmarshal([]byte(cursor), &c))
	require.Equal(t, today(), c.Since)
	none, _ := w.changes(cursor)
	require.Empty(t, none)
}

// evidence: I5, no cancellation is sent that no user has sent.
func TestAMeetingIsNeverDeleted(t *testing.T) {
	w := newWorld(t, nil)
	id, err := w.g.Invite(ana, "plan", today(), today().Add(time.Hour), ben)
	require.NoError(t, err)
	require.Len(t, w.g.Ledger(), 1)
	rs, err := w.conn.Get(t.Context(), connectors.KindAppointment, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, []connectors.Party{{Address: ben, Name: ben}}, r.Appointment.Attendees)
	require.Equal(t, ana, r.Appointment.Organizer.Address)
	ws, err := w.conn.Delete(t.Context(), connectors.KindAppointment, []connectors.Target{{ID: id, Rev: r.Rev}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrInvalid)
	require.Len(t, w.g.Ledger(), 1, "a cancellation was sent")
	for _, f := range []connectors.Field{connectors.FieldAttendees, connectors.FieldOrganizer, connectors.FieldStatus} {
		ws, err = w.conn.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r.Clone(), Fields: []connectors.Field{f}}})
		require.NoError(t, err)
		require.ErrorIs(t, ws[0].Err, connectors.ErrInvalid)
	}
	require.Len(t, w.g.Ledger(), 1)
}

// What a list holds beyond what is mapped stays in it.
func TestUpdatesKeepWhatIsNotMapped(t *testing.T) {
	w := newWorld(t, nil)
	id := w.other("POST", ana+"/contacts", map[string]any{"surname": "Ito", "spouseName": "Kai", "categories": []string{"a"},
		"businessPhones": []string{"1", "2"}, "homePhones": []string{"3", "4"},
		"emailAddresses":  []map[string]any{{"name": "Main", "address": "a@x.example"}, {"name": "Other", "address": "b@x.example"}},
		"businessAddress": map[string]any{"street": "S", "city": "C"}})["id"].(string)
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, []string{id})
	require.NoError(t, err)
	r := rs[0].Record
	r.Contact.Phone, r.Contact.Email, r.Contact.City = "9", "z@x.example", "D"
	ws, err := w.conn.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r,
		Fields: []connectors.Field{connectors.FieldPhone, connectors.FieldEmail, connectors.FieldCity}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other("GET", ana+"/contacts/"+id, nil)
	assert.Equal(t, []any{"9", "2"}, got["businessPhones"])
	assert.Equal(t, []any{"3", "4"}, got["homePhones"])
	assert.Equal(t, "Kai", got["spouseName"])
	assert.Equal(t, []any{"a"}, got["categories"])
	assert.Equal(t, []any{map[string]any{"address": "z@x.example"}, map[string]any{"name": "Other", "address": "b@x.example"}}, got["emailAddresses"])
	assert.Equal(t, "S", got["businessAddress"].(map[string]any)["street"])
	assert.Equal(t, "D", got["businessAddress"].(map[string]any)["city"])
}

func TestASecondAddressWithoutAFirstIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.Email2 = "b@x.example"
	ws, err := w.conn.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	var e *connectors.Error
	require.ErrorAs(t, ws[0].Err, &e)
	require.Equal(t, connectors.FieldEmail, e.Field)
	require.ErrorIs(t, e, connectors.ErrInvalid)
}

// evidence: F44, being told to wait costs no record.
func TestThrottledInABatch(t *testing.T) {
	w := newWorld(t, nil)
	var ids []string
	for i := range 30 {
		ids = append(ids, w.other("POST", ana+"/contacts", map[string]any{"surname": fmt.Sprint(i)})["id"].(string))
	}
	w.g.Throttle(7)
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, ids)
	require.NoError(t, err)
	for i, r := range rs {
		require.NoError(t, r.Err)
		require.Equal(t, fmt.Sprint(i), r.Record.Contact.FamilyName)
	}
	w.g.Throttle(3)
	var ds []connectors.Draft
	for i := range 20 {
		ds = append(ds, connectors.Draft{Record: rs[i].Record.Clone(), Key: fmt.Sprint("key", i)})
	}
	ws, err := w.conn.Create(t.Context(), connectors.KindContact, ds)
	require.NoError(t, err)
	waiting := 0
	for _, x := range ws {
		if x.Err != nil {
			require.ErrorIs(t, x.Err, connectors.ErrThrottled, "a write that was not carried out says so")
			waiting++
		}
	}
	require.Equal(t, 3, waiting)
}

// A thousand changes cost the requests that the protocol asks for.
func TestRequestsForAThousandChanges(t *testing.T) {
	w := newWorld(t, nil)
	for i := range 200 {
		w.other("POST", ana+"/contacts", map[string]any{"surname": fmt.Sprint(i)})
	}
	w.sent.Store(0)
	var ids []string
	cursor := ""
	for more := true; more; {
		p, err := w.conn.Changes(t.Context(), connectors.KindContact, cursor, 200)
		require.NoError(t, err)
		for _, c := range p.Changes {
			ids = append(ids, c.ID)
		}
		cursor, more = p.Cursor, p.More
	}
	rs, err := w.conn.Get(t.Context(), connectors.KindContact, ids)
	require.NoError(t, err)
	require.Len(t, rs, 200)
	require.EqualValues(t, 4+10, w.sent.Load(), "pages of 50 and batches of 20")
}

// Of each kind a thousand changes cost a page for as many as there are on one, and a
// batch for twenty that are read; mails cost the latter for their headers alone, where
// their history does not bring them.
func TestRequestsForChangesOfEachKind(t *testing.T) {
	for k, want := range map[connectors.Kind]int64{connectors.KindTask: 1 + 4 + 10, connectors.KindMail: 1 + 4 + 1 + 12, connectors.KindAppointment: 4 + 10} {
		w := newWorld(t, nil)
		for i := range 200 {
			kind := map[connectors.Kind]string{connectors.KindTask: "tasks", connectors.KindMail: "messages", connectors.KindAppointment: "events"}[k]
			content := map[string]any{"subject": fmt.Sprint(i)}
			switch k {
			case connectors.KindTask:
				content = map[string]any{"title": fmt.Sprint(i)}
			case connectors.KindAppointment:
				content["start"], content["end"] = at(today()), at(today().Add(time.Hour))
			}
			_, err := w.g.Put(ana, kind, "", marshal(content))
			require.NoError(t, err)
		}
		cs, _, err := w.all(k, "")
		require.NoError(t, err)
		require.Len(t, cs, 200)
		if k != connectors.KindMail { // of mails the few that are wanted are read
			var ids []string
			for _, c := range cs {
				ids = append(ids, c.ID)
			}
			_, err = w.conn.Get(t.Context(), k, ids)
			require.NoError(t, err)
		}
		require.EqualValues(t, want, w.sent.Load(), k)
	}
}

// evidence: F35, a link that leads elsewhere is not followed.
func TestLinksThatLeadElsewhere(t *testing.T) {
	for _, link := range []string{"https://evil.example/v1.0/users/ana/contacts/delta", "http://HOST/v1.0/users/" + ana + "/contactFolders/contacts/contacts/delta?x",
		"https://user@HOST/v1.0/users/" + ana + "/contactFolders/contacts/contacts/delta", "https://HOST/v1.0/users/" + ana + "/contactFolders/../../x/messages",
		"https://HOST/v1.0/users/" + ana + "/messages/delta", "::", "/", strings.Repeat("x", 40<<10)} {
		w := newWorld(t, nil)
		u, err := url.Parse(w.srv.URL)
		require.NoError(t, err)
		link = strings.ReplaceAll(link, "HOST", u.Host)
		w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
			_ = json.NewEncoder(rw).Encode(map[string]any{"value": []any{}, "@odata.nextLink": link})
			return true
		}
		_, err = w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
		require.ErrorIs(t, err, connectors.ErrMalformed, link)
		_, err = w.conn.List(t.Context(), connectors.KindContact, "", 10)
		require.ErrorIs(t, err, connectors.ErrMalformed, link)
	}
	// A link of the service in another spelling of the mailbox, or of another
	// mailbox, is read in the endpoint's own.
	w := newWorld(t, nil)
	var paths []string
	w.meet = func(rw http.ResponseWriter, r *http.Request) bool {
		paths = append(paths, r.URL.Path)
		_ = json.NewEncoder(rw).Encode(map[string]any{"value": []any{},
			"@odata.deltaLink": w.srv.URL + "/v1.0/users('" + ben + "')/contactFolders('contacts')/contacts/delta?$deltatoken=x"})
		return true
	}
	p, err := w.conn.Changes(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	_, err = w.conn.Changes(t.Context(), connectors.KindContact, p.Cursor, 10)
	require.NoError(t, err)
	for _, path := range paths {
		require.True(t, strings.HasPrefix(path, "/v1.0/users/"+ana+"/"), path)
	}
}

func TestOpenRefusesWhatItDoesNotUnderstand(t *testing.T) {
	for in, want := range map[string]string{"": "url", "https://graph.microsoft.com/": "url", "https://graph.microsoft.com/v1.0/": "url", "https://graph.microsoft.com/v1.0/users/": "url",
		"https://graph.microsoft.com/v1.0/users/a/b": "url", "https://graph.microsoft.com/beta/me": "url", "https://graph.microsoft.com/v1.0/me?x=1": "url"} {
		s := connectors.Settings{}
		if in != "" {
			u, err := url.Parse(in)
			require.NoError(t, err)
			s.URL = u
		}
		_, err := open(s, today)
		require.ErrorContains(t, err, want, in)
	}
	u, err := url.Parse("https://graph.microsoft.com/v1.0/me")
	require.NoError(t, err)
	for k, v := range map[string]string{OptPast: "-1", OptAhead: "x", OptContacts: "a/b", OptMails: ",", OptTasks: strings.Repeat("a,", 20) + "a", "colour": "red"} {
		_, err := open(connectors.Settings{URL: u, Options: map[string]string{k: v}}, today)
		require.ErrorContains(t, err, k)
	}
	_, err = open(connectors.Settings{URL: u, Options: map[string]string{OptPast: "400", OptAhead: "400"}}, today)
	require.ErrorContains(t, err, OptAhead)
	d, err := open(connectors.Settings{URL: u}, today)
	require.NoError(t, err)
	require.Equal(t, "https://graph.microsoft.com/v1.0", d.root.String())
	require.Equal(t, "/me", d.user)
}

func TestEventTimes(t *testing.T) {
	for name, c := range map[string]struct {
		json       string
		start, end string
		zone       string
	}{
		"in its zone":                    {`"start":{"dateTime":"2026-07-01T07:00:00.0000000","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T08:00:00.0000000","timeZone":"UTC"},"originalStartTimeZone":"W. Europe Standard Time"`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", "Europe/Berlin"},
		"a zone nobody knows":            {`"start":{"dateTime":"2026-07-01T07:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T08:00:00","timeZone":"UTC"},"originalStartTimeZone":"tzone://Microsoft/Custom"`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", ""},
		"all day":                        {`"isAllDay":true,"start":{"dateTime":"2026-07-01T00:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-02T00:00:00","timeZone":"UTC"},"originalStartTimeZone":"W. Europe Standard Time"`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"all day, counted from Berlin":   {`"isAllDay":true,"start":{"dateTime":"2026-06-30T22:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T22:00:00","timeZone":"UTC"},"originalStartTimeZone":"W. Europe Standard Time"`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"all day, counted from Honolulu": {`"isAllDay":true,"start":{"dateTime":"2026-07-01T10:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-07-02T10:00:00","timeZone":"UTC"},"originalStartTimeZone":"Hawaiian Standard Time"`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"answered in another zone":       {`"start":{"dateTime":"2026-07-01T09:00:00","timeZone":"Europe/Berlin"},"end":{"dateTime":"2026-07-01T10:00:00","timeZone":"Europe/Berlin"}`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", ""},
	} {
		r, err := readEvent([]byte(`{"id":"x","@odata.etag":"y",`+c.json+`}`), &zone.Book{})
		require.NoError(t, err, name)
		assert.Equal(t, c.start, r.Appointment.Start.Format(time.RFC3339), name)
		assert.Equal(t, c.end, r.Appointment.End.Format(time.RFC3339), name)
		assert.Equal(t, c.zone, r.Appointment.Zone, name)
	}
	for _, bad := range []string{`{"id":"x"}`, `{"id":"x","start":{"dateTime":"soon","timeZone":"UTC"}}`, `{"start":{"dateTime":"2026-07-01T07:00:00","timeZone":"Nowhere/Land"}}`, `[]`, `{`} {
		_, err := readEvent([]byte(bad), &zone.Book{})
		require.ErrorIs(t, err, connectors.ErrMalformed, bad)
	}
}

func TestRules(t *testing.T) {
	for in, want := range map[string]string{
		`{"pattern":{"type":"daily","interval":1},"range":{"type":"noEnd"}}`:                                                                                        "FREQ=DAILY",
		`{"pattern":{"type":"weekly","interval":2,"daysOfWeek":["monday","friday"],"firstDayOfWeek":"sunday"},"range":{"type":"numbered","numberOfOccurrences":5}}`: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU;COUNT=5",
		`{"pattern":{"type":"absoluteMonthly","interval":1,"dayOfMonth":31},"range":{"type":"endDate","endDate":"2026-12-31"}}`:                                     "FREQ=MONTHLY;BYMONTHDAY=31;UNTIL=20261231",
		`{"pattern":{"type":"relativeMonthly","interval":1,"daysOfWeek":["tuesday"],"index":"last"},"range":{"type":"noEnd"}}`:                                      "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=-1",
		`{"pattern":{"type":"relativeYearly","interval":1,"month":3,"daysOfWeek":["sunday"],"index":"second"},"range":{"type":"noEnd"}}`:                            "FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYSETPOS=2",
		`{"pattern":{"type":"absoluteYearly","interval":1,"month":2,"dayOfMonth":29},"range":{"type":"noEnd"}}`:                                                     "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
		`{"pattern":{"type":"hourly"},"range":{}}`: "", `{"pattern":{"type":"weekly","daysOfWeek":["x"]}}`: "", `{"pattern":{"type":"relativeMonthly","index":"sometimes","daysOfWeek":["monday"]}}`: "",
	} {
		var r recurrence
		require.NoError(t, json.Unmarshal([]byte(in), &r))
		assert.Equal(t, want, r.rule(), in)
	}
}

func BenchmarkRead(b *testing.B) {
	contact := []byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"EQAAAB\"","lastModifiedDateTime":"2026-03-10T09:00:00Z","givenName":"Ana","surname":"Ito","companyName":"Acme",` +
		`"emailAddresses":[{"name":"Ana","address":"ana@acme.example"}],"businessPhones":["+49 6221 1"],"businessAddress":{"street":"S 1","city":"C","countryOrRegion":"DE"},"personalNotes":"n"}`)
	event := []byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"EQAAAB\"","iCalUId":"u","subject":"Plan","body":{"contentType":"text","content":"b"},"location":{"displayName":"Room"},` +
		`"start":{"dateTime":"2026-07-01T07:00:00.0000000","timeZone":"UTC"},"end":{"dateTime":"2026-07-01T08:00:00.0000000","timeZone":"UTC"},"originalStartTimeZone":"Europe/Berlin","attendees":[{"type":"required","emailAddress":{"address":"b@x.example"}}]}`)
	task := []byte(`{"id":"AAkALgAA34UOQQDzuwcTJPwhE6Q2a9g","@odata.etag":"W/\"EQAAAB\"","title":"Call","body":{"contentType":"text","content":"b"},"importance":"high","status":"notStarted",` +
		`"dueDateTime":{"dateTime":"2026-03-12T00:00:00.0000000","timeZone":"UTC"},"categories":["SAP Tasks"],"extensions":[{"extensionName":"com.lockkeeper.key","key":"k"}]}`)
	mail := messageJSON(&connectors.Record{Kind: connectors.KindMail, Mail: &connectors.Mail{MessageID: "m@x.example", Subject: "Hello", Body: "Dear Ana", References: []string{"a@x", "b@x"},
		From: connectors.Party{Address: "b@x.example", Name: "Ben"}, To: []connectors.Party{{Address: ana}}, Date: today(), ContentType: "text/plain"}})
	zones := &zone.Book{}
	for name, c := range map[string]struct {
		b    []byte
		read func([]byte) (*connectors.Record, error)
	}{"contact": {contact, readContact}, "event": {event, func(b []byte) (*connectors.Record, error) { return readEvent(b, zones) }},
		"task": {task, readTask}, "mail": {mail, func(b []byte) (*connectors.Record, error) { return readMail(b, ana, found{}) }}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.read(c.b); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
