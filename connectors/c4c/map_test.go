package c4c

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// The limits that callers see are those of the published metadata.
func TestLengths(t *testing.T) {
	check := func(set, name string, want int) {
		t.Helper()
		n, ok := c4ctest.PropertyLength(set, name)
		require.True(t, ok, "%s %s", set, name)
		assert.Equal(t, n, want, "%s %s", set, name)
	}
	for _, owner := range []bool{false, true} {
		for _, s := range shapes(owner) {
			for _, c := range s.columns {
				check(s.set, c.name, c.runes)
			}
			for _, n := range slices.Concat(s.own(), s.expand(false)) {
				_, ok := c4ctest.PropertyLength(s.set, n)
				assert.True(t, ok, "%s %s", s.set, n)
			}
			if s.key != "" {
				check(s.set, s.key, s.keyRunes)
			}
			if s.street != "" {
				check(s.set, s.street, runesStreet)
			}
			if s.second != "" {
				check(s.set, s.second, runesSecond)
			}
			for _, p := range s.people {
				check(p.set, p.address, p.addressRunes)
				check(p.set, p.name, p.nameRunes)
			}
			if s.text != nil {
				check(s.text.set, "Text", 0)
			}
		}
	}
	check(setAccount, "Name", runesCompany)
	assert.LessOrEqual(t, len(joinMessage(strings.Repeat("m", runesMessage), strings.Repeat("k", connectors.MaxKey))), 765)
}

// text draws texts as people and attackers write them, in the form in which
// this module carries them.
func text(f connectors.Field, most int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		n := most
		if n == 0 {
			n = 200
		}
		s := connectors.NormalizeText(f, rapid.StringN(0, n, -1).Draw(t, string(f)))
		if r := []rune(s); len(r) > n {
			s = connectors.NormalizeText(f, string(r[:n]))
		}
		return s
	})
}

func drawRecord(t *rapid.T, s shape) *connectors.Record {
	r := connectors.NewRecord(s.kind)
	for f, l := range s.capability().Fields {
		r.SetText(f, text(f, l.Runes).Draw(t, "text"))
	}
	if s.country != "" {
		r.SetText(connectors.FieldCountry, rapid.SampledFrom([]string{"", "DE", "us", "Japan", "DEU"}).Draw(t, "country"))
	}
	if r.Contact != nil {
		r.Contact.Birthday = rapid.SampledFrom([]string{"", "1600-02-29", "1969-07-20", "2026-01-01"}).Draw(t, "birthday")
	}
	if x := r.Task; x != nil {
		x.Status = rapid.SampledFrom([]connectors.TaskStatus{connectors.NotStarted, connectors.InProgress, connectors.Completed, connectors.Dropped}).Draw(t, "status")
		x.Percent = rapid.IntRange(0, 100).Draw(t, "percent")
		x.Priority = connectors.Priority(rapid.IntRange(0, 2).Draw(t, "priority"))
		x.Start = rapid.SampledFrom([]string{"", "2026-02-28", "2028-02-29"}).Draw(t, "start")
		x.Due = rapid.SampledFrom([]string{"", "0001-01-02", "9999-12-30"}).Draw(t, "due")
	}
	if m := r.Mail; m != nil {
		r.SetText(connectors.FieldMessageID, rapid.SampledFrom([]string{"", "a@b", "x=1/2@mail.example"}).Draw(t, "message"))
		m.Date = time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "date"), 0).UTC()
		m.Direction = connectors.Direction(rapid.IntRange(0, 2).Draw(t, "direction"))
		m.From = connectors.Party{Address: "from@example.com", Name: text(connectors.FieldName, 100).Draw(t, "name")}
		m.To = []connectors.Party{{Address: "to@example.com"}}
	}
	if a := r.Appointment; a != nil {
		start := time.Unix(rapid.Int64Range(-4e9, 4e9).Draw(t, "start"), 0).UTC()
		a.Start, a.End = start, start.Add(time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "length"))*time.Second)
		a.AllDay = s.when.allDay != "" && rapid.Bool().Draw(t, "day")
		if s.sensitive {
			a.Sensitivity = connectors.Sensitivity(rapid.IntRange(0, 2).Draw(t, "sensitivity"))
			a.Availability = connectors.Availability(rapid.IntRange(0, 3).Draw(t, "availability"))
		}
		a.Status = rapid.SampledFrom([]connectors.Status{connectors.Confirmed, connectors.Cancelled}).Draw(t, "status")
		for i := range rapid.IntRange(0, 5).Draw(t, "parties") {
			p := connectors.Party{Address: fmt.Sprintf("p%d@example.com", i), Name: text(connectors.FieldName, 100).Draw(t, "name")}
			if i == 0 {
				a.Organizer = p
			} else {
				a.Attendees = append(a.Attendees, p)
			}
		}
	}
	return r
}

// What is sent comes back the same: map and unmap are a fixed point.
func TestRoundTripProperty(t *testing.T) {
	for _, s := range shapes(false) {
		t.Run(s.kind.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := drawRecord(t, s)
				fields := s.present(r)
				for f, l := range s.capability().Fields {
					if l.Required && r.Empty(f) {
						r.SetText(f, "x")
					}
				}
				if err := s.check(r, fields); err != nil {
					t.Fatalf("drawn record does not fit: %v", err)
				}
				companies := map[string]string{}
				if r.Contact != nil {
					companies[r.Contact.Company] = "17"
				}
				p := s.draft(connectors.Draft{Record: r, Key: "key"}, fields, companies, nil)
				if s.company {
					p["AccountFormattedName"] = r.Contact.Company // as the system does it
				}
				p[propID], p[propChanged] = "ID", "/Date(1)/"
				for _, n := range s.expand(false) {
					if p[n] == nil {
						p[n] = []any{}
					}
				}
				b, err := json.Marshal(map[string]any{"d": p})
				require.NoError(t, err)
				got, err := decode(b)
				require.NoError(t, err)
				back, err := s.record(got.Entities[0])
				require.NoError(t, err)
				all := connectors.Shared(s.kind, s.capability(), s.capability())
				assert.Empty(t, connectors.Diff(r, back, all))
				if s.key != "" {
					assert.Equal(t, "key", back.Key)
				}
				assert.Empty(t, connectors.Diff(back, back.Clone(), all))
			})
		})
	}
}

func TestCheckNamesTheField(t *testing.T) {
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName = "x"
	secret := strings.Repeat("secret ", 10)
	for f, v := range map[connectors.Field]string{connectors.FieldGivenName: secret, connectors.FieldCompany: secret,
		connectors.FieldPostalCode: secret, connectors.FieldCountry: "Atlantis", connectors.FieldBirthday: "--02-30", connectors.FieldWebsite: "https://x", connectors.FieldFamilyName: ""} {
		c := r.Clone()
		c.SetText(f, v)
		err := contactShape().check(c, []connectors.Field{f})
		var e *connectors.Error
		require.ErrorAs(t, err, &e, f)
		assert.Equal(t, f, e.Field)
		assert.ErrorIs(t, err, connectors.ErrInvalid)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestParseDate(t *testing.T) {
	want := time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)
	for _, s := range []string{"/Date(1774747800000)/", "/Date(1774747800000+0000)/", "/Date(1774747800000+0120)/", "2026-03-29T01:30:00Z",
		"2026-03-29T03:30:00+02:00", "2026-03-29T01:30:00", "datetimeoffset'2026-03-29T01:30:00Z'", "datetime'2026-03-29T01:30:00'"} {
		got, err := parseDate(s)
		require.NoError(t, err, s)
		assert.True(t, want.Equal(got), s)
	}
	for _, s := range []string{"", "/Date()/", "/Date(99999999999999999)/", "/Date(-99999999999999999)/", "/Date(1)/x", "x/Date(1)/", "0000-00-00", "2026-13-01", "datetime''", "10000-01-01T00:00:00Z"} {
		_, err := parseDate(s)
		assert.Error(t, err, s)
	}
}

func TestLiterals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringN(1, 30, -1).Draw(t, "id")
		u, err := url.Parse("https://host/service/" + key("Set", id) + "?" + query("$filter", anyOf("P", []string{id, "b"}), "$top", "1"))
		require.NoError(t, err)
		assert.Equal(t, "/service/Set('"+strings.ReplaceAll(id, "'", "''")+"')", u.Path)
		assert.Equal(t, 1, strings.Count(strings.TrimPrefix(u.EscapedPath(), "/service/"), "Set"), "one segment")
		assert.NotContains(t, strings.TrimPrefix(u.EscapedPath(), "/service/"), "/")
		assert.Equal(t, url.Values{"$filter": {"P eq " + quote(id) + " or P eq 'b'"}, "$top": {"1"}}, u.Query())
	})
}

func TestFollow(t *testing.T) {
	base, err := url.Parse("https://host/sap/odata/")
	require.NoError(t, err)
	d := &driver{base: base}
	for next, want := range map[string]string{
		"https://host/sap/odata/Set?$skiptoken=2":    "Set?$skiptoken=2",
		"Set?$skiptoken=2":                           "Set?$skiptoken=2",
		"https://evil/sap/odata/Set?$skiptoken=2":    "",
		"http://host/sap/odata/Set?$skiptoken=2":     "",
		"https://u@host/sap/odata/Set?$skiptoken=2":  "",
		"https://host/sap/odata/Other?$skiptoken=2":  "",
		"https://host/sap/odata/../Set?$skiptoken=2": "",
		"//evil/sap/odata/Set?$skiptoken=2":          "",
		"https://host/sap/odata/Set?$top=1":          "", // the same again
		":":                                          "",
	} {
		got, err := d.link("Set?$top=1", next)
		assert.Equal(t, want, got, next)
		assert.Equal(t, want == "", err != nil, next)
	}
}

func TestOpenOptions(t *testing.T) {
	u, err := url.Parse("https://host/odata")
	require.NoError(t, err)
	for opts, ok := range map[string]bool{"": true, "overlap=0s": true, "overlap=24h": true, "overlap=-1s": false, "overlap=25h": false, "overlap=x": false, "other=1": false} {
		s := connectors.Settings{URL: u, Options: map[string]string{}}
		if k, v, found := strings.Cut(opts, "="); found {
			s.Options[k] = v
		}
		d, err := open(s, time.Now)
		assert.Equal(t, ok, err == nil, opts)
		if ok {
			assert.Equal(t, "/odata/", d.base.Path)
		}
	}
	_, err = open(connectors.Settings{}, time.Now)
	assert.Error(t, err)
}

// A record that makes no sense is reported without content and hinders no other.
func TestMalformedRecord(t *testing.T) {
	p, err := decode([]byte(`{"d":{"results":[{"ObjectID":"A","LastName":17,"ContactTextCollection":[],"EntityLastChangedOn":"/Date(1)/"},{"ObjectID":"B","LastName":"x","ContactTextCollection":[],"EntityLastChangedOn":"/Date(1)/"}]}}`))
	require.NoError(t, err)
	ch, err := contactShape().change(p.Entities[0], "A", true)
	require.NoError(t, err)
	assert.Nil(t, ch.Record)
	ch, err = contactShape().change(p.Entities[1], "B", true)
	require.NoError(t, err)
	assert.NotNil(t, ch.Record)
	_, err = contactShape().record(entity{propID: []byte(`"A"`)})
	assert.ErrorIs(t, err, connectors.ErrMalformed, "notes that were not read are not empty notes")
}

// Answers of real servers, shortened: one of the vendor's sandbox in shape, one
// of its open server.
func TestShapes(t *testing.T) {
	files, err := filepath.Glob("testdata/shapes/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		p, err := decode(b)
		require.NoError(t, err, f)
		require.Len(t, p.Entities, 1, f)
		r, err := contactShape().record(p.Entities[0])
		require.NoError(t, err, f)
		assert.Equal(t, "Muster", r.Contact.FamilyName, f)
		assert.NotEmpty(t, r.Rev, f)
		assert.Equal(t, "first", r.Contact.Note, f)
		assert.Equal(t, "1970-01-02", r.Contact.Birthday, f)
	}
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"/Date(0)/", "/Date(-1+0060)/", "2026-03-29T01:30:00Z", "datetimeoffset'2026-03-29T01:30:00Z'", "datetime'2026-03-29'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDate(s)
		if err != nil {
			return
		}
		if d.Year() < 1 || d.Year() > 9999 {
			t.Fatalf("year %d", d.Year())
		}
		again, err := parseDate(offsetLiteral(d))
		if err != nil || again.UnixMilli() != d.UnixMilli() {
			t.Fatalf("%q does not come back", s)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"d":{"results":[{"ObjectID":"1"}],"__next":"x"}}`, `{"d":[]}`, `{"d":{"ObjectID":"1","ContactTextCollection":{"results":[{"Text":"x"}]}}}`, `{"d":{"results":{"results":{}}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if err != nil {
			return
		}
		for _, e := range p.Entities {
			for _, s := range shapes(false) {
				r, err := s.record(e)
				if err == nil && (r.Kind != s.kind || connectors.Diff(r, r.Clone(), connectors.Fields(s.kind)) != nil) {
					t.Fatal("record is not equal to itself")
				}
			}
			_ = e.rev()
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add("multipart/mixed; boundary=b", []byte("--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n--b--\r\n"), 1)
	f.Add("multipart/mixed; boundary=b", []byte("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n--c--\r\n--b--\r\n"), 1)
	f.Fuzz(func(t *testing.T, ct string, b []byte, n int) {
		if n < 0 || n > 50 {
			return
		}
		out, err := decodeBatch(ct, b, n)
		if err == nil && len(out) != n {
			t.Fatalf("%d outcomes for %d steps", len(out), n)
		}
		for _, o := range out {
			_ = o.err(true)
			_ = o.entity()
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{Version: 1, Kind: connectors.KindContact, Newest: 5}.String())
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s, connectors.KindContact)
		if err != nil {
			return
		}
		again, err := parseCursor(c.String(), connectors.KindContact)
		if err != nil || again != c {
			t.Fatal("cursor does not come back")
		}
	})
}

func TestEncodeBatch(t *testing.T) {
	_, _, err := encodeBatch([]step{{changes: []operation{{method: "PATCH", rel: "x", match: "a\r\nEvil: 1", body: properties{}}}}})
	assert.Error(t, err)
}

// A message id and a create key share one property, and each comes back.
func TestMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.StringMatching(`[a-zA-Z0-9=/.+_-]{1,20}@[a-z.]{1,20}`).Draw(t, "message")
		key := rapid.SampledFrom([]string{"lk-1", "<a>&b;", "<a> b", "a b", "*", "> x"}).Draw(t, "key")
		for _, m := range []string{message, ""} {
			gotM, gotK := cutMessage(joinMessage(m, key))
			if gotM != m || gotK != key {
				t.Fatalf("%q %q came back as %q %q", m, key, gotM, gotK)
			}
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`<Edmx><DataServices><Schema Namespace="n"><EntityType Name="Visit"><Property Name="ID"/></EntityType><EntityContainer><EntitySet Name="VisitCollection" EntityType="n.Visit"/></EntityContainer></Schema></DataServices></Edmx>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMetadata(b)
		if err == nil && len(m) == 0 {
			t.Fatal("a description of nothing")
		}
		for _, s := range shapes(false) {
			m.lacks(s)
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{"<a@b> k", "<a@b>", "a@b", "lk-1", "<", "> "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, k := cutMessage(s); len(m)+len(k) > len(s) {
			t.Fatal("more than there was")
		}
	})
}
