package sync

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

// provoked makes each trouble that there is, through whole rounds.
func provoked() map[Code]func(t *testing.T) []Issue {
	attempt := func(w *world) []Issue {
		w.now = w.now.Add(time.Minute)
		_, _ = w.e.Sync(w.t.Context(), w.worker, w.p)
		return w.issues()
	}
	one := func(t *testing.T, s setup) *world {
		w := newWorld(t, s)
		w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
		return w
	}
	many := func(t *testing.T, n int) *world {
		w := newWorld(t, setup{})
		for i := range n {
			w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
		}
		return w
	}
	narrow := map[connectors.Kind]map[connectors.Field]connectors.Limit{
		kc: {connectors.FieldFamilyName: {Runes: 3}}, ka: {connectors.FieldSubject: {}, connectors.FieldTime: {}}}
	return map[Code]func(t *testing.T) []Issue{
		CodeConflict: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.sync()
			for i, s := range []*mem.System{w.crm, w.box} {
				s.Edit(kc, s.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.JobTitle = []string{"Cook", "Baker"}[i] })
			}
			return attempt(w)
		},
		CodeAmbiguous: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.crm.Add(contact("Ada", "Berg", "ada@x.example"))
			w.box.Add(contact("Ada", "Berg", "ada@x.example"))
			return attempt(w)
		},
		CodeField: func(t *testing.T) []Issue { return attempt(one(t, setup{box: mem.Options{Limits: narrow}})) },
		CodeSeries: func(t *testing.T) []Issue {
			w := newWorld(t, setup{crm: mem.Options{Limits: narrow}})
			r := appointment("Weekly", noon)
			r.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY"}}
			w.box.Add(r)
			return attempt(w)
		},
		CodeOccurrence: func(t *testing.T) []Issue {
			w := newWorld(t, setup{crm: mem.Options{Rules: true}})
			r := appointment("Weekly", noon)
			r.Appointment.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY"}, Exceptions: []connectors.Occurrence{{Original: noon.AddDate(0, 0, 7), Cancelled: true}}}
			w.box.Add(r)
			return attempt(w)
		},
		CodeGuests: func(t *testing.T) []Issue {
			w := newWorld(t, setup{box: *mem.Graph()})
			r := appointment("Fair", noon, "bo@x.example")
			r.Appointment.Organizer = connectors.Party{Address: "ana@acme.example"}
			w.crm.Add(r)
			w.quiet()
			for _, guests := range [][]connectors.Party{{{Address: "di@x.example"}}, nil} {
				w.box.Edit(ka, w.box.Records(ka)[0].ID, func(r *connectors.Record) { r.Appointment.Attendees = guests })
				attempt(w)
			}
			return w.issues()
		},
		CodePrivate: func(t *testing.T) []Issue {
			w := newWorld(t, setup{})
			r := appointment("Doctor", noon)
			r.Appointment.Sensitivity = connectors.Private
			w.box.Add(r)
			return attempt(w)
		},
		CodeUnread: func(t *testing.T) []Issue {
			w := one(t, setup{crm: mem.Options{Lean: true}})
			w.crm.Fail(mem.Fault{Verb: "get", Item: 1, Err: connectors.ErrMalformed})
			return attempt(w)
		},
		CodeRefused: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.box.Fail(mem.Fault{Verb: "create", Item: 1, Err: connectors.ErrForbidden})
			return attempt(w)
		},
		CodeLater: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.box.Fail(mem.Fault{Verb: "create", Item: 1, Err: connectors.ErrUnavailable})
			return attempt(w)
		},
		CodeUnknown: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.box.Fail(mem.Fault{Verb: "create", Item: 1, Err: connectors.ErrUnknownOutcome})
			return attempt(w)
		},
		CodeDuplicate: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.box.Fail(mem.Fault{Verb: "create", After: true}, mem.Fault{Verb: "find"})
			attempt(w)
			w.box.Add(w.box.Records(kc)[0]) // somebody copied it, its key with it
			return attempt(w)
		},
		CodeBrake: func(t *testing.T) []Issue {
			w := many(t, 4)
			w.sync()
			for _, r := range w.box.Records(kc) {
				w.box.Remove(kc, r.ID)
			}
			return attempt(w)
		},
		CodeFirst: func(t *testing.T) []Issue {
			w := many(t, 4)
			w.box.Fail(mem.Fault{Verb: "create", Item: 2, Err: connectors.ErrThrottled})
			attempt(w)
			w.box.Remove(kc, w.box.Records(kc)[0].ID)
			return attempt(w)
		},
		CodeLoop: func(t *testing.T) []Issue {
			w := one(t, setup{})
			w.sync()
			for i := range 12 {
				s := []*mem.System{w.crm, w.box}[i%2]
				s.Edit(kc, s.Records(kc)[0].ID, func(r *connectors.Record) { r.Contact.Phone = fmt.Sprint("+49 30 ", i) })
				if is := attempt(w); len(is) > 0 {
					return is
				}
			}
			return nil
		},
		CodeShared: func(t *testing.T) []Issue {
			w := newTeam(t, Rule{}, mem.Options{}, "ana", "ben")
			w.invite("Plan", "ana", "ben")
			w.crm.Fail(mem.Fault{Verb: "create"})
			_, err := w.e.Sync(t.Context(), w.worker, w.pairs["ben"])
			require.Error(t, err)
			w.round("ana")
			st, err := w.states.Open(t.Context(), w.pairs["ana"].ID)
			require.NoError(t, err)
			ts, err := st.Issues(t.Context(), 0, 10)
			require.NoError(t, err)
			var out []Issue
			for _, x := range ts {
				out = append(out, x.issue(true))
			}
			return out
		},
		CodeRelated: func(t *testing.T) []Issue {
			w := newWorld(t, setup{crm: mem.Options{Limits: map[connectors.Kind]map[connectors.Field]connectors.Limit{
				connectors.KindAccount: {connectors.FieldName: {Runes: 3}}}}})
			w.p.Rules = []Rule{{Kind: kc, Policy: &Policy{Company: func(name string, _ []connectors.Hit) CompanyChoice {
				a := connectors.NewRecord(connectors.KindAccount)
				a.Account.Name = name
				return CompanyChoice{Create: a}
			}}}}
			r := contact("Ada", "Berg", "ada@x.example")
			r.Contact.Company = "A long name"
			w.box.Add(r)
			is := attempt(w)
			require.Len(t, w.crm.Records(kc), 1, "carried over all the same")
			return is
		},
		CodeFile: func(t *testing.T) []Issue {
			w := newWorld(t, setup{})
			w.p.Rules = []Rule{{Kind: ka, Policy: &Policy{Files: func(connectors.Attachment) (bool, string) { return false, "too large" }}}}
			w.crm.AddFile(ka, w.crm.Add(appointment("Plan", noon)), "film.mov", "", []byte("x"))
			return attempt(w)
		},
	}
}

// Every code there is happens, and only then may it be in the list.
func TestEveryCodeIsProvoked(t *testing.T) {
	all := provoked()
	assert.Len(t, all, len(Codes()), "a code that nobody listed")
	for _, c := range Codes() {
		t.Run(string(c), func(t *testing.T) {
			require.Contains(t, all, c, "nothing provokes it")
			is := all[c](t)
			require.Contains(t, codes(is), c)
			for _, i := range is {
				assert.NotContains(t, i.What, "Unknown trouble")
				assert.NotEmpty(t, i.Undone)
				assert.NotEmpty(t, i.Next)
				assert.NotContains(t, i.What+i.Undone+i.Next, "@", "no content")
			}
		})
	}
}

// What is tried again is so after a minute, 5, 30, 4 hours and a day, and then left
// alone where trying is no use.
func TestWhenTroubleIsTriedAgain(t *testing.T) {
	const m, h = time.Minute, time.Hour
	for c, want := range map[Code][]time.Duration{
		CodeRefused:  {m, 5 * m, 30 * m, 4 * h, 24 * h, 0, 0},
		CodeLater:    {m, 5 * m, 30 * m, 4 * h, 24 * h, 24 * h, 24 * h},
		CodeConflict: {0, 0},
		CodeBrake:    {-1, -1},
	} {
		for i, d := range want {
			switch next := c.retry(i+1, noon); d {
			case 0:
				assert.True(t, next.IsZero(), "%s, try %d", c, i+1)
			case -1:
				assert.Equal(t, noon, next, "%s, try %d", c, i+1)
			default:
				assert.Equal(t, d, next.Sub(noon), "%s, try %d", c, i+1)
			}
		}
	}
}

// again says in words when a code is tried again.
func again(c Code) string {
	var waits []string
	for n := 1; ; n++ {
		next := c.retry(n, noon)
		d := strings.NewReplacer("h0m0s", " h", "m0s", " min").Replace(next.Sub(noon).String())
		switch {
		case next.IsZero() && n == 1:
			return "when somebody changes the record"
		case next.Equal(noon):
			return "at every round"
		case next.IsZero():
			return "after " + strings.Join(waits, ", ") + ", then when somebody changes the record"
		case n > 1 && c.retry(n-1, noon).Equal(next) && c.retry(n+20, noon).Equal(next):
			return "after " + strings.Join(waits, ", ") + ", and so on"
		}
		waits = append(waits, d)
	}
}

func catalogue() string {
	var b strings.Builder
	b.WriteString("# Issues\n\nWhat a person may have to see, by its code. Written by `go test ./sync -run Catalogue -update`;\na test holds it against the code, and each code is provoked by one.\n")
	for _, c := range Codes() {
		what, undone, next := c.explain()
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n- Not done: %s\n- Next: %s\n- Looked at again: %s.\n", c, what, undone, next, again(c))
	}
	return b.String()
}

// ISSUES.md says what the code says.
func TestCatalogueOfIssues(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile("ISSUES.md", []byte(catalogue()), 0o600))
	}
	doc, err := os.ReadFile("ISSUES.md")
	require.NoError(t, err)
	assert.Equal(t, catalogue(), string(doc), "run go test ./sync -run Catalogue -update")
}

// A round tells what it is doing, how much there is as far as that is known, and
// in the end what it waits for.
func TestProgressIsHonest(t *testing.T) {
	for _, hold := range []int{0, 3} { // in memory, in pages
		var events []Event
		w := newWorld(t, setup{o: Options{HoldUpTo: hold, Progress: func(e Event) { events = append(events, e) }}, rules: []Rule{{Kind: kc}}})
		for i := range 8 {
			w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
		}
		w.sync()
		order := map[Phase]int{Recovering: 0, Reading: 1, Writing: 2, Done: 3}
		last := events[0]
		for _, e := range events[1:] {
			assert.GreaterOrEqual(t, order[e.Phase], order[last.Phase])
			if e.Phase == Reading {
				assert.Equal(t, -1, e.Total, "nobody knows how much there is to read")
			}
			if e.Phase == Writing && hold == 0 {
				assert.Equal(t, 8, e.Total)
				assert.LessOrEqual(t, e.Done, e.Total)
			}
			if e.Phase == Writing && hold > 0 {
				assert.Equal(t, -1, e.Total)
			}
			last = e
		}
		assert.Equal(t, Done, last.Phase)
		assert.Empty(t, last.Why)
		for _, r := range w.box.Records(kc) {
			w.box.Remove(kc, r.ID)
		}
		w.sync()
		last = events[len(events)-1]
		assert.Contains(t, last.Why, "held until approved")
	}
}

// A preview is a few sentences, whatever the number of records.
func TestPlanInWords(t *testing.T) {
	w := newWorld(t, setup{})
	for i := range 3 {
		w.crm.Add(contact("N", fmt.Sprint(i), fmt.Sprintf("n%d@x.example", i)))
	}
	a := contact("Ada", "Berg", "ada@x.example")
	w.box.Add(a)
	a.Contact.JobTitle = "Cook"
	w.crm.Add(a)
	w.box.Add(appointment("Plan", noon))
	p, err := w.e.Plan(t.Context(), w.worker, w.p)
	require.NoError(t, err)
	assert.Equal(t, []string{"create 3 contacts in the mailbox", "update 1 contact in the mailbox", "create 1 appointment in the CRM"}, p.Words())
	p.More = 7
	assert.Contains(t, p.Words(), "and 7 more that are not listed")
	assert.Equal(t, []string{"nothing to do"}, Plan{}.Words())
}
