package c4c_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// rich is a record that says something in every field of its kind.
func rich(t testing.TB, c *connectors.Conn, k connectors.Kind) *connectors.Record {
	t.Helper()
	r := connectors.NewRecord(k)
	for _, f := range fields(t, c, k) {
		r.SetText(f, "Ä"+string(f)[:1])
	}
	r.SetText(connectors.FieldCountry, "DE")
	r.SetText(connectors.FieldBirthday, "1969-07-20")
	r.SetText(connectors.FieldEmail, "zofie@example.com")
	who := []connectors.Party{{Address: "bo@example.com", Name: "Bo"}, {Address: "chen@example.com", Name: "陳"}}
	from := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	switch {
	case r.Appointment != nil:
		a := r.Appointment
		a.Start, a.End, a.Organizer, a.Attendees = from, from.Add(time.Hour), connectors.Party{Address: "ana@example.com", Name: "Ana"}, who
		if k == connectors.KindPhoneCall {
			a.Direction = connectors.Inbound
		}
	case r.Task != nil:
		r.Task.Start, r.Task.Due, r.Task.Percent = "2026-03-01", "2026-03-29", 50
		r.Task.Status, r.Task.Priority = connectors.InProgress, connectors.High
	case r.Mail != nil:
		m := r.Mail
		m.MessageID, m.Date, m.From, m.To, m.Cc = "m1=x/2@mail.example", from, who[0], who[1:], []connectors.Party{{Address: "dee@example.com"}}
		m.Direction, m.Priority = connectors.Outbound, connectors.Low
	}
	return r
}

// life is what must hold of a record of any kind against any server.
func life(t *testing.T, c *connectors.Conn, k connectors.Kind) {
	ctx := t.Context()
	v, _ := c.Capability(k)
	want := rich(t, c, k)
	_, cursor := drain(t, c, k, "", 100)
	ws, err := c.Create(ctx, k, []connectors.Draft{{Record: want, Key: "lk-1"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got := get(t, c, k, ws[0].ID)
	assert.Empty(t, connectors.Diff(want, got, fields(t, c, k)))
	assert.Equal(t, ws[0].Rev, got.Rev)
	some, _ := drain(t, c, k, cursor, 100)
	assert.Contains(t, some, ws[0].ID)
	if !v.NoKey {
		assert.Equal(t, "lk-1", got.Key)
	}
	if v.Update {
		next := got.Clone()
		f := connectors.FieldSubject
		if next.Contact != nil {
			f = connectors.FieldFamilyName
		}
		next.SetText(f, "Other")
		es, err := c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: got.Rev, Record: next, Fields: []connectors.Field{f}}})
		require.NoError(t, err)
		require.NoError(t, es[0].Err)
		now := get(t, c, k, ws[0].ID)
		assert.Equal(t, []connectors.Field{f}, connectors.Diff(got, now, fields(t, c, k)), "only what was named")
		es, err = c.Update(ctx, k, []connectors.Edit{{ID: ws[0].ID, Rev: got.Rev, Record: got, Fields: []connectors.Field{f}}})
		require.NoError(t, err)
		assert.ErrorIs(t, es[0].Err, connectors.ErrPrecondition)
		got = now
	}
	ds, err := c.Delete(ctx, k, []connectors.Target{{ID: ws[0].ID, Rev: got.Rev}})
	require.NoError(t, err)
	require.NoError(t, ds[0].Err)
	rs, err := c.Get(ctx, k, []string{ws[0].ID})
	require.NoError(t, err)
	assert.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
}

// What this module does not know of a record survives every update of what it
// does know.
// feature: F12
// feature: F13
func TestUnknownFieldsSurvive(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	at := time.Unix(0, 0)
	for k, x := range map[connectors.Kind]struct {
		set   string
		props c4ctest.Props
	}{
		connectors.KindAccount:            {"CorporateAccountCollection", c4ctest.Props{"Name": "x", "AdditionalName": "vendor"}},
		connectors.KindContact:            {"ContactCollection", c4ctest.Props{"LastName": "x", "BirthName": "vendor"}},
		connectors.KindIndividualCustomer: {"IndividualCustomerCollection", c4ctest.Props{"LastName": "x", "BirthName": "vendor"}},
		connectors.KindLead:               {"LeadCollection", c4ctest.Props{"Name": "x", "ContactLastName": "x", "CompanySecondName": "vendor"}},
		connectors.KindAppointment:        {"AppointmentCollection", c4ctest.Props{"Subject": "x", "StartDate": at, "EndDate": at, "AdditionalLocationName": "vendor"}},
		connectors.KindVisit:              {"VisitCollection", c4ctest.Props{"Subject": "x", "StartDateTime": at, "EndDateTime": at, "SalesTerritoryName": "vendor"}},
		connectors.KindTask:               {"TasksCollection", c4ctest.Props{"Subject": "x", "SalesTerritoryName": "vendor"}},
		connectors.KindPhoneCall:          {"PhoneCallCollection", c4ctest.Props{"Subject": "x", "StartDateTime": at, "EndDateTime": at, "SalesTerritoryName": "vendor"}},
	} {
		id, err := s.Seed(x.set, x.props)
		require.NoError(t, err, k)
		r := get(t, c, k, id)
		next := rich(t, c, k)
		ws, err := c.Update(t.Context(), k, []connectors.Edit{{ID: id, Rev: r.Rev, Record: next, Fields: fields(t, c, k)}})
		require.NoError(t, err, k)
		require.NoError(t, ws[0].Err, k)
		assert.Empty(t, connectors.Diff(next, get(t, c, k, id), fields(t, c, k)), k)
		p, ok := s.Get(x.set, id)
		require.True(t, ok)
		n := 0
		for name, v := range x.props {
			if v == "vendor" {
				n++
				assert.Equal(t, v, p[name], "%s %s", k, name)
			}
		}
		assert.Equal(t, 1, n, k)
	}
}

// A visit stands in the calendar of its organizer or of its owner, has two places,
// and is gone when somebody marks it for deletion.
// feature: F8
// feature: F16
func TestVisits(t *testing.T) {
	k := connectors.KindVisit
	for of, want := range map[string]string{"": "org@example.com", "organizer": "org@example.com", "owner": "owner@example.com"} {
		opts := map[string]string{c4c.OptionVisitsOf: of}
		if of == "" {
			opts = nil
		}
		s, c := emulator(t, c4ctest.Options{}, opts)
		id, err := s.Seed("VisitCollection", c4ctest.Props{"Subject": "x", "StartDateTime": time.Unix(0, 0), "EndDateTime": time.Unix(60, 0),
			"Location": "Walldorf", "AdditionalLocationName": "Room 5",
			"VisitParty": []c4ctest.Props{{"RoleCode": "35", "Email": "org@example.com"}, {"RoleCode": "39", "Email": "owner@example.com"}, {"RoleCode": "36", "Email": "guest@example.com"}}})
		require.NoError(t, err)
		r := get(t, c, k, id)
		assert.Equal(t, want, r.Appointment.Organizer.Address)
		assert.Equal(t, []connectors.Party{{Address: "guest@example.com"}}, r.Appointment.Attendees)
		assert.Equal(t, "Walldorf /-/-/ Room 5", r.Appointment.Location)
		r.Appointment.Location = "Berlin /-/-/ Room 6"
		ws, err := c.Update(t.Context(), k, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldLocation}}})
		require.NoError(t, err)
		require.NoError(t, ws[0].Err)
		p, _ := s.Get("VisitCollection", id)
		assert.Equal(t, "Berlin", p["Location"])
		assert.Equal(t, "Room 6", p["AdditionalLocationName"])
		assert.Len(t, p["VisitParty"], 3)

		require.NoError(t, s.Edit("VisitCollection", id, c4ctest.Props{"MarkedForDeletion": true}))
		rs, err := c.Get(t.Context(), k, []string{id})
		require.NoError(t, err)
		assert.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
	}
}

// A day is the day of the zone in which the CRM's user thinks of it.
func TestTaskDays(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	due := time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC)
	for zone, day := range map[string]string{"CET": "2026-03-01", "UTC": "2026-02-28", "": "2026-02-28", "EST": "2026-02-28", "JAPAN": "2026-03-01", "UTC+2": "2026-03-01", "XYZ": "2026-02-28"} {
		id, err := s.Seed("TasksCollection", c4ctest.Props{"Subject": "x", "DueDateTime": due, "DueDatetimeZoneCode": zone})
		require.NoError(t, err)
		assert.Equal(t, day, get(t, c, connectors.KindTask, id).Task.Due, zone)
	}
}

// A search is one request with several values, and finds nothing that is obsolete
// or merely looks alike to the system.
// feature: F3
// feature: F22
func TestSearch(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{PageSize: 4}, nil)
	ctx := t.Context()
	seed := func(set string, p c4ctest.Props) string {
		id, err := s.Seed(set, p)
		require.NoError(t, err)
		return id
	}
	ids := func(k connectors.Kind, q connectors.Query) []string {
		hits, err := c.Search(ctx, k, q)
		require.NoError(t, err)
		out := []string{}
		for _, h := range hits {
			out = append(out, h.ID)
		}
		return out
	}
	small := seed("ContactCollection", c4ctest.Props{"LastName": "a", "Email": "o'brien@example.com"})
	seed("ContactCollection", c4ctest.Props{"LastName": "b", "Email": "o'brien@example.com", "StatusCode": "4"})
	seed("ContactCollection", c4ctest.Props{"LastName": "c", "Email": "xo'brien@example.com"})
	s.ResetLedger()
	assert.Equal(t, []string{small}, ids(connectors.KindContact, connectors.Query{Field: connectors.FieldEmail, Text: "O'Brien@Example.com"}))
	assert.EqualValues(t, 1, s.RequestCount())

	acme := seed("CorporateAccountCollection", c4ctest.Props{"Name": "Acme  Trading Ltd"})
	seed("CorporateAccountCollection", c4ctest.Props{"Name": "Acme and Trading Ltd"})
	assert.Equal(t, []string{acme}, ids(connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: "Acme Trading", Part: true}))
	assert.Equal(t, []string{acme}, ids(connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: "Acme Trading Ltd"}))
	_, err := c.Search(ctx, connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: " * ", Part: true})
	assert.ErrorIs(t, err, connectors.ErrInvalid, "everything")
	assert.Empty(t, ids(connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: strings.Repeat("x", 1000)}))

	// More than a search is worth reading through: each has a wildcard's match only.
	for i := range 30 {
		seed("CorporateAccountCollection", c4ctest.Props{"Name": fmt.Sprintf("Many %d Ltd", i)})
	}
	_, err = c.Search(ctx, connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: "Many Ltd"})
	assert.ErrorIs(t, err, connectors.ErrInvalid)

	// Mails are known by the message id that others wrote, however they did.
	for _, key := range []string{"m@x.example", "<m@x.example>", "<m@x.example> lk-1"} {
		id := seed("EMailCollection", c4ctest.Props{"Subject": "x", "GroupwareItemID": key})
		assert.Equal(t, []string{id}, ids(connectors.KindMail, connectors.Query{Field: connectors.FieldMessageID, Text: "m@x.example"}), key)
		require.NoError(t, s.Remove("EMailCollection", id))
	}
}

// References are numbers in the system. Each is looked up once, and one that the
// user may not see is none.
// feature: F21
func TestReferences(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	k := connectors.KindTask
	account, err := s.Seed("CorporateAccountCollection", c4ctest.Props{"Name": "Acme"})
	require.NoError(t, err)
	person, err := s.Seed("IndividualCustomerCollection", c4ctest.Props{"LastName": "Eva"})
	require.NoError(t, err)
	a, _ := s.Get("CorporateAccountCollection", account)
	p, _ := s.Get("IndividualCustomerCollection", person)
	id, err := s.Seed("TasksCollection", c4ctest.Props{"Subject": "x", "MainAccountPartyID": a["AccountID"], "MainContactPartyID": p["CustomerID"]})
	require.NoError(t, err)
	s.Inject(c4ctest.Fault{Method: "GET", Path: "IndividualCustomerCollection", Inner: true, Status: 403})
	assert.Equal(t, []connectors.Ref{{Role: connectors.RoleAccount, Kind: connectors.KindAccount, ID: account}}, get(t, c, k, id).Refs)
	want := []connectors.Ref{{Role: connectors.RoleAccount, Kind: connectors.KindAccount, ID: account},
		{Role: connectors.RoleContact, Kind: connectors.KindIndividualCustomer, ID: person}}
	assert.Equal(t, want, get(t, c, k, id).Refs)
	before := s.RequestCount()
	assert.Equal(t, want, get(t, c, k, id).Refs)
	assert.EqualValues(t, 2, s.RequestCount()-before, "the record and what is attached to it")
}

// Attaching goes out once and never twice.
// feature: F14
// fault: F30
// fault: F34
func TestAttaching(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{}, nil)
	ctx, k := t.Context(), connectors.KindTask
	id, err := s.Seed("TasksCollection", c4ctest.Props{"Subject": "x", "TasksAttachmentFolder": []c4ctest.Props{
		{"Name": "link", "LinkWebURI": "https://elsewhere.example", "Binary": []byte{}}}})
	require.NoError(t, err)
	r := get(t, c, k, id)
	assert.Empty(t, r.Attachments, "a link is no file")
	content := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	attach := func() (connectors.Attached, error) {
		return c.Attach(ctx, k, connectors.Target{ID: id, Rev: get(t, c, k, id).Rev}, connectors.Attachment{Name: "ä\"b.txt", MediaType: "text/plain", Size: int64(len(content))}, bytes.NewReader(content))
	}
	_, err = create(t, c, "opens a session")
	require.NoError(t, err)
	s.ExpireSessions()
	_, err = attach()
	require.ErrorIs(t, err, connectors.ErrUnavailable, "a content cannot be sent again")
	assert.Empty(t, get(t, c, k, id).Attachments)
	out, err := attach()
	require.NoError(t, err)
	assert.Equal(t, out.Rev, get(t, c, k, id).Rev)
	rc, a, err := c.OpenAttachment(ctx, k, id, out.Attachment.ID)
	require.NoError(t, err)
	b, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	assert.True(t, bytes.Equal(content, b))
	assert.Equal(t, "ä\"b.txt", a.Name)
	assert.Equal(t, "text/plain", a.MediaType)

	s.Inject(c4ctest.Fault{Method: "POST", Path: "$batch", After: true, Drop: true})
	_, err = attach()
	require.ErrorIs(t, err, connectors.ErrUnknownOutcome)
	assert.Len(t, get(t, c, k, id).Attachments, 2, "it was attached, and reading tells")
}

// Who was merged into somebody else is not gone: their id leads to the survivor,
// over several merges, and deleting it deletes nobody.
// feature: F11
func TestMerged(t *testing.T) {
	s, c := emulator(t, c4ctest.Options{Now: seconds()}, map[string]string{"overlap": "0s"})
	ctx, k := t.Context(), connectors.KindContact
	id, number := map[string]string{}, map[string]any{}
	for _, n := range []string{"A", "B", "C", "D"} {
		var err error
		id[n], err = s.Seed("ContactCollection", c4ctest.Props{"LastName": n})
		require.NoError(t, err)
		p, _ := s.Get("ContactCollection", id[n])
		number[n] = p["ContactID"]
	}
	_, cursor := drain(t, c, k, "", 10)
	for _, m := range []c4ctest.Props{{"FirstDuplicateBusinessPartnerID": number["A"], "MasterBusinessPartnerID": number["B"]},
		{"SecondDuplicateBusinessPartnerID": number["B"], "MasterBusinessPartnerID": number["C"]}} {
		_, err := s.Seed("BusinessPartnerMergeCollection", m)
		require.NoError(t, err)
	}
	for _, n := range []string{"A", "B", "D"} {
		require.NoError(t, s.Edit("ContactCollection", id[n], c4ctest.Props{"StatusCode": "4"}))
	}
	some, _ := drain(t, c, k, cursor, 10)
	assert.False(t, some[id["A"]].Gone)
	assert.False(t, some[id["B"]].Gone)
	assert.True(t, some[id["D"]].Gone, "obsolete and not merged")
	r := get(t, c, k, id["A"])
	assert.Equal(t, "C", r.Contact.FamilyName)
	assert.Equal(t, some[id["A"]].Rev, r.Rev)

	r.Contact.City, r.Contact.Note = "Berlin", "written to who was merged"
	ws, err := c.Update(ctx, k, []connectors.Edit{{ID: id["A"], Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldCity, connectors.FieldNote}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	assert.Equal(t, id["A"], ws[0].ID)
	assert.Equal(t, ws[0].Rev, get(t, c, k, id["A"]).Rev)
	got := get(t, c, k, id["C"])
	assert.Equal(t, "Berlin", got.Contact.City)
	assert.Equal(t, "written to who was merged", got.Contact.Note)
	ws, err = c.Update(ctx, k, []connectors.Edit{{ID: id["A"], Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldCity}}})
	require.NoError(t, err)
	assert.ErrorIs(t, ws[0].Err, connectors.ErrPrecondition)

	ds, err := c.Delete(ctx, k, []connectors.Target{{ID: id["A"], Rev: get(t, c, k, id["A"]).Rev}})
	require.NoError(t, err)
	require.NoError(t, ds[0].Err)
	assert.Equal(t, got.Rev, get(t, c, k, id["C"]).Rev, "the survivor was touched")
}

// A tenant that lacks something, or a user who may not read, is told what.
// fault: F35
func TestWhatTheTenantLacks(t *testing.T) {
	for without, want := range map[string]struct {
		field connectors.Field
		k     connectors.Kind
	}{
		"LeadCollection/ContactMobile":     {connectors.FieldMobile, connectors.KindLead},
		"VisitCollection":                  {"", connectors.KindVisit},
		"TasksCollection/PriorityCode":     {"", connectors.KindTask},
		"PhoneCallNotesCollection":         {"", connectors.KindPhoneCall},
		"ContactCollection/ExternalSystem": {"", connectors.KindContact},
	} {
		_, c := emulator(t, c4ctest.Options{Without: []string{without}}, nil)
		_, err := c.Changes(t.Context(), want.k, "", 10)
		var e *connectors.Error
		require.ErrorAs(t, err, &e, without)
		assert.Equal(t, want.field, e.Field, without)
		assert.Contains(t, err.Error(), "the tenant's service has no", without)
		if !strings.Contains(without, "Notes") {
			assert.Contains(t, err.Error(), without)
		}
	}
	s, c := emulator(t, c4ctest.Options{}, nil)
	s.Inject(c4ctest.Fault{Method: "GET", Path: "VisitCollection", Status: 403})
	_, err := c.Changes(t.Context(), connectors.KindVisit, "", 10)
	require.ErrorIs(t, err, connectors.ErrForbidden)
	assert.Contains(t, err.Error(), "no right to read VisitCollection")
}
