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
	ix      *index
	c       *catalogue
	waiting []Authorization
	rows    [][]arrival // pieces, so that none is moved
	n       int
	looked  [fillBatch]looked
}

// arrival is an Authorization on its way into a run.
type arrival struct {
	holding
	who    uint32
	beside aside
}

const (
	fillBatch = 1 << 8
	fillPiece = 1 << 14
)

// add takes in an Authorization, checked for all but that its id is its own and
// that its principal holds no more than a run can name.
func (f *filling) add(x *Authorization) error {
	if f.c.sets[x.Role.name] == nil || x.Condition != "" || x.valid() != nil {
		if err := f.c.known(*x); err != nil {
			return fmt.Errorf("%s: %w", x.ID, err)
		}
	}
	return f.place(x)
}

func (f *filling) place(x *Authorization) error {
	if f.waiting = append(f.waiting, *x); len(f.waiting) < fillBatch {
		return nil
	}
	return f.batch()
}

// batch gives those that wait their numbers.
func (f *filling) batch() error {
	ix, t := f.ix, f.ix.tree
	if most := len(t.below) + fillBatch*MaxDepth; cap(t.below) < most {
		t.below = slices.Grow(t.below, most)
	}
	ix.look(f.waiting, f.looked[:])
	for i := range f.waiting {
		x := &f.waiting[i]
		if t.names.used+len(x.Resource.path) > maxText {
			return errNames
		}
		if len(f.rows) == 0 || len(f.rows[len(f.rows)-1]) == fillPiece {
			f.rows = append(f.rows, make([]arrival, 0, fillPiece))
		}
		r := arrival{holding: flagged(x), who: ix.knowBy(f.looked[i].who, x.Principal.name).number, beside: aside{id: x.ID, detail: ix.detail(x)}}
		r.node = t.addBy(f.looked[i].on, x.Resource.path)
		r.role, r.level = f.c.number16[x.Role.name], t.nodes.at(r.node).depth
		last := &f.rows[len(f.rows)-1]
		*last = append(*last, r)
		f.n++
	}
	f.waiting = f.waiting[:0]
	return nil
}

// done writes the runs.
func (f *filling) done() error {
	if err := f.batch(); err != nil {
		return err
	}
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
	ix.auths = slices.Grow(ix.auths, f.n+f.n/16)
	ix.byID.room(f.n)
	var some []arrival // whole runs, some hundred entries
	for who := range at[1:] {
		for _, i := range order[at[who]:at[who+1]] {
			some = append(some, f.rows[i/fillPiece][i%fillPiece])
		}
		if len(some) >= fillBatch || who == len(at)-2 {
			if err := f.write(some); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	f.rows, f.n = nil, 0
	ix.tree.below = append(make([]link, 0, len(ix.tree.below)*17/16), ix.tree.below...)
	return nil
}

// write writes whole runs of principals that have none, one after another.
func (f *filling) write(some []arrival) error {
	ix := f.ix
	for i := range some {
		ix.seen += uint64(ix.byID.peek(maphash.Bytes(ix.seed, some[i].beside.id[:]))) + uint64(ix.auths[ix.tree.below[some[i].node].auths].next)
	}
	for len(some) > 0 {
		n := 1
		for n < len(some) && some[n].who == some[0].who {
			n++
		}
		slices.SortFunc(some[:n], func(a, b arrival) int { return cmp.Compare(a.node, b.node) })
		p := ix.principals.at(some[0].who)
		b := ix.slab.room(n)
		at := b.used
		for i := range some[:n] {
			r := &some[i]
			r.beside.auth = ix.enlist(r.who, r.node)
			b.holdings[at+i], b.asides[at+i] = r.holding, r.beside
		}
		b.used += n
		b.owners = append(b.owners, p.number)
		ix.slab.count(p, ix.slab.publish(p, newRun(ix.slab.top, at, n)))
		for i := range some[:n] {
			id, hash := some[i].beside.id, maphash.Bytes(ix.seed, some[i].beside.id[:])
			if id == uuid.Nil || ix.numberBy(hash, id) != 0 {
				return usedTwice(id)
			}
			ix.byID.put(hash, some[i].beside.auth)
		}
		some = some[n:]
	}
	return nil
}
