package authz

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/google/uuid"
)

// filling is an index that nobody asks yet. What it is given comes one by one,
// in any order, and is put in its place at the end: each run is written once.
type filling struct {
	ix   *index
	c    *catalogue
	rows [][]arrival // pieces, so that none is moved
	n    int
}

// arrival is an Authorization on its way into a run.
type arrival struct {
	holding
	who    uint32
	beside aside
}

const fillPiece = 1 << 14

// add takes in an Authorization, checked for all but that its id is its own and
// that its principal holds no more than a run can name.
func (f *filling) add(x *Authorization) error {
	if err := f.c.known(*x); err != nil {
		return fmt.Errorf("%s: %w", x.ID, err)
	}
	if f.ix.tree.names.used+len(x.Resource.path) > maxText {
		return errNames
	}
	f.place(x)
	return nil
}

func (f *filling) place(x *Authorization) {
	ix := f.ix
	if len(f.rows) == 0 || len(f.rows[len(f.rows)-1]) == fillPiece {
		f.rows = append(f.rows, make([]arrival, 0, fillPiece))
	}
	r := arrival{holding: flagged(x), who: ix.know(x.Principal.name).number, beside: aside{id: x.ID, detail: ix.detail(x)}}
	r.node = ix.tree.add(x.Resource.path)
	r.role, r.level = f.c.number16[x.Role.name], ix.tree.nodes.at(r.node).depth
	last := &f.rows[len(f.rows)-1]
	*last = append(*last, r)
	f.n++
}

// done writes the runs.
func (f *filling) done() error {
	ix := f.ix
	// Rows by principal: where each one's begin, and then which they are.
	at := make([]uint32, ix.principals.size()+1)
	for _, piece := range f.rows {
		for i := range piece {
			at[piece[i].who+1]++
		}
	}
	for who, n := range at[1:] {
		if n > maxRun {
			return tooMuch(ix.principals.at(uint32(who)).name, int(n))
		}
		at[who+1] += at[who]
	}
	order := make([]uint32, f.n)
	next := slices.Clone(at)
	for p, piece := range f.rows {
		for i := range piece {
			order[next[piece[i].who]] = uint32(p*fillPiece + i)
			next[piece[i].who]++
		}
	}
	ix.auths = slices.Grow(ix.auths, f.n)
	ix.byID.room(f.n)
	var run []arrival
	for who := range at[1:] {
		if at[who] == at[who+1] {
			continue
		}
		run = run[:0]
		for _, i := range order[at[who]:at[who+1]] {
			run = append(run, f.rows[i/fillPiece][i%fillPiece])
		}
		slices.SortFunc(run, func(a, b arrival) int { return cmp.Compare(a.node, b.node) })
		if err := ix.fill(ix.principals.at(uint32(who)), run); err != nil {
			return err
		}
	}
	f.rows, f.n = nil, 0
	return nil
}

// fill writes the run of a principal that has none.
func (ix *index) fill(p *holder, rows []arrival) error {
	b := ix.slab.room(len(rows))
	at := b.used
	for i, r := range rows {
		r.beside.auth = ix.enlist(p.number, r.node)
		b.holdings[at+i], b.asides[at+i] = r.holding, r.beside
	}
	b.used += len(rows)
	b.owners = append(b.owners, p)
	ix.slab.publish(p, newRun(ix.slab.top, at, len(rows)))
	for i := range rows {
		a := &b.asides[at+i]
		if a.id == uuid.Nil || ix.number(a.id) != 0 {
			return usedTwice(a.id)
		}
		ix.byID.put(maphash.Bytes(ix.seed, a.id[:]), a.auth)
	}
	return nil
}
