package dav_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/corpus"
)

func richContact() *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	c := r.Contact
	c.GivenName, c.MiddleName, c.FamilyName, c.Nickname = "Žofie; \\ ,", "Marie", "O'Brien-Šťastná", "Žo"
	c.JobTitle, c.Department, c.Company = "Head of \"R&D\"", "F&E; 研究", "Bäckerei 'Süß' & Söhne, GmbH"
	c.Email2, c.Email3 = "z2@example.com", "z3@example.com"
	c.Email, c.Phone, c.Mobile, c.Fax = "zofie@example.com", "+49 6221 123-4", "+49 170 1234567", "+49 6221 123-5"
	c.Street, c.City, c.Region, c.PostalCode, c.Country = "Hauptstraße 5", "Walldorf", "Baden-Württemberg", "69190", "DE"
	c.Birthday, c.Note = "1969-07-20", "Likes tea.\n\nשלום עולם 👩‍🚀 "+strings.Repeat("漢字", 60)
	return r
}

func meeting() *connectors.Record {
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	a.Subject, a.Location, a.Description = "Überblick; Q3, \\n", "Raum 5", "Zeile 1\nZeile 2"
	a.Start = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	a.End = a.Start.Add(45 * time.Minute)
	a.Organizer = connectors.Party{Address: "ana@acme.example", Name: "Ana"}
	a.Attendees = []connectors.Party{{Address: "bo@acme.example", Name: `Bo "B" Å; x`}}
	return r
}

// one lists a kind from the start and returns its only member.
func one(t *testing.T, c *connectors.Conn, k connectors.Kind) connectors.Change {
	t.Helper()
	p, err := c.Changes(t.Context(), k, "", 100)
	require.NoError(t, err)
	require.Len(t, p.Changes, 1)
	return p.Changes[0]
}

func get(t *testing.T, c *connectors.Conn, k connectors.Kind, id string) *connectors.Record {
	t.Helper()
	rs, err := c.Get(t.Context(), k, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	return rs[0].Record
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	s, c := mailbox(t)
	for _, r := range []*connectors.Record{richContact(), meeting()} {
		w, err := c.Create(t.Context(), r.Kind, []connectors.Draft{{Key: "key-1", Record: r}})
		require.NoError(t, err)
		require.NoError(t, w[0].Err)
		got := get(t, c, r.Kind, w[0].ID)
		for _, f := range connectors.Diff(r, got, connectors.Fields(r.Kind)) {
			if f == connectors.FieldUID || f == connectors.FieldZone {
				continue // given by the mailbox
			}
			t.Errorf("%s differs: %q, %q", f, r.Text(f), got.Text(f))
		}
		require.Equal(t, w[0].Rev, got.Rev)
		require.Equal(t, "key-1", got.Key)
		found, err := c.Find(t.Context(), r.Kind, []string{"key-1", "key-2"})
		require.NoError(t, err)
		require.Len(t, found["key-1"], 1)
		require.Empty(t, found["key-2"])
	}
	require.EqualValues(t, 2, s.Writes())
}

const foreignCard = "BEGIN:VCARD\r\nVERSION:3.0\r\nX-FIRST;X-P=\"a;b\":keep\\;me\r\nUID:u1\r\nN:Doe;Jane;;;\r\nFN:Jane Doe\r\n" +
	"item1.EMAIL;type=INTERNET:jane@example.com\r\nitem1.X-ABLabel:_$!<Other>!$_\r\nPHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQ\r\n" +
	" EAYABgAAD\r\nORG:Firm;Unit;Sub\\;unit\r\nX-LAST:last\r\nEND:VCARD\r\n"

func unfold(s string) string { return strings.ReplaceAll(s, "\r\n ", "") }

func TestAnUpdateKeepsEveryLineItDoesNotKnow(t *testing.T) {
	s, c := mailbox(t)
	require.NoError(t, s.Put(user, davtest.Contacts, "u1.vcf", []byte(foreignCard)))
	r := get(t, c, connectors.KindContact, one(t, c, connectors.KindContact).ID)
	r.Contact.GivenName = "Janet"
	w, err := c.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: r.ID, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldGivenName}}})
	require.NoError(t, err)
	require.NoError(t, w[0].Err)
	o, _ := s.Get(user, davtest.Contacts, "u1.vcf")
	before, after := strings.Split(unfold(foreignCard), "\r\n"), strings.Split(unfold(string(o.Data)), "\r\n")
	require.Len(t, after, len(before))
	for i := range before {
		switch before[i] {
		case "N:Doe;Jane;;;":
			require.Equal(t, "N:Doe;Janet;;;", after[i])
		case "FN:Jane Doe":
			require.Contains(t, after[i], "Jane")
		default:
			require.Equal(t, before[i], after[i])
		}
	}
}

func TestAStaleWriteChangesNothing(t *testing.T) {
	s, c := mailbox(t)
	require.NoError(t, s.Put(user, davtest.Contacts, "u1.vcf", []byte(foreignCard)))
	r := get(t, c, connectors.KindContact, "u1.vcf")
	require.NoError(t, s.Put(user, davtest.Contacts, "u1.vcf", []byte(strings.Replace(foreignCard, "X-LAST:last", "X-LAST:newer", 1))))
	w, err := c.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: r.ID, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldNote}}})
	require.NoError(t, err)
	require.ErrorIs(t, w[0].Err, connectors.ErrPrecondition)
	w, err = c.Delete(t.Context(), connectors.KindContact, []connectors.Target{{ID: r.ID, Rev: r.Rev}})
	require.NoError(t, err)
	require.ErrorIs(t, w[0].Err, connectors.ErrPrecondition)
	require.Zero(t, s.Writes())
}

func TestChangesArriveInPages(t *testing.T) {
	s, c := mailbox(t)
	for i := range 25 {
		require.NoError(t, s.Put(user, davtest.Contacts, fmt.Sprintf("c %02d.vcf", i), fmt.Appendf(nil, "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:c%d\r\nFN:P%d\r\nN:P%[1]d;;;;\r\nEND:VCARD\r\n", i, i)))
	}
	cursor, seen := "", map[string]bool{}
	for more := true; more; {
		p, err := c.Changes(t.Context(), connectors.KindContact, cursor, 10)
		require.NoError(t, err)
		require.LessOrEqual(t, len(p.Changes), 10)
		for _, ch := range p.Changes {
			require.False(t, seen[ch.ID])
			seen[ch.ID] = true
		}
		cursor, more = p.Cursor, p.More
	}
	require.Len(t, seen, 25)
	require.NoError(t, s.Remove(user, davtest.Contacts, "c 03.vcf"))
	p, err := c.Changes(t.Context(), connectors.KindContact, cursor, 10)
	require.NoError(t, err)
	require.Equal(t, []connectors.Change{{ID: "c 03.vcf", Gone: true}}, p.Changes)

	ids, err := c.List(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	require.Len(t, ids.IDs, 10)
	require.NotEmpty(t, ids.Next)

	s.ExpireTokens()
	_, err = c.Changes(t.Context(), connectors.KindContact, p.Cursor, 10)
	require.ErrorIs(t, err, connectors.ErrCursorExpired)
}

func TestALostAnswerIsNotAFailure(t *testing.T) {
	s, c := mailbox(t)
	s.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut {
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(w, r)
	})
	w, err := c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Key: "k", Record: richContact()}})
	require.NoError(t, err)
	require.ErrorIs(t, w[0].Err, connectors.ErrUnknownOutcome)
	s.Intercept(nil)
	found, err := c.Find(t.Context(), connectors.KindContact, []string{"k"})
	require.NoError(t, err)
	require.Len(t, found["k"], 1)
	w, err = c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Key: "k", Record: richContact()}})
	require.NoError(t, err)
	require.ErrorIs(t, w[0].Err, connectors.ErrExists)
	require.Len(t, s.List(user, davtest.Contacts), 1)
}

func TestHostileAnswersAreRefused(t *testing.T) {
	s, c := mailbox(t)
	body := ""
	status := http.StatusMultiStatus
	s.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	const head = `<?xml version="1.0"?><multistatus xmlns="DAV:">`
	ok := `<propstat><prop><getetag>"1"</getetag></prop><status>HTTP/1.1 200 OK</status></propstat></response><sync-token>t</sync-token></multistatus>`
	for name, b := range map[string]string{
		"another host":       head + `<response><href>https://evil.example/ana/contacts/default/a.vcf</href>` + ok,
		"another collection": head + `<response><href>/bo/contacts/default/a.vcf</href>` + ok,
		"a path upwards":     head + `<response><href>/ana/contacts/default/..</href>` + ok,
		"a folder inside":    head + `<response><href>/ana/contacts/default/x/y.vcf</href>` + ok,
		"a document type":    `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>` + head[21:] + ok,
		"deep nesting":       head + strings.Repeat("<a>", 10_000),
		"no XML":             "Sorry, <b>maintenance",
		"nothing":            "",
		"no token":           head + `</multistatus>`,
	} {
		body = b
		_, err := c.Changes(t.Context(), connectors.KindContact, "", 10)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "evil", name)
	}
	// A collection that is not there is no deletion of what was in it.
	status, body = http.StatusNotFound, ""
	_, err := c.Changes(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrForbidden)
	_, err = c.List(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrForbidden)
	_, err = c.Get(t.Context(), connectors.KindContact, []string{"a.vcf"})
	require.ErrorIs(t, err, connectors.ErrForbidden)
}

func TestBrokenMembersDoNotBlockTheirNeighbours(t *testing.T) {
	s, c := mailbox(t)
	good := []byte(foreignCard)
	require.NoError(t, s.Put(user, davtest.Contacts, "a.vcf", good))
	require.NoError(t, s.Put(user, davtest.Contacts, "b.vcf", []byte("BEGIN:VCARD\r\nFN:no end\r\n")))
	require.NoError(t, s.Put(user, davtest.Contacts, "c.vcf", []byte{0xff, 0xfe, 0}))
	rs, err := c.Get(t.Context(), connectors.KindContact, []string{"a.vcf", "b.vcf", "c.vcf", "d.vcf"})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	require.ErrorIs(t, rs[1].Err, connectors.ErrMalformed)
	require.Error(t, rs[2].Err)
	require.ErrorIs(t, rs[3].Err, connectors.ErrNotFound)
}

// A real card or event that this connector can read stays what it was when the
// same record is written back, and what it writes for a record reads the same.
func TestRealDocumentsAreFixedPoints(t *testing.T) {
	s, c := mailbox(t)
	for _, folder := range []string{"contacts", "events"} {
		kind, col, split := connectors.KindContact, davtest.Contacts, dav.SplitContacts
		if folder == "events" {
			kind, col = connectors.KindAppointment, davtest.Calendar
			split = func(b []byte) []dav.Object { return dav.SplitAppointments(b, time.Unix(1_767_225_600, 0)) }
		}
		good, bad := 0, map[string]int{}
		seen := map[string]bool{}
		for _, f := range corpus.Files(t, folder) {
			for _, o := range split(f.Data) {
				if o.Err != nil {
					bad[o.Err.Error()]++
					continue
				}
				if seen[o.Name] {
					continue
				}
				seen[o.Name] = true
				good++
				require.NoError(t, s.Put(user, col, o.Name, o.Data), f.Name)
				r := get(t, c, kind, o.Name)
				if kind == connectors.KindAppointment && r.Appointment.Recurrence != nil {
					continue
				}
				var fields []connectors.Field
				caps, _ := c.Capability(kind)
				for _, x := range connectors.Fields(kind) {
					if limit, mapped := caps.Fields[x]; mapped && !limit.ReadOnly {
						fields = append(fields, x)
					}
				}
				w, err := c.Update(t.Context(), kind, []connectors.Edit{{ID: o.Name, Rev: r.Rev, Record: r, Fields: fields}})
				require.NoError(t, err)
				require.NoError(t, w[0].Err, f.Name)
				again := get(t, c, kind, o.Name)
				require.Empty(t, connectors.Diff(r, again, connectors.Fields(kind)), f.Name)

				fresh := r.Clone()
				if kind == connectors.KindAppointment {
					fresh.Appointment.UID = ""
				}
				w, err = c.Create(t.Context(), kind, []connectors.Draft{{Key: "new-" + strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(o.Name, ".vcf"), ".ics")), Record: fresh}})
				require.NoError(t, err)
				require.NoError(t, w[0].Err, f.Name)
				copied := get(t, c, kind, w[0].ID)
				require.Empty(t, connectors.Diff(r, copied, fields), f.Name)
			}
		}
		t.Logf("%s: %d read, refused: %v", folder, good, bad)
		require.Greater(t, good, 8)
	}
}

func TestBadOptionsNameTheOption(t *testing.T) {
	for opt, want := range map[string]string{
		"contacts=ana/":         "contacts",
		"contacts=/ana/../bo/":  "contacts",
		"contacts=/ana//":       "contacts",
		"zone=Europe/Atlantis":  "zone",
		"zone=Local":            "zone",
		"addressbook=/ana/abc/": "addressbook",
	} {
		k, v, _ := strings.Cut(opt, "=")
		_, err := try(t, "https://mail.example", nil, map[string]string{dav.OptCalendar: "/x/", k: v})
		require.ErrorContains(t, err, want, opt)
	}
	_, err := try(t, "https://mail.example", nil, nil)
	require.ErrorContains(t, err, "contacts and calendar")
}

// A server that sends its clients elsewhere is asked once, and elsewhere never.
func TestARedirectToAnotherHostIsFinal(t *testing.T) {
	s, c := mailbox(t)
	asked := 0
	s.Intercept(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		asked++
		http.Redirect(w, r, "https://elsewhere.example"+r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, err := c.Changes(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrMalformed)
	require.NotContains(t, err.Error(), "elsewhere.example")
	require.Equal(t, 1, asked)
}
