package connectors_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
)

// Fit names the field at fault and never shows what is in it.
func TestFitNamesTheField(t *testing.T) {
	c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{
		connectors.FieldGivenName: {Runes: 5}, connectors.FieldFamilyName: {Runes: 40, Required: true}, connectors.FieldCompany: {Runes: 3, ReadOnly: true}}}
	all := connectors.Fields(connectors.KindContact)
	for name, x := range map[string]struct {
		set   map[connectors.Field]string
		field connectors.Field // "" fits
	}{
		"fits":              {map[connectors.Field]string{connectors.FieldFamilyName: "x", connectors.FieldGivenName: "12345"}, ""},
		"runes, not bytes":  {map[connectors.Field]string{connectors.FieldFamilyName: "x", connectors.FieldGivenName: "äöü👩é"}, ""},
		"too long":          {map[connectors.Field]string{connectors.FieldFamilyName: "x", connectors.FieldGivenName: bird}, connectors.FieldGivenName},
		"missing":           {map[connectors.Field]string{connectors.FieldGivenName: "x"}, connectors.FieldFamilyName},
		"read-only is not":  {map[connectors.Field]string{connectors.FieldFamilyName: "x", connectors.FieldCompany: bird}, ""},
		"unmapped is not":   {map[connectors.Field]string{connectors.FieldFamilyName: "x", connectors.FieldNote: strings.Repeat(bird, 1000)}, ""},
		"longest and empty": {map[connectors.Field]string{connectors.FieldGivenName: strings.Repeat(bird, 10)}, connectors.FieldGivenName},
	} {
		r := connectors.NewRecord(connectors.KindContact)
		for f, v := range x.set {
			r.SetText(f, v)
		}
		err := c.Fit(r, all)
		if x.field == "" {
			assert.NoError(t, err, name)
			continue
		}
		var e *connectors.Error
		require.ErrorAs(t, err, &e, name)
		assert.ErrorIs(t, err, connectors.ErrInvalid, name)
		assert.Equal(t, x.field, e.Field, name)
		assert.NotContains(t, err.Error(), bird, name)
	}
}

// A series goes nowhere where series are not kept, whatever fields are carried:
// its first event alone would be another meeting.
func TestFitRefusesSeries(t *testing.T) {
	r := connectors.NewRecord(connectors.KindAppointment)
	r.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=DAILY"}}
	for _, fields := range []map[connectors.Field]connectors.Limit{{}, {connectors.FieldRecurrence: {ReadOnly: true}}} {
		err := connectors.Capability{Fields: fields}.Fit(r, nil)
		var e *connectors.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, connectors.FieldRecurrence, e.Field)
	}
	assert.NoError(t, connectors.Capability{Fields: map[connectors.Field]connectors.Limit{connectors.FieldRecurrence: {}}}.Fit(r, nil))
}

// What Records draws fits what it was drawn for.
func TestDrawnRecordsFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}}
		for _, f := range connectors.Fields(k) {
			if rapid.Bool().Draw(t, "mapped") {
				c.Fields[f] = connectors.Limit{Runes: rapid.IntRange(0, 12).Draw(t, "runes")}
			}
		}
		r := connectortest.Records(k, c).Draw(t, "record")
		require.NoError(t, c.Fit(r, connectors.Fields(k)))
		for _, f := range connectors.Fields(k) {
			if !c.Has(f) {
				require.True(t, connectors.Same(r, connectors.NewRecord(k), f), f)
			}
		}
	})
}

// Checking an edit is checking what would be there afterwards, without making it.
func TestFitEditIsFitOfWhatWouldBe(t *testing.T) {
	fits := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		all := connectors.Fields(k)
		can := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}}
		for _, f := range all {
			can.Fields[f] = connectors.Limit{}
		}
		there, r := connectortest.Records(k, can).Draw(t, "there"), connectortest.Records(k, can).Draw(t, "record")
		var fs []connectors.Field
		c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}}
		for _, f := range all {
			if rapid.Bool().Draw(t, "written") {
				fs = append(fs, f)
			}
			if rapid.IntRange(0, 9).Draw(t, "mapped") > 0 {
				c.Fields[f] = connectors.Limit{Runes: max(0, rapid.IntRange(-200, 20).Draw(t, "runes")), Required: rapid.IntRange(0, 9).Draw(t, "required") == 0,
					ReadOnly: rapid.IntRange(0, 9).Draw(t, "read-only") == 0}
			}
		}
		whole := there.Clone()
		for _, f := range fs {
			connectors.CopyField(whole, r, f)
		}
		if whole.Appointment != nil {
			whole.Appointment.Recurrence = r.Appointment.Recurrence
		}
		as := c
		if a := there.Appointment; a != nil && a.Recurrence != nil && !slices.Contains(fs, connectors.FieldRecurrence) && !slices.Contains(fs, connectors.FieldTime) {
			// It is a series there, and stays the one it is.
			as.Fields = maps.Clone(c.Fields)
			as.Fields[connectors.FieldRecurrence] = connectors.Limit{Required: c.Fields[connectors.FieldRecurrence].Required}
		}
		require.Equal(t, as.Fit(whole, fs), c.FitEdit(r, there, fs))
		fits[as.Fit(whole, fs) == nil]++
	})
	require.NotZero(t, fits[true])
	require.NotZero(t, fits[false])
}

func TestShared(t *testing.T) {
	a := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{connectors.FieldNote: {}, connectors.FieldGivenName: {}, connectors.FieldCity: {}}}
	b := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{connectors.FieldCity: {ReadOnly: true}, connectors.FieldGivenName: {Runes: 1}, connectors.FieldSubject: {}}}
	want := []connectors.Field{connectors.FieldGivenName, connectors.FieldCity}
	assert.Equal(t, want, connectors.Shared(connectors.KindContact, a, b))
	assert.Equal(t, want, connectors.Shared(connectors.KindContact, b, a))
	assert.Empty(t, connectors.Shared(connectors.KindAppointment, a, b))
	assert.Equal(t, "crm", connectors.CRM.String())
	assert.Equal(t, "mailbox", connectors.Mailbox.String())
	assert.Equal(t, "none", connectors.Area(0).String())
}
