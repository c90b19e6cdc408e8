package sync

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var update = flag.Bool("update", false, "write the decision tables into DESIGN.md")

const (
	unseen = iota // not read in this round
	gone          // a direct read says that it does not exist
	there         // read, with the revision that is remembered
	edited        // read, with another revision
)

var words = []string{"not seen", "gone", "as remembered", "edited"}

func viewOf(what int, r *connectors.Record) view {
	switch what {
	case gone:
		return view{id: "x", gone: true}
	case there:
		return view{id: "x", rec: r}
	case edited:
		return view{id: "x", rec: r, changed: true}
	}
	return view{}
}

func anyTerms(k connectors.Kind) terms {
	fields := map[connectors.Field]connectors.Limit{}
	for _, f := range connectors.Fields(k) {
		fields[f] = connectors.Limit{}
	}
	c := connectors.Capability{Create: true, Update: true, Delete: true, Fields: fields}
	return terms{rule: Rule{Kind: k}, shared: connectors.Fields(k), caps: [2]connectors.Capability{c, c}, addresses: []string{"ana@acme.example"}}
}

// said is a step as DESIGN.md words it.
func said(st step) string {
	switch {
	case st.op == Create && st.side == Left, st.op == Delete && st.side == Left:
		return st.op.String() + " in the CRM"
	case st.op == Create, st.op == Delete:
		return st.op.String() + " in the mailbox"
	case st.op == Merge && len(st.write[0])+len(st.write[1]) == 0:
		return "remember"
	case st.op == Merge && len(st.write[1]) == 0:
		return "write to the CRM"
	case st.op == Merge && len(st.write[0]) == 0:
		return "write to the mailbox"
	}
	return st.op.String()
}

func tables() string {
	var b strings.Builder
	r1, r2 := contact("Ada", "Berg", ""), contact("Ada", "Berg", "")
	r1.Contact.JobTitle, r2.Contact.JobTitle = "Cook", "Smith"
	for _, t := range []struct {
		title string
		link  *Link
	}{
		{"Nothing remembered: one of a kind", nil},
		{"Remembered as alike", &Link{State: Linked, Origin: Left, ID: [2]string{"x", "x"}}},
		{"Remembered as a conflict", &Link{State: Conflicted, Origin: Left, ID: [2]string{"x", "x"}}},
		{"Remembered as left alone", &Link{State: Unlinked, Origin: Left, ID: [2]string{"x", "x"}}},
	} {
		fmt.Fprintf(&b, "**%s**\n\n| in the CRM ↓, in the mailbox → |", t.title)
		cols := []int{unseen, gone, there, edited}
		for _, c := range cols {
			fmt.Fprintf(&b, " %s |", words[c])
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(cols)) + "\n")
		for _, l := range cols {
			fmt.Fprintf(&b, "| %s |", words[l])
			for _, r := range cols {
				fmt.Fprintf(&b, " %s |", said(decide(t.link, viewOf(l, r1), viewOf(r, r2), anyTerms(kc))))
			}
			b.WriteString("\n")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// DESIGN.md shows what the planner does, cell by cell.
func TestTheDecisionTablesAreTheOnesInTheDesign(t *testing.T) {
	const from, to = "<!-- tables: from the planner -->\n\n", "<!-- end of tables -->"
	doc, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(doc), from)
	require.True(t, ok)
	shown, tail, ok := strings.Cut(rest, to)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile("DESIGN.md", []byte(head+from+tables()+to+tail), 0o600))
		return
	}
	require.Equal(t, tables(), shown, "run go test ./sync -update and read what changed")
}

// Whatever the planner is shown: it deletes only what is proven gone on the
// other side and untouched on this one, it never writes where a rule forbids,
// and it never decides anything on absence alone.
// evidence: I2
func TestThePlannerNeverGoesTooFar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom([]connectors.Kind{kc, ka}).Draw(t, "kind")
		record := func(name string) *connectors.Record {
			if k == kc {
				r := contact(rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, name), "F", "")
				r.Contact.JobTitle = rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, name+" title")
				return r
			}
			var with []string
			if rapid.Bool().Draw(t, name+" attended") {
				with = []string{"bo@x.example"}
			}
			r := appointment(rapid.SampledFrom([]string{"S", "T"}).Draw(t, name), noon, with...)
			r.Appointment.Organizer.Address = rapid.SampledFrom([]string{"", "ana@acme.example", "boss@x.example"}).Draw(t, name+" organizer")
			return r
		}
		tm := anyTerms(k)
		tm.rule.Direction = Direction(rapid.IntRange(0, 2).Draw(t, "direction"))
		tm.rule.Deletes = Deletes(rapid.IntRange(0, 1).Draw(t, "deletes"))
		tm.rule.Winner = Winner(rapid.IntRange(0, 2).Draw(t, "winner"))
		for i := range tm.caps {
			tm.caps[i].Create, tm.caps[i].Update, tm.caps[i].Delete = rapid.Bool().Draw(t, "create"), rapid.Bool().Draw(t, "update"), rapid.Bool().Draw(t, "delete")
		}
		var link *Link
		if s := rapid.IntRange(0, 3).Draw(t, "link"); s > 0 {
			link = &Link{State: []LinkState{Linked, Conflicted, Unlinked}[s-1], Origin: Side(rapid.IntRange(1, 2).Draw(t, "origin")), ID: [2]string{"l", "r"}}
		}
		what := [2]int{rapid.IntRange(0, 3).Draw(t, "left"), rapid.IntRange(0, 3).Draw(t, "right")}
		vs := [2]view{viewOf(what[0], record("l")), viewOf(what[1], record("r"))}
		st := decide(link, vs[0], vs[1], tm)

		forbidden := map[Side]bool{Left: tm.rule.Direction == ToRight, Right: tm.rule.Direction == ToLeft}
		for s := range []Side{Left, Right} {
			side := []Side{Left, Right}[s]
			other := 1 - s
			if len(st.write[s]) > 0 {
				require.Equal(t, Merge, st.op)
				require.False(t, forbidden[side])
				require.True(t, tm.caps[s].Update)
				require.True(t, vs[0].present() && vs[1].present())
			}
			if st.side == side && st.op == Create {
				require.False(t, forbidden[side])
				require.True(t, tm.caps[s].Create)
				require.True(t, vs[other].present())
				require.True(t, link == nil || what[s] == gone && what[other] == edited, "a copy is made again only where an edit is to be kept")
			}
			if st.side == side && st.op == Delete {
				require.False(t, forbidden[side])
				require.True(t, tm.caps[s].Delete)
				require.NotNil(t, link)
				require.Equal(t, Linked, link.State)
				require.Equal(t, gone, what[other], "proven gone there")
				require.Equal(t, Propagate, tm.rule.Deletes)
				require.Equal(t, there, what[s], "nothing that somebody edited")
				if a := vs[s].rec.Appointment; a != nil && len(a.Attendees) > 0 {
					require.Equal(t, Left, side, "nothing with attendees is deleted in a mailbox")
					require.Equal(t, "ana@acme.example", a.Organizer.Address)
				}
			}
		}
		if what[0] == unseen && what[1] == unseen {
			require.Equal(t, Nothing, st.op)
		}
		if st.op == Forget && link != nil && link.State != Unlinked {
			require.Equal(t, [2]int{gone, gone}, what)
		}
		if st.op == Conflict {
			require.True(t, slices.Contains([]Winner{Nobody}, tm.rule.Winner))
		}
	})
}

// Planning as a round does it, page by page, with whatever a page may hold: new
// records, edits of either side and of both, echoes, and deletions.
//
// evidence: I9
func BenchmarkPlanner(b *testing.B) {
	w := newWorld(b, setup{})
	st, err := w.states.Open(b.Context(), "ana")
	require.NoError(b, err)
	k := w.e.round(w.worker, w.p, st).kind(Rule{Kind: kc})
	k.paged = true // or the brake would look at one page alone
	var us []*unit
	for i := range pageSize {
		x, y := contact("Ada", fmt.Sprint("Berg ", i), fmt.Sprint(i, "@x.example")), contact("Ada", fmt.Sprint("Berg ", i), fmt.Sprint(i, "@x.example"))
		x.ID, y.ID = fmt.Sprint("l", i), fmt.Sprint("r", i)
		u := &unit{link: &Link{Kind: kc, State: Linked, Origin: Left, ID: [2]string{x.ID, y.ID}}}
		l, r := viewOf(there, x), viewOf(there, y)
		switch i % 8 {
		case 0, 1: // new on a side
			u.link = nil
			if r = viewOf(unseen, nil); i%2 == 1 {
				l, r = viewOf(unseen, nil), viewOf(edited, y)
			}
		case 2: // new on both, and the same
			u.link = nil
		case 3:
			x.Contact.JobTitle, l = "Cook", viewOf(edited, x)
		case 4:
			y.Contact.JobTitle, r = "Cook", viewOf(edited, y)
		case 5:
			x.Contact.JobTitle, y.Contact.JobTitle = "Cook", "Smith"
			l, r = viewOf(edited, x), viewOf(edited, y)
		case 6: // an echo
			l = viewOf(edited, x)
		case 7:
			r = viewOf(gone, nil)
		}
		u.views = [2]view{l, r}
		us = append(us, u)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		if steps := k.plan(us); len(steps) != pageSize {
			b.Fatal("not all were planned")
		}
	}
	runtime.ReadMemStats(&after)
	pairs := float64(b.N * pageSize)
	b.ReportMetric(pairs/b.Elapsed().Seconds(), "pairs/s")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/pairs, "B/pair")
}
