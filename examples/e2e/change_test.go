package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/radicale"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

func card(uid, given, family, more string) string {
	return "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:" + uid + "\r\nN:" + family + ";" + given + ";;;\r\nFN:" + given + " " + family + "\r\nX-ABDATE:keep\r\n" + more + "END:VCARD\r\n"
}

func appointment(uid, subject, day, more string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//e2e//EN\r\nBEGIN:VEVENT\r\nUID:" + uid + "\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:" + day + "T090000Z\r\nDTEND:" + day +
		"T100000Z\r\nSUMMARY:" + subject + "\r\n" + more + "END:VEVENT\r\nEND:VCALENDAR\r\n"
}

// sides returns the two records with a text in one field, nil for one that is
// not there.
func (w *world) sides(user string, k connectors.Kind, f connectors.Field, text string) (crm, mail *connectors.Record) {
	w.t.Helper()
	one := func(c *connectors.Conn) (found *connectors.Record) {
		for _, r := range all(w.t, c, k) {
			if r != nil && r.Text(f) == text {
				require.Nil(w.t, found, "%s is there twice", text)
				found = r
			}
		}
		return found
	}
	return one(w.pairs[user].Left), one(w.pairs[user].Right)
}

func (w *world) remove(user, name string) {
	w.t.Helper()
	dir := radicale.Contacts
	if strings.HasSuffix(name, ".ics") {
		dir = radicale.Calendar
	}
	status, _ := w.mail.Do(w.t, user, http.MethodDelete, fmt.Sprintf(dir, user)+name, "")
	require.Equal(w.t, http.StatusOK, status)
}

const contacts, events = "ContactCollection", "AppointmentCollection"

func entity(set, id string) string { return set + "('" + id + "')" }

// A person edits and deletes with another program on either real server, and
// both end up alike.
func TestEditsAndDeletesCross(t *testing.T) {
	w := start(t, site{}, "ana")
	for i := range 30 { // so that a few deletions are no flood
		require.Equal(t, http.StatusCreated, w.put("ana", fmt.Sprintf("n%d.vcf", i), card(fmt.Sprintf("n%d", i), "Neighbour", fmt.Sprintf("Nr%d", i), "")))
		require.Equal(t, http.StatusCreated, w.put("ana", fmt.Sprintf("n%d.ics", i), appointment(fmt.Sprintf("e%d", i), fmt.Sprintf("Event %d", i), "20270301", "")))
	}
	w.settle("ana")
	count := func(want int) {
		t.Helper()
		for _, k := range kinds {
			require.Len(t, all(t, w.pairs["ana"].Left, k), want)
			require.Len(t, all(t, w.pairs["ana"].Right, k), want)
		}
		require.Empty(t, w.issues("ana"))
	}
	count(30)

	// In the CRM.
	crm, _ := w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr1")
	w.crm(http.MethodPatch, entity(contacts, crm.ID), map[string]any{"JobTitle": "Astronaut; \"Ä\"", "Mobile": "+49 170 5550001"})
	event, _ := w.sides("ana", connectors.KindAppointment, connectors.FieldSubject, "Event 1")
	w.crm(http.MethodPatch, entity(events, event.ID), map[string]any{"Location": "木の下, links"})
	r := w.sync("ana")
	require.Equal(t, [2]int{0, 1}, r.Kinds[connectors.KindContact].Updated)
	require.Equal(t, [2]int{0, 1}, r.Kinds[connectors.KindAppointment].Updated)
	object := w.object("ana", "n1.vcf")
	require.Contains(t, object, "TITLE:Astronaut\\; \"Ä\"")
	require.Contains(t, object, "X-ABDATE:keep", "what lockkeeper does not know stays")
	require.Contains(t, w.object("ana", "n1.ics"), "LOCATION:木の下\\, links")

	// In the mailbox.
	require.Equal(t, http.StatusCreated, w.put("ana", "n2.vcf", card("n2", "Neighbour", "Nr2", "EMAIL:two@example.com\r\nTEL;TYPE=CELL:+49 170 5550002\r\n")))
	require.Equal(t, http.StatusCreated, w.put("ana", "n2.ics", strings.Replace(appointment("e2", "Event 2", "20270302", "LOCATION:Room 2\r\n"), "T100000Z", "T113000Z", 1)))
	r = w.sync("ana")
	require.Equal(t, [2]int{1, 0}, r.Kinds[connectors.KindContact].Updated)
	require.Equal(t, [2]int{1, 0}, r.Kinds[connectors.KindAppointment].Updated)
	crm, mail := w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr2")
	require.Equal(t, "two@example.com", crm.Contact.Email)
	require.Empty(t, connectors.Diff(crm, mail, shared(w.pairs["ana"], connectors.KindContact)))
	event, meeting := w.sides("ana", connectors.KindAppointment, connectors.FieldSubject, "Event 2")
	require.Equal(t, "2027-03-02T11:30:00Z", event.Appointment.End.UTC().Format("2006-01-02T15:04:05Z"))
	require.Empty(t, connectors.Diff(event, meeting, shared(w.pairs["ana"], connectors.KindAppointment)))
	require.Zero(t, w.sync("ana").Writes())

	// Deletions, from both sides.
	crm, _ = w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr3")
	w.crm(http.MethodDelete, entity(contacts, crm.ID), nil)
	w.remove("ana", "n4.vcf")
	w.remove("ana", "n4.ics")
	r = w.sync("ana")
	require.Equal(t, [2]int{1, 1}, r.Kinds[connectors.KindContact].Deleted)
	require.Equal(t, [2]int{1, 0}, r.Kinds[connectors.KindAppointment].Deleted)
	w.settle("ana")
	require.Len(t, all(t, w.pairs["ana"].Left, connectors.KindContact), 28)
	require.Len(t, all(t, w.pairs["ana"].Right, connectors.KindContact), 28)
	require.Len(t, all(t, w.pairs["ana"].Left, connectors.KindAppointment), 29)
	require.Len(t, all(t, w.pairs["ana"].Right, connectors.KindAppointment), 29)

	// An edit beats a deletion: nothing that somebody wrote is lost.
	crm, _ = w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr5")
	w.crm(http.MethodPatch, entity(contacts, crm.ID), map[string]any{"JobTitle": "still needed"})
	w.remove("ana", "n5.vcf")
	w.settle("ana")
	crm, mail = w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr5")
	require.NotNil(t, crm)
	require.NotNil(t, mail, "it is back in the mailbox")
	require.Equal(t, "still needed", mail.Contact.JobTitle)
}

// Both sides change one record differently: an issue, no loss, and the next edit
// on one side decides; or, where a rule says who wins, that side's values.
func TestConflictingEditsConverge(t *testing.T) {
	for _, c := range []struct {
		winner lksync.Winner
		want   string
	}{{lksync.Nobody, ""}, {lksync.LeftWins, "from the CRM"}, {lksync.RightWins, "from the mailbox"}} {
		t.Run(fmt.Sprint(c.winner), func(t *testing.T) {
			w := start(t, site{Winner: c.winner}, "ana")
			for i := range 5 {
				w.put("ana", fmt.Sprintf("n%d.vcf", i), card(fmt.Sprintf("n%d", i), "Neighbour", fmt.Sprintf("Nr%d", i), ""))
			}
			w.settle("ana")
			crm, _ := w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr1")
			w.crm(http.MethodPatch, entity(contacts, crm.ID), map[string]any{"JobTitle": "from the CRM"})
			w.put("ana", "n1.vcf", card("n1", "Neighbour", "Nr1", "TITLE:from the mailbox\r\n"))
			w.settle("ana")
			crm, mail := w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr1")
			if c.winner != lksync.Nobody {
				require.Equal(t, c.want, crm.Contact.JobTitle)
				require.Equal(t, c.want, mail.Contact.JobTitle)
				require.Empty(t, w.issues("ana"))
				return
			}
			require.Equal(t, "from the CRM", crm.Contact.JobTitle, "untouched")
			require.Equal(t, "from the mailbox", mail.Contact.JobTitle, "untouched")
			i := w.issues("ana")["n1.vcf"]
			require.Equal(t, lksync.CodeConflict, i.Code)
			require.Contains(t, i.Name, "Nr1")

			w.put("ana", "n1.vcf", card("n1", "Neighbour", "Nr1", "TITLE:decided\r\n"))
			w.settle("ana")
			crm, mail = w.sides("ana", connectors.KindContact, connectors.FieldFamilyName, "Nr1")
			require.Equal(t, "decided", crm.Contact.JobTitle)
			require.Equal(t, "decided", mail.Contact.JobTitle)
			require.Empty(t, w.issues("ana"))
		})
	}
}
