package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/emersion/go-ical"
	"github.com/emersion/go-vcard"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

func monday() time.Time { return time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC) }

func TestSameSeedSameWorld(t *testing.T) {
	print := func(w World) string {
		var b strings.Builder
		for _, r := range w.CRM {
			fmt.Fprintln(&b, fields(r))
		}
		for _, u := range Users() {
			for _, r := range w.Mailboxes[u.ID] {
				fmt.Fprintln(&b, u.ID, fields(r))
			}
		}
		return b.String()
	}
	assert.Equal(t, print(New(7, monday())), print(New(7, monday())))
	assert.NotEqual(t, print(New(7, monday())), print(New(8, monday())))
}

func fields(r *connectors.Record) []string {
	var out []string
	for _, f := range connectors.Fields(r.Kind) {
		out = append(out, r.Text(f))
	}
	return out
}

func TestWorldHasWhatRealMailboxesHave(t *testing.T) {
	w := New(1, monday())
	scripts := map[string]bool{}
	var private, allDay, series, shared, both, crmOnly int
	emails := map[string]bool{}
	for _, r := range w.CRM {
		if r.Contact != nil {
			emails[r.Contact.Email] = true
		}
	}
	crmOnly = len(emails)
	uids := map[string]int{}
	for _, u := range Users() {
		for _, r := range w.Mailboxes[u.ID] {
			if c := r.Contact; c != nil {
				for name, table := range unicode.Scripts {
					for _, x := range c.GivenName + c.FamilyName {
						if unicode.Is(table, x) {
							scripts[name] = true
						}
					}
				}
				if emails[c.Email] {
					both++
				}
				continue
			}
			a := r.Appointment
			uids[a.UID]++
			if uids[a.UID] == len(Users()) {
				shared++
			}
			if a.Sensitivity == connectors.Private {
				private++
			}
			if a.AllDay {
				allDay++
			}
			if a.Recurrence != nil {
				series++
			}
		}
	}
	for _, s := range []string{"Latin", "Greek", "Cyrillic", "Hebrew", "Arabic", "Devanagari", "Han", "Hiragana", "Katakana", "Hangul", "Thai"} {
		assert.True(t, scripts[s], s)
	}
	assert.Positive(t, private)
	assert.Positive(t, allDay)
	assert.Positive(t, series)
	assert.Greater(t, shared, 20)
	assert.Greater(t, both, 50)
	assert.Greater(t, crmOnly, 100)
	assert.Greater(t, len(w.Texts()), 200)
}

func TestFilesAreReadBackByOthers(t *testing.T) {
	w := New(1, monday())
	names := map[string]bool{}
	for _, u := range Users() {
		for i, r := range w.Mailboxes[u.ID] {
			name, b, err := File(r, fmt.Sprintf("%s-%d", u.ID, i))
			require.NoError(t, err)
			require.False(t, names[name], name)
			names[name] = true
			if r.Contact != nil {
				c, err := vcard.NewDecoder(bytes.NewReader(b)).Decode()
				require.NoError(t, err)
				assert.Equal(t, r.Contact.FamilyName, c.Name().FamilyName)
				assert.Equal(t, r.Contact.GivenName, c.Name().GivenName)
				assert.Equal(t, r.Contact.Note, c.Value(vcard.FieldNote))
				continue
			}
			cal, err := ical.NewDecoder(bytes.NewReader(b)).Decode()
			require.NoError(t, err)
			e := cal.Events()[0]
			start, err := e.DateTimeStart(time.UTC)
			require.NoError(t, err)
			assert.True(t, start.Equal(r.Appointment.Start), "%s and %s", start, r.Appointment.Start)
			s, err := e.Props.Text(ical.PropSummary)
			require.NoError(t, err)
			assert.Equal(t, r.Appointment.Subject, s)
		}
	}
}

// The library that writes vCards does not escape what separates the parts of a
// name, an address or an organisation, so the demonstration does without it there.
func TestNoSeparatorInStructuredFields(t *testing.T) {
	w := New(1, monday())
	for _, u := range Users() {
		for _, r := range w.Mailboxes[u.ID] {
			if c := r.Contact; c != nil {
				assert.NotContains(t, c.GivenName+c.FamilyName+c.Company+c.Street+c.City+c.Region, ";")
			}
		}
	}
}
