package authz

import (
	"cmp"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/google/uuid"
)

// holding is an Authorization as a check reads it: 8 bits of flags, 8 of the
// depth of its resource, 16 role, 32 number of the resource's node.
type holding uint64

func newHolding(node uint32, role uint16, level, flags uint8) holding {
	return holding(flags)<<56 | holding(level)<<48 | holding(role)<<32 | holding(node)
}

func (e holding) node() uint32 { return uint32(e) }
func (e holding) role() uint16 { return uint16(e >> 32) }
func (e holding) level() uint8 { return uint8(e >> 48) }
func (e holding) flags() uint8 { return uint8(e >> 56) }
func (e holding) gone() bool   { return e>>56&isGone != 0 }

// Flags of an entry. One without any is an allow that always counts.
const (
	isDeny        = 1 << iota // it takes
	isBounded                 // it has a from or an until
	isConditional             // it has a condition
	isPending                 // it waits for a second person and counts for nothing
	isGone                    // it was taken since the run was written
)

// A run is what stands under one principal's name: holdings side by side, by
// node if it is a long one. A change writes another run, or writes on where a
// short one ends, and publishes where that is by one word, so that a reader has
// either the one or the other. All that is ever changed of what was published is
// that a holding of a short run is gone: that is one word too.
//
//	1 bit: is in teams | 23 bits block | 24 bits offset | 16 bits length
type run uint64

func (r run) inTeams() bool { return r>>63 == 1 }
func (r run) block() int    { return int(r >> 40 & (1<<23 - 1)) }
func (r run) offset() int   { return int(r >> 16 & (1<<24 - 1)) }
func (r run) length() int   { return int(r & (1<<16 - 1)) }

func newRun(block, offset, length int) run {
	return run(block)<<40 | run(offset)<<16 | run(length)
}

const (
	maxRun    = 1<<16 - 1
	blockSize = 1 << 16
)

// aside is of an Authorization what a check does not read, or of one entry at
// most. It lies apart: ten holdings are little more than a line of a processor's
// cache.
type aside struct {
	id     uuid.UUID
	detail *detail
	auth   uint32 // its number among all
}

// block holds runs.
type block struct {
	holdings []holding
	asides   []aside
	books
}

// books are what the writer knows of a block. They lie apart from what is read.
type books struct {
	_      apart
	owners []uint32 // numbers of the principals of the runs written here, those that moved on included
	used   int
	live   int
}

// slab keeps all runs, many readers beside one writer.
type slab struct {
	words chunked[atomic.Uint64] // the run of each principal, by its number
	dir   atomic.Pointer[[]*atomic.Pointer[block]]
	top   int // the block that is written to, seldom another one
}

// word returns the run of a principal.
func (s *slab) word(n uint32) run { return run(s.words.at(n).Load()) }

// read returns the run of a principal and the block that it is in, none for an
// empty run.
func (s *slab) read(n uint32) (run, *block) {
	for {
		r := s.word(n)
		if r.length() == 0 {
			return r, nil
		}
		if b := s.get(r); b != nil {
			return r, b
		}
	}
}

// set exchanges a run. Whether its principal is in teams stays.
func (s *slab) set(n uint32, r run) {
	w := s.words.at(n)
	w.Store(w.Load()>>63<<63 | uint64(r))
}

// mark says whether a principal is in teams.
func (s *slab) mark(n uint32, inTeams bool) {
	w := s.words.at(n)
	if inTeams {
		w.Store(w.Load() | 1<<63)
	} else {
		w.Store(w.Load() << 1 >> 1)
	}
}

// get returns the block of a run, nil if the run was moved since its word was
// read: read the word again.
func (s *slab) get(r run) *block { return (*s.dir.Load())[r.block()].Load() }

// room returns a block with n free places, the top one or a new one.
func (s *slab) room(n int) *block {
	if p := s.dir.Load(); p != nil {
		if b := (*p)[s.top].Load(); b.used+n <= len(b.holdings) {
			return b
		}
	}
	return s.grow(n)
}

// grow makes a new top block.
func (s *slab) grow(n int) *block {
	var dir []*atomic.Pointer[block]
	if p := s.dir.Load(); p != nil {
		dir = *p
	}
	size := max(n, min(64<<min(2*len(dir), 20), blockSize))
	b := &block{holdings: make([]holding, size), asides: make([]aside, size)}
	b.owners = make([]uint32, 0, size/16)
	p := new(atomic.Pointer[block])
	p.Store(b)
	dir = append(slices.Clone(dir), p)
	s.top = len(dir) - 1
	s.dir.Store(&dir)
	return b
}

// spares is how many places a short run that was written anew has behind its end
// for what comes later. Nobody has read them.
const spares = 4

// isSpare stands as the number of a place that is one.
const isSpare = ^uint32(0)

// spare returns the place behind the end of a principal's run, if it is one to
// write to, and the run with it.
func (s *slab) spare(p *holder) (b *block, with run, i int) {
	r, b := s.read(p.number)
	if b == nil || r.length() >= longRun {
		return nil, 0, 0
	}
	if i = r.offset() + r.length(); i == b.used || b.asides[i].auth != isSpare {
		return nil, 0, 0
	}
	return b, newRun(r.block(), r.offset(), r.length()+1), i
}

// strike returns the holding of a short run that is to be marked as gone, nil if
// the run is to be written again: it is a long one, or half of it would be gone.
func (s *slab) strike(p *holder, i int) (gone *holding, with run) {
	r, b := s.read(p.number)
	if b == nil || r.length() > longRun {
		return nil, 0
	}
	v := b.view(r)
	if left := v.living() - 1; left == 0 {
		return &v.holdings[i], 0
	} else if left*2 < len(v.holdings) {
		return nil, 0
	}
	return &v.holdings[i], newRun(r.block(), r.offset(), r.length())
}

// prepare writes the run that edit makes of what lives of a principal's, in a new
// place with room for so many more, and returns its word.
func (s *slab) prepare(p *holder, extra int, edit func(view) view) run {
	old := s.word(p.number)
	n := old.length() + extra
	b := s.room(n + spares)
	at := b.used
	v := view{b.holdings[at : at : at+n], b.asides[at : at : at+n]}
	if old.length() > 0 {
		v = v.append(s.get(old).view(old))
	}
	v = edit(v)
	if n = len(v.holdings); n == 0 {
		return 0
	}
	b.used += n
	if n > longRun {
		if old.length() <= longRun {
			sort.Sort(v)
		}
	} else {
		for i := range spares {
			b.asides[b.used+i].auth = isSpare
		}
		b.used += spares
	}
	b.owners = append(b.owners, p.number)
	return newRun(s.top, at, n)
}

// publish makes a prepared run the principal's and returns the one before.
func (s *slab) publish(p *holder, r run) (before run) {
	before = s.word(p.number)
	s.set(p.number, r)
	return before
}

// count keeps the books of what was published.
func (s *slab) count(p *holder, before run) {
	if r := s.word(p.number); r.length() > 0 {
		s.get(r).live += r.length()
	}
	if before.length() > 0 {
		s.get(before).live -= before.length()
	}
}

// tidy gives back the room of a run that nobody uses any more. It comes after
// everything that was published is counted: what is not lives in blocks too, and
// no block knows it.
func (s *slab) tidy(before run) {
	if before.length() == 0 || before.block() == s.top {
		return
	}
	if b := s.get(before); b != nil && b.live*3 < len(b.holdings) {
		s.vacate(before.block(), b)
	}
}

// vacate moves what lives in a block to the top and lets the block go. A reader
// that comes too late finds none and reads its word again.
func (s *slab) vacate(i int, b *block) {
	for _, p := range b.owners {
		if r := s.word(p); r.length() > 0 && r.block() == i {
			n, all := r.length(), r.length()
			for end := r.offset() + n; end+all-n < b.used && b.asides[end+all-n].auth == isSpare; {
				all++
			}
			to := s.room(all)
			at := to.used
			to.put(at, b.view(newRun(i, r.offset(), all)))
			to.used += all
			to.live += n
			to.owners = append(to.owners, p)
			s.set(p, newRun(s.top, at, n))
		}
	}
	(*s.dir.Load())[i].Store(nil)
}

func (b *block) put(at int, v view) {
	copy(b.holdings[at:], v.holdings)
	copy(b.asides[at:], v.asides)
}

func (b *block) view(r run) view {
	i, j := r.offset(), r.offset()+r.length()
	return view{b.holdings[i:j], b.asides[i:j]}
}

// view is a run spread out.
type view struct {
	holdings []holding
	asides   []aside
}

// at returns a holding, beside a writer.
func (v view) at(i int) holding { return v.holdings[i].load() }

func (e *holding) load() holding { return holding(atomic.LoadUint64((*uint64)(e))) }

// strike marks a holding as gone, beside readers.
func (e *holding) strike() { atomic.StoreUint64((*uint64)(e), uint64(*e|isGone<<56)) }

// living says how many are not gone.
func (v view) living() (n int) {
	for _, e := range v.holdings {
		if !e.gone() {
			n++
		}
	}
	return n
}

// append appends what lives of another run.
func (v view) append(o view) view {
	for from := 0; from < len(o.holdings); {
		to := from
		for to < len(o.holdings) && !o.holdings[to].gone() {
			to++
		}
		v = view{append(v.holdings, o.holdings[from:to]...), append(v.asides, o.asides[from:to]...)}
		from = to + 1
	}
	return v
}

// Len, Less and Swap sort by node.
func (v view) Len() int           { return len(v.holdings) }
func (v view) Less(i, j int) bool { return v.holdings[i].node() < v.holdings[j].node() }
func (v view) Swap(i, j int) {
	v.holdings[i], v.holdings[j] = v.holdings[j], v.holdings[i]
	v.asides[i], v.asides[j] = v.asides[j], v.asides[i]
}

// insert puts an entry where its node belongs, in a run that is by node.
func (v view) insert(e holding, a aside) view {
	i, _ := slices.BinarySearchFunc(v.holdings, e.node(), func(e holding, n uint32) int { return cmp.Compare(e.node(), n) })
	return view{slices.Insert(v.holdings, i, e), slices.Insert(v.asides, i, a)}
}

// remove takes out an entry.
func (v view) remove(i int) view {
	return view{slices.Delete(v.holdings, i, i+1), slices.Delete(v.asides, i, i+1)}
}

// of returns where an Authorization is, by its number and its node; -1 if nowhere.
func (v view) of(n, node uint32) int {
	for i, e := range v.holdings {
		if e.node() == node && v.asides[i].auth == n && !e.gone() {
			return i
		}
	}
	return -1
}
