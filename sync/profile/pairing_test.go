package profile_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// item is a record of a kind as a user marks it.
func item(k connectors.Kind, text string, mark ...string) *connectors.Record {
	r := connectors.NewRecord(k)
	switch {
	case r.Appointment != nil:
		r.Appointment.Subject, r.Appointment.UID = text, text+"@uid"
		r.Appointment.Start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		r.Appointment.End = r.Appointment.Start.Add(time.Hour)
	case r.Account != nil:
		r.Account.Name = text
	default:
		r.Contact.FamilyName, r.Contact.Email = text, text+"@x.example"
	}
	r.SetCategories(mark)
	return r
}

func called(r *connectors.Record) string {
	switch {
	case r.Appointment != nil:
		return r.Appointment.Subject
	case r.Account != nil:
		return r.Account.Name
	case r.Contact.FamilyName != "":
		return r.Contact.FamilyName
	}
	return r.Contact.Company
}

// there tells what a system has, by kind.
func there(s *mem.System) map[string][]string {
	out := map[string][]string{}
	for _, k := range connectors.Kinds() {
		for _, r := range s.Records(k) {
			out[k.String()] = append(out[k.String()], called(r))
		}
	}
	return out
}

const everyKind = "kinds: {phone-calls: {enabled: true, deletes: follow}, leads: {enabled: true, direction: both}}"

// What a mailbox keeps as appointments and contacts is in the CRM what its user
// marked it as, and nothing else; what comes from the CRM has the mark. Edits and
// deletions cross as those of any kind.
//
// feature: F8
// feature: F11
// feature: F13
func TestKindsThatAMailboxKeepsAsOthers(t *testing.T) {
	for _, x := range []struct {
		kind, as connectors.Kind
		mark     string
		edit     connectors.Field
		deletes  bool
	}{
		{connectors.KindVisit, connectors.KindAppointment, "Visit", connectors.FieldDescription, true},
		{connectors.KindPhoneCall, connectors.KindAppointment, "Phone Call", connectors.FieldDescription, true},
		{connectors.KindIndividualCustomer, connectors.KindContact, "SAP Individual Customers", connectors.FieldPhone, false},
		{connectors.KindLead, connectors.KindContact, "SAP Leads", connectors.FieldPhone, false},
		{connectors.KindAccount, connectors.KindContact, "SAP Accounts", connectors.FieldPhone, false},
	} {
		t.Run(x.kind.String(), func(t *testing.T) {
			w := newWorld(t, crmOnly(), *mem.EWS(), everyKind)
			theirs := item(x.as, "Mine", x.mark)
			if x.kind == connectors.KindAccount {
				theirs = item(x.as, "", x.mark)
				theirs.Contact.Company = "Mine"
			}
			m := w.box.Add(theirs)
			w.box.Add(item(x.as, "Nobody's"))
			ours := item(x.kind, "Ours")
			if x.kind == connectors.KindLead {
				ours.Contact.Topic = "Pumps"
			}
			l := w.crm.Add(unmarked(ours))
			w.sync()
			assert.Empty(t, w.codes())
			require.Equal(t, map[string][]string{x.kind.String(): {"Ours", "Mine"}}, there(w.crm))
			require.ElementsMatch(t, []string{"Mine", "Nobody's", "Ours"}, there(w.box)[x.as.String()])

			var fromCRM *connectors.Record
			for _, r := range w.box.Records(x.as) {
				if called(r) == "Ours" {
					fromCRM = r
				}
			}
			assert.Equal(t, []string{x.mark}, fromCRM.Categories())
			for _, s := range []struct {
				sys *mem.System
				k   connectors.Kind
				id  string
			}{{w.box, x.as, fromCRM.ID}, {w.box, x.as, m}, {w.crm, x.kind, l}, {w.crm, x.kind, w.crm.Records(x.kind)[1].ID}} {
				require.True(t, s.sys.Edit(s.k, s.id, func(r *connectors.Record) { r.SetText(x.edit, "+49 "+s.id+s.k.String()) }))
				w.sync()
			}
			want := map[string]string{}
			for _, r := range w.crm.Records(x.kind) {
				want[called(r)] = r.Text(x.edit)
			}
			for _, r := range w.box.Records(x.as) {
				assert.Equal(t, want[called(r)], r.Text(x.edit), called(r))
			}
			assert.Len(t, want, 2)
			assert.Empty(t, w.codes())

			w.box.Remove(x.as, m)
			w.sync()
			if x.deletes {
				require.Equal(t, map[string][]string{x.kind.String(): {"Ours"}}, there(w.crm))
			} else {
				assert.Len(t, w.crm.Records(x.kind), 2)
			}
		})
	}
}

// An item that its user marks as something else is not deleted for that, and is made
// as what it is now.
//
// feature: F8
// guards: G1
func TestAnItemThatIsMarkedAsSomethingElse(t *testing.T) {
	w := newWorld(t, crmOnly(), *mem.EWS())
	m := w.box.Add(item(connectors.KindAppointment, "Fair", "SAP Appointments"))
	w.sync()
	require.Equal(t, map[string][]string{"appointments": {"Fair"}}, there(w.crm))
	w.box.Edit(connectors.KindAppointment, m, func(r *connectors.Record) { r.SetCategories([]string{"SAP Appointments", "Visit"}) })
	w.sync()
	assert.Equal(t, map[string][]string{"appointments": {"Fair"}, "visits": {"Fair"}}, there(w.crm), "the first one stays; only a person deletes")
	w.box.Edit(connectors.KindAppointment, m, func(r *connectors.Record) { r.Appointment.Location = "Hall" })
	w.sync()
	assert.Equal(t, "Hall", w.crm.Records(connectors.KindVisit)[0].Appointment.Location)
	assert.Empty(t, w.crm.Records(connectors.KindAppointment)[0].Appointment.Location)
	assert.Len(t, w.box.Records(connectors.KindAppointment), 1)
}

// Where appointments need no mark, what another rule put into the calendar is no news
// to theirs, nor while the answer to its create is lost.
//
// feature: F8
// feature: F20
func TestWhatAnotherRuleMadeIsNotTakenForNew(t *testing.T) {
	for _, fault := range []mem.Fault{{}, {Verb: "create", After: true}} {
		w := newWorld(t, crmOnly(), *mem.EWS(), "kinds: {appointments: {marked: {needed: false}}}")
		if fault.Verb != "" {
			w.box.Fail(fault, mem.Fault{Verb: "find"}) // nor is it found at once
		}
		w.crm.Add(unmarked(item(connectors.KindVisit, "Fair")))
		w.now = w.now.Add(time.Minute)
		_, _ = w.engine.Sync(t.Context(), w.worker, w.pair)
		w.sync()
		require.Len(t, w.box.Records(connectors.KindAppointment), 1)
		w.box.Edit(connectors.KindAppointment, w.box.Records(connectors.KindAppointment)[0].ID, func(r *connectors.Record) { r.SetCategories(nil) })
		w.sync()
		w.now = w.now.Add(30 * time.Hour)
		w.sync()
		assert.Equal(t, map[string][]string{"visits": {"Fair"}}, there(w.crm))
	}
}

// A kind that no mark tells apart, or whose mark the mailbox cannot show, stays where
// it is.
//
// feature: F11
func TestKindsThatNothingTellsApart(t *testing.T) {
	for _, x := range []struct {
		box   *mem.Options
		layer string
	}{{mem.Google(), ""}, {mem.EWS(), "kinds: {accounts: {marked: {needed: false}}}"}} {
		w := newWorld(t, crmOnly(), *x.box, x.layer)
		w.crm.Add(unmarked(item(connectors.KindAccount, "Ours")))
		w.sync()
		assert.Empty(t, w.box.Records(kc))
	}
}
