package sync

import (
	"flag"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var trees = flag.Int("sync.trees", 20_000, "pairs of trees that the planner has to settle")

// tree is a little of both sides: records by number, and what is remembered.
type tree struct {
	rnd  *rand.Rand
	t    terms
	rec  [2]map[int]*connectors.Record
	link []*Link
	at   map[*Link][2]int // the records of a link; 0: none
	rev  int
	made int
}

func (w *tree) put(side, n int, phone, title string) {
	w.rev++
	r := contact("N"+strconv.Itoa(n), "F", "")
	r.Contact.Phone, r.Contact.JobTitle, r.Rev = phone, title, strconv.Itoa(w.rev)
	w.rec[side][n] = r
}

func (w *tree) view(l *Link, side int) view {
	n := w.at[l][side]
	r := w.rec[side][n]
	if r == nil {
		return view{id: strconv.Itoa(n), gone: n != 0}
	}
	return view{id: strconv.Itoa(n), rec: r, changed: r.Rev != l.Rev[side]}
}

// apply does what a step says; a step that fails does nothing.
func (w *tree) apply(t *testing.T, l *Link, at [2]int, vs [2]view, st step) (wrote bool) {
	know := func(state LinkState) {
		if l == nil {
			l = &Link{Origin: Left}
			w.link = append(w.link, l)
		}
		l.State, w.at[l] = state, at
		for i := range at {
			if r := w.rec[i][at[i]]; r != nil {
				l.Rev[i] = r.Rev
			}
		}
	}
	forget := func() {
		for i := range w.link {
			if w.link[i] == l {
				w.link = append(w.link[:i], w.link[i+1:]...)
				return
			}
		}
	}
	switch st.op {
	case Create:
		i := st.side.at()
		if l != nil {
			forget()
			l = nil
		}
		w.made++
		at[i] = 1000 + w.made
		src := vs[1-i].rec.Contact
		w.put(i, at[i], src.Phone, src.JobTitle)
		know(Linked)
		l.Origin = st.side.Other()
		return true
	case Merge:
		for i, fs := range st.write {
			if len(fs) == 0 {
				continue
			}
			wrote = true
			r := w.rec[i][at[i]].Clone()
			for _, f := range fs {
				connectors.CopyField(r, vs[1-i].rec, f)
			}
			w.put(i, at[i], r.Contact.Phone, r.Contact.JobTitle)
		}
		know(Linked)
		return wrote
	case Delete:
		i := st.side.at()
		require.True(t, vs[1-i].gone, "proven gone on the other side")
		require.False(t, vs[i].changed, "nothing that somebody edited")
		delete(w.rec[i], at[i])
		forget()
		return true
	case Drop:
		know(Unlinked)
	case Forget:
		forget()
	case Conflict:
		know(Conflicted)
	}
	return false
}

// Two trees that were alike, each changed by people, in any order of records and
// with any step failing: the planner is done within twenty rounds, and then has
// nothing more to do.
//
// evidence: I2 I9
func TestThePlannerSettlesEveryTree(t *testing.T) {
	for n := range *trees {
		rnd := rand.New(rand.NewPCG(uint64(n), 5))
		w := &tree{rnd: rnd, t: anyTerms(kc), rec: [2]map[int]*connectors.Record{{}, {}}, at: map[*Link][2]int{}}
		w.t.rule.Winner = Winner(rnd.IntN(3))
		w.t.rule.Deletes = Deletes(rnd.IntN(2))
		w.t.rule.Direction = Direction(rnd.IntN(3))
		some := func() string { return []string{"", "1", "2", "3"}[rnd.IntN(4)] }
		for i := 1; i <= 1+rnd.IntN(5); i++ {
			phone, title := some(), some()
			w.put(0, i, phone, title)
			w.put(1, i, phone, title)
			l := &Link{State: []LinkState{Linked, Linked, Linked, Conflicted, Unlinked}[rnd.IntN(5)], Origin: Side(1 + rnd.IntN(2))}
			l.Rev = [2]string{w.rec[0][i].Rev, w.rec[1][i].Rev}
			w.link, w.at[l] = append(w.link, l), [2]int{i, i}
			for side := range 2 {
				switch rnd.IntN(5) {
				case 0:
					w.put(side, i, some(), some())
				case 1:
					delete(w.rec[side], i)
				}
			}
		}
		var alone [2][]int
		for side := range 2 {
			for i := range rnd.IntN(3) {
				w.put(side, 100*(side+1)+i, some(), some())
				alone[side] = append(alone[side], 100*(side+1)+i)
			}
		}
		quiet, round := 0, 0
		for ; quiet < 2; round++ {
			require.Less(t, round, 20, "tree %d", n)
			quiet++
			fails := round < 5 // then everything works
			ls := append([]*Link(nil), w.link...)
			rnd.Shuffle(len(ls), func(i, j int) { ls[i], ls[j] = ls[j], ls[i] })
			for _, l := range ls {
				vs := [2]view{w.view(l, 0), w.view(l, 1)}
				st := decide(l, vs[0], vs[1], w.t)
				if fails && rnd.IntN(4) == 0 {
					quiet = 0
					continue
				}
				if w.apply(t, l, w.at[l], vs, st) {
					quiet = 0
				}
			}
			for side := range 2 {
				var still []int
				for _, i := range alone[side] {
					var vs [2]view
					vs[side] = view{rec: w.rec[side][i], changed: true}
					st := decide(nil, vs[0], vs[1], w.t)
					if fails && rnd.IntN(4) == 0 {
						quiet = 0
						still = append(still, i)
						continue
					}
					var at [2]int
					at[side] = i
					if w.apply(t, nil, at, vs, st) {
						quiet = 0
					}
				}
				alone[side] = still
			}
		}
	}
}
