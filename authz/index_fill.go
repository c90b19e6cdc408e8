package authz

import (
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"sort"
	"strings"

	"github.com/google/uuid"
)

// filling is an index that nobody asks yet. What it is given comes one by one,
// in any order, and is put in its place at the end.
//
// Taken as it comes, each Authorization would wait for memory a dozen times:
// where its resource is, its parent, its id, its run. So they are set apart by
// where they hang, and resources are made part by part, each small enough to
// stay in a processor's cache; then by principal, and each run is written once;
// then ids are entered in the order in which they are kept.
type filling struct {
	ix      *index
	c       *catalogue
	roles   [16]knownRole
	waiting []waiting // for their principals to be looked at together
	parts   [fillParts][]*piece
	n       int
	details []*detail // each one other than the one before
}

// knownRole is a role that was met lately.
type knownRole struct {
	name   string
	number uint16
}

// waiting is an Authorization whose principal is not known yet.
type waiting struct {
	principal, path string
	hash            uint64 // of the principal
	at              uint32 // the number it may have
	row             arrival
}

// arrival is an Authorization on its way into a run. It points nowhere: there
// are many, and whoever collects garbage has nothing to look for in them.
type arrival struct {
	id     uuid.UUID
	who    uint32
	on     uint32 // where its path is in the text of its piece; then its node
	detail uint32 // which of details
	length uint16 // of its path
	role   uint16
	level  uint8
	flags  uint8
}

// piece is some Authorizations of one part with their paths.
type piece struct {
	rows  []arrival
	text  strings.Builder
	first uint32 // the number of the first one; the others follow
}

const (
	fillBatch = 1 << 6
	fillParts = 1 << 6
	fillPiece = 1 << 10
	pathGuess = 40 // bytes of a path, to make room; more just makes another piece
)

// take takes in an Authorization, checked for all but that its id is its own and
// that its principal holds no more than a run can name. It is not taken if its
// role is not known.
func (f *filling) take(x *Authorization) (known bool, err error) {
	role, known := f.role(x.Role.name)
	if !known {
		return false, nil
	}
	if x.Condition != "" || x.valid() != nil {
		if err := f.c.known(*x); err != nil {
			return true, fmt.Errorf("%s: %w", x.ID, err)
		}
	}
	return true, f.place(x, role)
}

// add is take of one that nothing makes known any more.
func (f *filling) add(x *Authorization) error {
	known, err := f.take(x)
	if err == nil && !known {
		err = fmt.Errorf("%s: %w", x.ID, f.c.known(*x))
	}
	return err
}

func (f *filling) role(name string) (uint16, bool) {
	if name == "" {
		return 0, false
	}
	slot := &f.roles[(len(name)*7+int(name[len(name)-1]))%len(f.roles)]
	if slot.name != name {
		if f.c.sets[name] == nil {
			return 0, false
		}
		*slot = knownRole{name, f.c.number16[name]}
	}
	return slot.number, true
}

func (f *filling) place(x *Authorization, role uint16) error {
	if x.ID == uuid.Nil {
		return usedTwice(x.ID)
	}
	if d := f.ix.detail(x); len(f.details) == 0 || f.details[len(f.details)-1] != d {
		f.details = append(f.details, d)
	}
	r := arrival{id: x.ID, detail: uint32(len(f.details) - 1), length: uint16(len(x.Resource.path)), role: role, flags: flagged(x)}
	f.waiting = append(f.waiting, waiting{principal: x.Principal.name, path: x.Resource.path, row: r})
	if len(f.waiting) == fillBatch {
		f.batch()
	}
	return nil
}

// batch knows the principals of those that wait and sets them apart by the
// resource above theirs, so that siblings are together.
func (f *filling) batch() {
	ix, sum := f.ix, uint64(0)
	for i := range f.waiting {
		w := &f.waiting[i]
		if i > 0 && w.principal == f.waiting[i-1].principal { // as where they are kept by principal
			w.hash = f.waiting[i-1].hash
			continue
		}
		w.hash = maphash.String(ix.seed, w.principal)
		sum += ix.who.touch(w.hash)
	}
	for i := range f.waiting {
		f.waiting[i].at = ix.who.guess(f.waiting[i].hash)
	}
	for i := range f.waiting {
		sum += uint64(ix.principals.at(f.waiting[i].at).number)
	}
	for i := range f.waiting {
		if name := ix.principals.at(f.waiting[i].at).name; name != "" {
			sum += uint64(name[0])
		}
	}
	ix.seen += sum
	for i := range f.waiting {
		w := &f.waiting[i]
		if i > 0 && w.principal == f.waiting[i-1].principal {
			w.row.who = f.waiting[i-1].row.who
		} else {
			w.row.who = ix.knowBy(w.hash, w.principal).number
		}
		up := maphash.String(ix.seed, w.path[:max(0, strings.LastIndexByte(w.path, '/'))])
		p := f.piece(up%fillParts, len(w.path))
		w.row.on = uint32(p.text.Len())
		p.text.WriteString(w.path)
		p.rows = append(p.rows, w.row)
	}
	f.n += len(f.waiting)
	clear(f.waiting)
	f.waiting = f.waiting[:0]
}

// piece returns the last piece of a part, with room for one more.
func (f *filling) piece(part uint64, path int) *piece {
	ps, n := f.parts[part], 8
	if last := len(ps) - 1; last >= 0 {
		p := ps[last]
		if len(p.rows) < cap(p.rows) && p.text.Cap()-p.text.Len() >= path {
			return p
		}
		n = min(2*cap(p.rows), fillPiece)
	}
	p := &piece{rows: make([]arrival, 0, n)}
	p.text.Grow(max(n*pathGuess, path))
	f.parts[part] = append(ps, p)
	return p
}

// done puts everything in its place.
func (f *filling) done() error {
	f.batch()
	if err := f.grow(); err != nil {
		return err
	}
	if err := f.write(); err != nil {
		return err
	}
	if err := f.enter(); err != nil {
		return err
	}
	if below := &f.ix.tree.below; cap(*below)-len(*below) > len(*below)/4 {
		*below = append(make([]link, 0, len(*below)*17/16), *below...)
	}
	*f = filling{ix: f.ix, c: f.c}
	return nil
}

// grow makes the resources, part by part, and numbers what stands on them.
func (f *filling) grow() error {
	ix, t := f.ix, f.ix.tree
	ix.auths = slices.Grow(ix.auths, f.n+f.n/16)
	t.below = slices.Grow(t.below, f.n+f.n/16)
	t.slots.room(f.n / 2)
	var hashes [fillPiece]uint64
	for p := range f.all() {
		text, sum := p.text.String(), uint64(0)
		if t.names.used+len(text) > maxText {
			return errNames
		}
		for i := range p.rows {
			r := &p.rows[i]
			hashes[i] = maphash.String(ix.seed, text[r.on:r.on+uint32(r.length)])
			sum += t.slots.touch(hashes[i])
		}
		ix.seen += sum
		p.first = uint32(len(ix.auths))
		for i := range p.rows {
			r := &p.rows[i]
			r.on = t.addBy(hashes[i], text[r.on:r.on+uint32(r.length)])
			r.level = t.nodes.at(r.on).depth
			ix.enlist(r.who, r.on)
		}
		p.text.Reset()
	}
	return nil
}

// all returns the pieces, those of a part together.
func (f *filling) all() iter.Seq[*piece] {
	return func(yield func(*piece) bool) {
		for _, ps := range f.parts {
			for _, p := range ps {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// write writes the run of each principal.
func (f *filling) write() error {
	ix := f.ix
	at := make([]uint32, ix.principals.size()+1) // where each one's begin in order
	pieces := slices.Collect(f.all())
	for _, p := range pieces {
		for i := range p.rows {
			at[p.rows[i].who+1]++
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
	for n, p := range pieces {
		for i := range p.rows {
			who := p.rows[i].who
			order[next[who]] = uint32(n*fillPiece + i)
			next[who]++
		}
	}
	for who := range at[1:] {
		n := int(at[who+1] - at[who])
		if n == 0 {
			continue
		}
		b := ix.slab.room(n)
		v := view{b.holdings[b.used : b.used+n], b.asides[b.used : b.used+n]}
		for i, o := range order[at[who]:at[who+1]] {
			p := pieces[o/fillPiece]
			r := &p.rows[o%fillPiece]
			v.holdings[i] = newHolding(r.on, r.role, r.level, r.flags)
			v.asides[i] = aside{id: r.id, detail: f.details[r.detail], auth: p.first + o%fillPiece}
		}
		if n > longRun {
			sort.Sort(v)
		}
		p := ix.principals.at(uint32(who))
		b.owners = append(b.owners, p.number)
		ix.slab.count(p, ix.slab.publish(p, newRun(ix.slab.top, b.used, n)))
		b.used += n
	}
	return nil
}

// enter makes everything known by its id.
func (f *filling) enter() error {
	ix := f.ix
	ix.byID.room(f.n)
	var hashes [fillPiece]uint64
	for p := range f.all() {
		sum := uint64(0)
		for i := range p.rows {
			hashes[i] = maphash.Bytes(ix.seed, p.rows[i].id[:])
			sum += ix.byID.touch(hashes[i])
		}
		ix.seen += sum
		for i := range p.rows {
			if ix.numberBy(hashes[i], p.rows[i].id) != 0 {
				return usedTwice(p.rows[i].id)
			}
			ix.byID.put(hashes[i], p.first+uint32(i))
		}
	}
	return nil
}
