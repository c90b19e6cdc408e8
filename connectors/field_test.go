package connectors_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// everything is a capability that lists all fields of a kind.
func everything(k connectors.Kind) connectors.Capability {
	c := connectors.Capability{Fields: map[connectors.Field]connectors.Limit{}, Create: true, Update: true, Delete: true}
	for _, f := range connectors.Fields(k) {
		c.Fields[f] = connectors.Limit{}
	}
	return c
}

func anyRecord(t *rapid.T, k connectors.Kind, label string) *connectors.Record {
	return connectortest.Records(k, everything(k)).Draw(t, label)
}

func anyKind(t *rapid.T) connectors.Kind {
	return rapid.SampledFrom(connectors.Kinds()).Draw(t, "kind")
}

func checkNormal(t require.TestingT, f connectors.Field, in string) {
	out := connectors.NormalizeText(f, in)
	require.Equal(t, out, connectors.NormalizeText(f, out), "not a fixed point: %q", in)
	require.True(t, utf8.ValidString(out))
	require.Equal(t, strings.TrimSpace(out), out)
	lines := f == connectors.FieldNote || f == connectors.FieldBody || f == connectors.FieldDescription || f == connectors.FieldStreet
	for _, c := range out {
		require.False(t, unicode.IsControl(c) && (c != '\n' || !lines), "%q in %q", c, out)
		require.NotContains(t, "\u2028\u2029\ufeff\ufffe\uffff", string(c))
	}
	require.NotContains(t, out, " \n")
}

func TestNormalizeTextIsAFixedPoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		in := rapid.OneOf(rapid.String(), rapid.StringMatching("[ \t\r\n\u00a0\u2003\u2028\u0085\ufeffa\x00]*"),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		checkNormal(t, rapid.SampledFrom(connectors.Fields(k)).Draw(t, "field"), in)
	})
}

func FuzzNormalizeText(f *testing.F) {
	for _, s := range []string{"", " a ", "a\r\n b\r", "\xff\xfe", "a \u00a0\nb", "\u2028x\u0085", "e\u0301 👩\u200d🚀 \u202e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkNormal(t, connectors.FieldNote, s)
		checkNormal(t, connectors.FieldCity, s)
	})
}

func TestNormalizeText(t *testing.T) {
	for in, want := range map[string][2]string{ // many lines, one line
		" a\tb ":                    {"a b", "a b"},
		"a\r\nb\rc\nd":              {"a\nb\nc\nd", "a b c d"},
		"a\u2028b\u2029c\u0085d":    {"a\nb\nc\nd", "a b c d"},
		"a  \n b\u00a0\n\n":         {"a\n b", "a   \u00a0b"},
		"a\x00\x1b\x7f\u009f\ufeff": {"a", "a"},
		"\ufffea\uffff":             {"a", "a"},
		"a\xffb":                    {"a\ufffdb", "a\ufffdb"},
		"e\u0301 👩\u200d🚀 \u202ex":  {"e\u0301 👩\u200d🚀 \u202ex", "e\u0301 👩\u200d🚀 \u202ex"},
	} {
		assert.Equal(t, want[0], connectors.NormalizeText(connectors.FieldNote, in), "%q", in)
		if in != "a  \n b\u00a0\n\n" {
			assert.Equal(t, want[1], connectors.NormalizeText(connectors.FieldSubject, in), "%q", in)
		}
	}
}

// Text in its normal form is not copied: whole mailboxes pass through here.
func TestNormalTextCostsNothing(t *testing.T) {
	long := strings.Repeat("Größe und Gewicht\nzweite Zeile\n", 1000) + "x"
	assert.Zero(t, testing.AllocsPerRun(10, func() { connectors.NormalizeText(connectors.FieldNote, long) }))
}

func BenchmarkNormalizeText(b *testing.B) {
	long := strings.Repeat("Größe und Gewicht \r\nzweite\tZeile\u00a0\n", 1000)
	b.SetBytes(int64(len(long)))
	for b.Loop() {
		connectors.NormalizeText(connectors.FieldNote, long)
	}
}

func TestCopyFieldMakesSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		a, b := anyRecord(t, k, "a"), anyRecord(t, k, "b")
		f := rapid.SampledFrom(connectors.Fields(k)).Draw(t, "field")
		before, src := a.Clone(), b.Clone()
		connectors.CopyField(a, b, f)
		require.True(t, connectors.Same(a, b, f))
		require.Equal(t, b.Empty(f), a.Empty(f))
		for _, other := range connectors.Fields(k) {
			if other != f {
				require.True(t, connectors.Same(a, before, other), "%s changed with %s", other, f)
			}
			require.True(t, connectors.Same(src, b, other), "the source changed")
		}
	})
}

func TestSameIsAnEquivalence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		a, b, c := anyRecord(t, k, "a"), anyRecord(t, k, "b"), anyRecord(t, k, "c")
		fields := connectors.Fields(k)
		require.Empty(t, connectors.Diff(a, a, fields))
		require.Empty(t, connectors.Diff(a, a.Clone(), fields))
		require.Equal(t, connectors.Diff(a, b, fields), connectors.Diff(b, a, fields))
		for _, f := range fields {
			if connectors.Same(a, b, f) && connectors.Same(b, c, f) {
				require.True(t, connectors.Same(a, c, f), f)
			}
		}
	})
}

// A clone shares nothing with its original.
func TestCloneIsDeep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := anyKind(t)
		a := anyRecord(t, k, "a")
		if p := a.Appointment; p != nil {
			p.Attendees = append(p.Attendees, connectors.Party{Address: "x@example.com"})
			p.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=DAILY"}, Dates: []time.Time{time.Unix(1, 0)},
				Exceptions: []connectors.Occurrence{{Appointment: &connectors.Appointment{Attendees: []connectors.Party{{Address: "x@example.com"}}}}}}
		}
		if m := a.Mail; m != nil {
			m.To, m.References = append(m.To, connectors.Party{}), append(m.References, "x")
		}
		a.Marks, a.Refs, a.Attachments = &connectors.Marks{Categories: []string{"a"}}, []connectors.Ref{{ID: "a"}}, []*connectors.Attachment{{ID: "a"}}
		b, c := a.Clone(), a.Clone()
		for _, f := range connectors.Fields(k) {
			b.SetText(f, "other")
		}
		if p := b.Appointment; p != nil {
			p.Attendees[0].Address, p.Recurrence.Rules[0], p.Recurrence.Dates[0] = "y", "y", time.Unix(2, 0)
			p.Recurrence.Exceptions[0].Cancelled = true
			p.Recurrence.Exceptions[0].Appointment.Attendees[0].Address = "y"
			p.Start = p.Start.Add(time.Hour)
		}
		if m := b.Mail; m != nil {
			m.To[len(m.To)-1].Address, m.References[len(m.References)-1] = "y", "y"
		}
		b.Marks.Categories[0], b.Refs[0].ID, b.Attachments[0].ID = "b", "b", "b"
		require.Equal(t, c, a)
	})
}

// Spellings that systems like to change are no change.
func TestSpellings(t *testing.T) {
	for _, x := range []struct {
		f    connectors.Field
		a, b string
		same bool
	}{
		{connectors.FieldPhone, "+49 (6221) 123-4", "+4962211234", true},
		{connectors.FieldPhone, "+49 6221 1234", "+49 6221 1235", false},
		{connectors.FieldEmail, "Eva@Example.com", "eva@example.com", true},
		{connectors.FieldCountry, "Germany", "DE", true},
		{connectors.FieldCountry, "DEU", "deutschland", true},
		{connectors.FieldCountry, "Atlantis", "atlantis", true},
		{connectors.FieldCountry, "AT", "AU", false},
		{connectors.FieldNote, "a\r\nb ", "a\nb", true},
		{connectors.FieldFamilyName, "eva", "Eva", false},
	} {
		a, b := connectors.NewRecord(connectors.KindContact), connectors.NewRecord(connectors.KindContact)
		a.SetText(x.f, x.a)
		b.SetText(x.f, x.b)
		assert.Equal(t, x.same, connectors.Same(a, b, x.f), "%s: %q and %q", x.f, x.a, x.b)
	}
	a, b := connectors.NewRecord(connectors.KindAppointment), connectors.NewRecord(connectors.KindAppointment)
	a.Appointment.Attendees = []connectors.Party{{Address: "b@x.example", Name: "B"}, {Address: "A@x.example"}}
	b.Appointment.Attendees = []connectors.Party{{Address: "a@x.example"}, {Address: "b@X.example"}, {Address: "a@x.example"}}
	assert.True(t, connectors.Same(a, b, connectors.FieldAttendees), "people are told apart by address, in any order")
	b.Appointment.Attendees = b.Appointment.Attendees[1:2]
	assert.False(t, connectors.Same(a, b, connectors.FieldAttendees))
	a.Appointment.Start, b.Appointment.Start = time.Unix(5, 1), time.Unix(5, 999).UTC()
	assert.True(t, connectors.Same(a, b, connectors.FieldTime))
	b.Appointment.AllDay = true
	assert.False(t, connectors.Same(a, b, connectors.FieldTime))
}

// What a kind does not have can be neither read nor set nor copied.
func TestOtherKinds(t *testing.T) {
	contact, account := connectors.NewRecord(connectors.KindContact), connectors.NewRecord(connectors.KindAccount)
	assert.False(t, contact.SetText(connectors.FieldSubject, "x"))
	assert.False(t, contact.SetText(connectors.FieldTime, "x"))
	assert.Empty(t, contact.Text(connectors.FieldSubject))
	assert.True(t, contact.Empty(connectors.FieldTime))
	account.Account.Phone = "1"
	connectors.CopyField(contact, account, connectors.FieldPhone)
	assert.Empty(t, contact.Contact.Phone)
	assert.Nil(t, connectors.Fields(0))
	var zero connectors.Record
	assert.False(t, zero.SetText(connectors.FieldPhone, "1"))
	assert.True(t, zero.Empty(connectors.FieldPhone))
}

func TestEmpty(t *testing.T) {
	r := connectors.NewRecord(connectors.KindAppointment)
	for _, f := range []connectors.Field{connectors.FieldSubject, connectors.FieldTime, connectors.FieldRecurrence, connectors.FieldOrganizer, connectors.FieldAttendees} {
		assert.True(t, r.Empty(f), f)
	}
	a := r.Appointment
	a.Subject, a.Start, a.Recurrence = "x", time.Unix(1, 0), &connectors.Recurrence{}
	a.Organizer.Address, a.Attendees = "x", []connectors.Party{{Address: "y"}}
	for _, f := range connectors.Fields(connectors.KindAppointment) {
		if !slices.Contains([]connectors.Field{connectors.FieldUID, connectors.FieldLocation, connectors.FieldDescription, connectors.FieldZone,
			connectors.FieldReminder, connectors.FieldCategories}, f) {
			assert.False(t, r.Empty(f), f)
		}
	}
}

// Each country is found by its code in any case and by its English name.
func TestCountryCode(t *testing.T) {
	seen := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			code := string([]rune{a, b})
			r, err := language.ParseRegion(code)
			if err != nil || !r.IsCountry() {
				continue
			}
			seen++
			now := r.Canonicalize()
			name := display.English.Regions().Name(r)
			require.Equal(t, now.String(), connectors.CountryCode(" "+strings.ToLower(code)))
			for _, s := range []string{name, strings.ToUpper(name), strings.ToLower(name) + " "} {
				if now == r && name != "" {
					require.Equal(t, code, connectors.CountryCode(s), s)
				}
			}
		}
	}
	require.Greater(t, seen, 240)
	for in, want := range map[string]string{"U.S.A.": "US", "England": "GB", "Deutschland": "DE", "Germany": "DE", "DD": "DE", "deu": "DE", "Vietnam": "VN", "Yemen": "YE", "Atlantis": "", "": "", "X": "", "ZZ": "", "419": "", "Europe": ""} {
		assert.Equal(t, want, connectors.CountryCode(in), in)
	}
}

func BenchmarkCountryCode(b *testing.B) {
	for b.Loop() {
		connectors.CountryCode("New Zealand")
	}
}

func TestKinds(t *testing.T) {
	for _, k := range connectors.Kinds() {
		got, err := connectors.ParseKind(k.String())
		require.NoError(t, err)
		require.Equal(t, k, got)
		b, err := k.MarshalText()
		require.NoError(t, err)
		var back connectors.Kind
		require.NoError(t, back.UnmarshalText(b))
		require.Equal(t, k, back)
		require.NotEmpty(t, connectors.Fields(k))
	}
	for _, s := range []string{"", "none", "contact", "Contacts", "contacts "} {
		_, err := connectors.ParseKind(s)
		assert.Error(t, err, s)
	}
	assert.Equal(t, "none", connectors.Kind(0).String())
}
