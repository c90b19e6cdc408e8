package ews

import (
	"crypto/x509"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// world is a service account's connection to one mailbox.
type world struct {
	testing.TB
	x    *ewstest.Server
	srv  *httptest.Server
	sent []string
	hub  *connectors.Hub
	ep   connectors.Endpoint

	intercept func(http.ResponseWriter, *http.Request) bool // nil: nothing is
}

func (w *world) address() *url.URL {
	u, err := url.Parse(w.ep.URL)
	require.NoError(w, err)
	return u
}

func newWorld(t testing.TB, options map[string]string) *world {
	return newWorldBy(t, options, ewstest.Options{User: "svc"}, func(string) secrets.Scheme { return secrets.Scheme{Kind: secrets.Basic, Username: "svc"} })
}

// newWorldBy is a world whose account signs in as it likes.
func newWorldBy(t testing.TB, options map[string]string, o ewstest.Options, scheme func(host string) secrets.Scheme) *world {
	o.Password, o.Mailboxes, o.Impersonate = "password of svc", []string{"svc@acme.example", ana, ben}, []string{ana}
	return newWorldOf(t, options, o, scheme)
}

func newWorldOf(t testing.TB, options map[string]string, o ewstest.Options, scheme func(host string) secrets.Scheme) *world {
	w := &world{TB: t, x: ewstest.New(&o)}
	w.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.intercept != nil && w.intercept(rw, r) {
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.sent = append(w.sent, string(b))
		r.Body = io.NopCloser(strings.NewReader(string(b)))
		w.x.ServeHTTP(rw, r)
	}))
	w.srv.Config.ConnContext = w.x.ConnContext
	w.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.srv.StartTLS()
	t.Cleanup(w.srv.Close)
	roots := x509.NewCertPool()
	roots.AddCert(w.srv.Certificate())
	az := authztest.New(t, "allow user:idp/ana role:user tenants/acme/users/ana", "allow service:connections role:connection tenants/acme", "allow service:admin role:tenant-admin tenants/acme")
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = safe.Close() })
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme"), "exchange")
	require.NoError(t, err)
	g, err := az.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(t, err)
	require.NoError(t, safe.Put(t.Context(), g, ref, []byte(o.Password), secrets.PutOptions{Scheme: scheme(w.srv.Listener.Addr().String())}))
	w.hub, err = connectors.NewHub(az.Authorizer, safe, Plugin())
	require.NoError(t, err)
	w.ep = connectors.Endpoint{Plugin: Name, URL: w.srv.URL + ewstest.Path, Resource: authztest.Resource(t, "tenants/acme/users/ana/mailbox"), Secret: ref, Roots: roots, Options: options}
	return w
}

func (w *world) open() *connectors.Conn {
	w.Helper()
	c, err := w.hub.Open(w.Context(), authztest.Principal(w.TB, "user:idp/ana"), w.ep)
	require.NoError(w, err)
	return c
}

func asAna() map[string]string { return map[string]string{OptMailbox: ana, OptAllow: "@acme.example"} }

// other sends an operation as another program would.
func (w *world) other(mailbox, body string) string {
	w.Helper()
	s := session{d: &driver{mailbox: mailbox}}
	r, err := http.NewRequestWithContext(w.Context(), "POST", w.srv.URL+ewstest.Path, strings.NewReader(string(s.envelope(body))))
	require.NoError(w, err)
	r.SetBasicAuth("svc", "password of svc")
	r.Header.Set("X-AnchorMailbox", mailbox)
	resp, err := w.srv.Client().Do(r)
	require.NoError(w, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w, err)
	require.Contains(w, string(b), "NoError", "%s", b)
	return string(b)
}

// id finds the first item id in an answer.
func id(answer string) string {
	m := regexp.MustCompile(`ItemId Id="([^"]+)"`).FindStringSubmatch(answer)
	if m == nil {
		return ""
	}
	return m[1]
}

// evidence: F43, busy is busy in each of its disguises.
func TestBusyInEveryDisguise(t *testing.T) {
	for _, status := range []int{503, 500, 200} {
		w := newWorld(t, asAna())
		c := w.open()
		w.x.TellToWait(ewstest.Busy{Status: status, BackOff: 90 * time.Second})
		_, err := c.List(t.Context(), connectors.KindContact, "", 10)
		if status == 503 { // says nothing of how long: asked again, and answered
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, connectors.ErrThrottled, "%d", status)
			var e *connectors.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, 90*time.Second, e.RetryAfter)
		}
		w.x.TellToWait(ewstest.Busy{Status: status, BackOff: time.Second})
		r := connectors.NewRecord(connectors.KindContact)
		r.Contact.FamilyName = "Ito"
		ws, err := c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
		switch status {
		case 503:
			require.ErrorIs(t, err, connectors.ErrUnknownOutcome)
		case 500:
			require.ErrorIs(t, err, connectors.ErrThrottled)
		default:
			if err == nil {
				err = ws[0].Err
			}
			require.ErrorIs(t, err, connectors.ErrThrottled)
		}
		p, err := c.List(t.Context(), connectors.KindContact, "", 10)
		require.NoError(t, err)
		require.Empty(t, p.IDs)
	}
}

// evidence: P19, nobody is impersonated who was not allowed: refused here, and by
// the server where it is the server's business.
func TestImpersonation(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	_, err := c.List(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	require.Contains(t, w.sent[0], "<t:PrimarySmtpAddress>"+ana+"</t:PrimarySmtpAddress>")
	require.Empty(t, w.x.Unknown())

	n := len(w.sent)
	for _, o := range []map[string]string{{OptMailbox: ana}, {OptMailbox: ana, OptAllow: "@other.example, ben@acme.example"}, {OptMailbox: ana, OptAllow: "acme.example"},
		{OptMailbox: "ana", OptAllow: "ana"}, {OptMailbox: "a\r\nb@acme.example", OptAllow: "@acme.example"}, {OptMailbox: "x@evil.example@acme.example.evil", OptAllow: "@acme.example"}} {
		w.ep.Options = o
		_, err := w.hub.Open(t.Context(), authztest.Principal(t, "user:idp/ana"), w.ep)
		require.ErrorContains(t, err, OptMailbox, "%v", o)
	}
	require.Len(t, w.sent, n, "nothing was sent")

	w.ep.Options = map[string]string{OptMailbox: ben, OptAllow: "@acme.example"} // ours allows it, the server does not
	c = w.open()
	_, err = c.List(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrForbidden)
}

// evidence: P16, no password goes to a cloud host.
func TestCloudHostsAreRefused(t *testing.T) {
	for _, host := range []string{"outlook.office365.com", "OUTLOOK.OFFICE.COM", "x.outlook.com", "partner.outlook.cn", "outlook.office365.com:443"} {
		u, err := url.Parse("https://" + host + "/EWS/Exchange.asmx")
		require.NoError(t, err)
		_, err = open(connectors.Settings{URL: u})
		require.ErrorContains(t, err, "msgraph", host)
	}
	for _, bad := range []string{"https://mail.acme.example/", "https://mail.acme.example/EWS/Exchange.asmx?x=1"} {
		u, err := url.Parse(bad)
		require.NoError(t, err)
		_, err = open(connectors.Settings{URL: u})
		require.ErrorContains(t, err, "url")
	}
	u, err := url.Parse("https://mail.acme.example/EWS/Exchange.asmx")
	require.NoError(t, err)
	_, err = open(connectors.Settings{URL: u, Options: map[string]string{"colour": "red"}})
	require.ErrorContains(t, err, "colour")
	_, err = open(connectors.Settings{URL: u})
	require.NoError(t, err)
}

// evidence: I5, whatever is written to a meeting, nobody is sent a message.
func TestNobodyIsTold(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	meeting := id(w.other(ana, `<m:CreateItem SendMeetingInvitations="SendToAllAndSaveCopy"><m:Items><t:CalendarItem><t:Subject>plan</t:Subject><t:Start>2026-07-01T07:00:00Z</t:Start>`+
		`<t:End>2026-07-01T08:00:00Z</t:End><t:RequiredAttendees><t:Attendee><t:Mailbox><t:EmailAddress>`+ben+`</t:EmailAddress></t:Mailbox></t:Attendee></t:RequiredAttendees></t:CalendarItem></m:Items></m:CreateItem>`))
	require.Len(t, w.x.Ledger(), 1)
	rs, err := c.Get(t.Context(), connectors.KindAppointment, []string{meeting})
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, []connectors.Party{{Address: ben, Name: ben}}, r.Appointment.Attendees)
	require.Equal(t, ana, r.Appointment.Organizer.Address)
	w.sent = nil
	next := r.Clone()
	next.Appointment.Subject, next.Appointment.Start = "moved", r.Appointment.Start.Add(-time.Hour)
	ws, err := c.Update(t.Context(), connectors.KindAppointment, []connectors.Edit{{ID: meeting, Rev: r.Rev, Record: next, Fields: []connectors.Field{connectors.FieldSubject, connectors.FieldTime}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	ws, err = c.Delete(t.Context(), connectors.KindAppointment, []connectors.Target{{ID: meeting, Rev: ws[0].Rev}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	require.Len(t, w.x.Ledger(), 1, "somebody was told")
	all := strings.Join(w.sent, "\n")
	require.Contains(t, all, `SendMeetingInvitationsOrCancellations="SendToNone"`)
	require.Contains(t, all, `SendMeetingCancellations="SendToNone"`)
	require.Contains(t, all, `ConflictResolution="NeverOverwrite"`)
	require.Contains(t, all, `DeleteType="MoveToDeletedItems"`)
}

// What an item holds beyond what is mapped stays in it, and addresses may have gaps.
func TestUpdatesKeepWhatIsNotMapped(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	one := id(w.other(ana, `<m:CreateItem><m:Items><t:Contact><t:Subject>s</t:Subject><t:DisplayName>d</t:DisplayName><t:EmailAddresses><t:Entry Key="EmailAddress2">b@x.example</t:Entry></t:EmailAddresses>`+
		`<t:PhoneNumbers><t:Entry Key="CarPhone">77</t:Entry></t:PhoneNumbers><t:SpouseName>Ren</t:SpouseName><t:Surname>Ito</t:Surname></t:Contact></m:Items></m:CreateItem>`))
	rs, err := c.Get(t.Context(), connectors.KindContact, []string{one})
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, "b@x.example", r.Contact.Email2)
	require.Empty(t, r.Contact.Email)
	r.Contact.FamilyName, r.Contact.Phone = "Ito-Berg", "1"
	ws, err := c.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: one, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldFamilyName, connectors.FieldPhone}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := w.other(ana, `<m:GetItem><m:ItemShape><t:BaseShape>AllProperties</t:BaseShape><t:AdditionalProperties><t:IndexedFieldURI FieldURI="contacts:PhoneNumber" FieldIndex="CarPhone"/>`+
		`<t:IndexedFieldURI FieldURI="contacts:PhoneNumber" FieldIndex="BusinessPhone"/></t:AdditionalProperties></m:ItemShape><m:ItemIds><t:ItemId Id="`+one+`"/></m:ItemIds></m:GetItem>`)
	for _, want := range []string{"<t:SpouseName>Ren", `Key="CarPhone">77`, `Key="BusinessPhone">1`, "<t:Surname>Ito-Berg", "<t:DisplayName>d"} {
		assert.Contains(t, got, want)
	}
}

func read(t *testing.T, content string) (*connectors.Record, error) {
	t.Helper()
	var it item
	require.NoError(t, xml.Unmarshal([]byte(`<CalendarItem><ItemId Id="x" ChangeKey="y"/>`+content+`</CalendarItem>`), &it))
	return readEvent(&it, &zone.Book{})
}

func TestTimes(t *testing.T) {
	for name, c := range map[string][4]string{
		"in its zone":          {`<Start>2026-07-01T07:00:00Z</Start><End>2026-07-01T08:00:00Z</End><StartTimeZone Id="W. Europe Standard Time"/>`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", "Europe/Berlin"},
		"with an offset":       {`<Start>2026-07-01T09:00:00+02:00</Start><End>2026-07-01T10:00:00+02:00</End>`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", ""},
		"all day from Berlin":  {`<Start>2026-06-30T22:00:00Z</Start><End>2026-07-01T22:00:00Z</End><IsAllDayEvent>true</IsAllDayEvent><StartTimeZone Id="W. Europe Standard Time"/>`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"all day in UTC":       {`<Start>2026-07-01T00:00:00Z</Start><End>2026-07-02T00:00:00Z</End><IsAllDayEvent>true</IsAllDayEvent><StartTimeZone Id="UTC"/>`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"a zone nobody knows":  {`<Start>2026-07-01T07:00:00Z</Start><End>2026-07-01T08:00:00Z</End><StartTimeZone Id="Customized"/>`, "2026-07-01T07:00:00Z", "2026-07-01T08:00:00Z", ""},
		"all day from Hawaii":  {`<Start>2026-07-01T10:00:00Z</Start><End>2026-07-02T10:00:00Z</End><IsAllDayEvent>true</IsAllDayEvent><StartTimeZone Id="Hawaiian Standard Time"/>`, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z", ""},
		"before there was one": {`<Start>1601-01-01T00:00:00Z</Start><End>1601-01-01T00:30:00Z</End>`, "1601-01-01T00:00:00Z", "1601-01-01T00:30:00Z", ""},
	} {
		r, err := read(t, c[0])
		require.NoError(t, err, name)
		assert.Equal(t, c[1:], []string{r.Appointment.Start.Format(time.RFC3339), r.Appointment.End.Format(time.RFC3339), r.Appointment.Zone}, name)
	}
	for _, bad := range []string{"", "<Start>soon</Start>", "<Start>2026-07-01T07:00:00Z</Start>"} {
		_, err := read(t, bad)
		require.ErrorIs(t, err, connectors.ErrMalformed)
	}
	// Zones go out by the names of Windows, the only ones that are taken.
	for in, want := range map[string]string{"Europe/Berlin": "W. Europe Standard Time", "UTC": "UTC", "": "UTC", "Europe/Vaduz": "W. Europe Standard Time", "Antarctica/Troll": "UTC", "Nowhere": "UTC"} {
		require.Equal(t, want, home(&connectors.Appointment{Zone: in}), in)
	}
}

func TestRules(t *testing.T) {
	for in, want := range map[string]string{
		`<DailyRecurrence><Interval>1</Interval></DailyRecurrence><NoEndRecurrence/>`:                                                                                                            "FREQ=DAILY",
		`<WeeklyRecurrence><Interval>2</Interval><DaysOfWeek>Monday Friday</DaysOfWeek></WeeklyRecurrence><NumberedRecurrence><NumberOfOccurrences>5</NumberOfOccurrences></NumberedRecurrence>`: "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;COUNT=5",
		`<WeeklyRecurrence><Interval>1</Interval><DaysOfWeek>Weekday</DaysOfWeek><FirstDayOfWeek>Sunday</FirstDayOfWeek></WeeklyRecurrence>`:                                                     "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;WKST=SU",
		`<AbsoluteMonthlyRecurrence><Interval>1</Interval><DayOfMonth>31</DayOfMonth></AbsoluteMonthlyRecurrence><EndDateRecurrence><EndDate>2026-12-31Z</EndDate></EndDateRecurrence>`:          "FREQ=MONTHLY;BYMONTHDAY=31;UNTIL=20261231",
		`<RelativeMonthlyRecurrence><Interval>1</Interval><DaysOfWeek>Tuesday</DaysOfWeek><DayOfWeekIndex>Last</DayOfWeekIndex></RelativeMonthlyRecurrence>`:                                     "FREQ=MONTHLY;BYDAY=TU;BYSETPOS=-1",
		`<RelativeYearlyRecurrence><DaysOfWeek>Sunday</DaysOfWeek><DayOfWeekIndex>Second</DayOfWeekIndex><Month>March</Month></RelativeYearlyRecurrence>`:                                        "FREQ=YEARLY;BYMONTH=3;BYDAY=SU;BYSETPOS=2",
		`<AbsoluteYearlyRecurrence><DayOfMonth>29</DayOfMonth><Month>February</Month></AbsoluteYearlyRecurrence>`:                                                                                "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
		`<DailyRegeneration><Interval>1</Interval></DailyRegeneration>`:                                                                                                                          "", `<WeeklyRecurrence><DaysOfWeek>Someday</DaysOfWeek></WeeklyRecurrence>`: "", `<AbsoluteYearlyRecurrence><Month>Brumaire</Month></AbsoluteYearlyRecurrence>`: "",
	} {
		r, err := read(t, `<Start>2026-07-01T07:00:00Z</Start><End>2026-07-01T08:00:00Z</End><CalendarItemType>RecurringMaster</CalendarItemType><Recurrence>`+in+`</Recurrence>`)
		require.NoError(t, err)
		require.NotNil(t, r.Appointment.Recurrence)
		assert.Equal(t, want, strings.Join(r.Appointment.Recurrence.Rules, "|"), in)
	}
}

// A person of the directory alone has no address, and none is made up.
func TestDirectoryNamesAreNoAddresses(t *testing.T) {
	var it item
	require.NoError(t, xml.Unmarshal([]byte(`<Contact><EmailAddresses><Entry Key="EmailAddress1" RoutingType="EX">/O=ACME/CN=ANA</Entry><Entry Key="EmailAddress2" RoutingType="SMTP">a@x.example</Entry></EmailAddresses></Contact>`), &it))
	r, err := readContact(&it, nil)
	require.NoError(t, err)
	require.Empty(t, r.Contact.Email)
	require.Equal(t, "a@x.example", r.Contact.Email2)
	r, err = read(t, `<Start>2026-07-01T07:00:00Z</Start><End>2026-07-01T08:00:00Z</End><RequiredAttendees><Attendee><Mailbox><Name>X</Name><EmailAddress>/O=ACME/CN=X</EmailAddress><RoutingType>EX</RoutingType></Mailbox></Attendee>`+
		`<Attendee><Mailbox><Name>Y</Name><EmailAddress>y@x.example</EmailAddress></Mailbox></Attendee></RequiredAttendees>`)
	require.NoError(t, err)
	require.Equal(t, []connectors.Party{{Address: "y@x.example", Name: "Y"}}, r.Appointment.Attendees)
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`<Envelope><Body><GetItemResponse><ResponseMessages><GetItemResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Items><Contact><ItemId Id="x" ChangeKey="y"/><Surname>z</Surname></Contact></Items></GetItemResponseMessage></ResponseMessages></GetItemResponse></Body></Envelope>`))
	f.Add([]byte(`<Envelope><Body><Fault><detail><ResponseCode>ErrorServerBusy</ResponseCode><MessageXml><Value Name="BackOffMilliseconds">9999999999999</Value></MessageXml></detail></Fault></Body></Envelope>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		if xml.Unmarshal(b, &a) != nil {
			return
		}
		if a.Body.Fault != nil {
			_ = classify(a.Body.Fault.Detail.Code, a.Body.Fault.Detail.More)
		}
		for _, m := range a.Body.Any.Messages.List {
			_ = m.err()
			for i := range m.Items.List {
				for k, read := range map[connectors.Kind]func(*item, *zone.Book) (*connectors.Record, error){connectors.KindContact: readContact, connectors.KindAppointment: readEvent,
					connectors.KindTask: readTask, connectors.KindMail: readMail} {
					r, err := read(&m.Items.List[i], &zone.Book{})
					if err != nil {
						continue
					}
					for _, field := range connectors.Fields(k) {
						require.Equal(t, connectors.NormalizeText(field, r.Text(field)), r.Text(field), field)
					}
				}
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	one := `<Contact><ItemId Id="AAMkAGU0" ChangeKey="EQAAAB"/><LastModifiedTime>2026-03-10T09:00:00Z</LastModifiedTime><Body BodyType="Text">n</Body><GivenName>Ana</GivenName><CompanyName>Acme</CompanyName>` +
		`<EmailAddresses><Entry Key="EmailAddress1">ana@acme.example</Entry></EmailAddresses><PhoneNumbers><Entry Key="BusinessPhone">+49 6221 1</Entry></PhoneNumbers><Surname>Ito</Surname></Contact>`
	const n = 20
	var doc strings.Builder
	doc.WriteString(`<Envelope><Body><GetItemResponse><ResponseMessages>`)
	for range n {
		fmt.Fprintf(&doc, `<GetItemResponseMessage ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Items>%s</Items></GetItemResponseMessage>`, one)
	}
	doc.WriteString(`</ResponseMessages></GetItemResponse></Body></Envelope>`)
	b.ReportAllocs()
	for b.Loop() {
		var a answer
		if err := xml.Unmarshal([]byte(doc.String()), &a); err != nil || len(a.Body.Any.Messages.List) != n {
			b.Fatal(err)
		}
		for i := range a.Body.Any.Messages.List {
			if _, err := readContact(&a.Body.Any.Messages.List[i].Items.List[0], nil); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "items/s")
}
