package authz

import (
	"hash/maphash"
	"strings"
)

// Where there is much, most of the time of a change goes by waiting for memory,
// once for each thing that leads to the next. So all that an Authorization will
// need is looked at first, in steps in which nothing waits for anything else of
// the step: a processor then fetches it all at once.

// looked is what is known of an Authorization after looking.
type looked struct {
	who, on, id uint64 // hashes of its principal, its resource and its id
	whoAt, onAt uint32 // numbers that these may have, 0 for none
}

// look looks at what giving an Authorization needs.
func (ix *index) look(x *Authorization) (l looked) {
	t := ix.tree
	l.who, l.on, l.id = maphash.String(ix.seed, x.Principal.name), maphash.String(ix.seed, x.Resource.path), maphash.Bytes(ix.seed, x.ID[:])
	sum := ix.who.touch(l.who) + t.slots.touch(l.on) + ix.byID.touch(l.id)
	l.whoAt, l.onAt = ix.who.guess(l.who), t.slots.guess(l.on)

	if l.onAt == 0 { // it will hang below another
		if up := strings.LastIndexByte(x.Resource.path, '/'); up > 0 {
			sum += t.slots.touch(maphash.String(ix.seed, x.Resource.path[:up]))
		}
	}
	p, n := ix.principals.at(l.whoAt), t.nodes.at(l.onAt)
	sum += uint64(p.number) + uint64(n.name) + uint64(t.below[l.onAt].auths)
	r, b := ix.slab.read(l.whoAt)

	if p.name != "" {
		sum += uint64(p.name[0])
	}
	if n.length > 0 {
		sum += uint64(t.names.get(n.name, n.length)[0])
	}
	sum += uint64(ix.auths[t.below[l.onAt].auths].next)
	if b != nil {
		if i := r.offset() + r.length(); i < b.used && b.asides[i].auth == isSpare {
			sum += uint64(b.holdings[i].node)
		} else {
			sum += b.view(r).look()
		}
	}
	ix.seen += sum
	return l
}

// lookAgain looks at what taking an Authorization needs.
func (ix *index) lookAgain(x *Authorization) (l looked) {
	t := ix.tree
	l.who, l.id = maphash.String(ix.seed, x.Principal.name), maphash.Bytes(ix.seed, x.ID[:])
	sum := ix.who.touch(l.who) + ix.byID.touch(l.id)
	l.whoAt = ix.who.guess(l.who)
	at := ix.byID.guess(l.id)

	p, a := ix.principals.at(l.whoAt), ix.auths[at]
	sum += uint64(p.number)
	r, b := ix.slab.read(l.whoAt)

	if p.name != "" {
		sum += uint64(p.name[0])
	}
	sum += uint64(t.below[a.node].auths) + uint64(ix.auths[a.prev].next) + uint64(ix.auths[a.next].next)
	if b != nil {
		sum += b.view(r).look()
	}
	ix.seen += sum
	return l
}

// look looks at a run.
func (v view) look() (sum uint64) {
	for i := 0; i < len(v.holdings); i += 8 {
		sum += uint64(v.holdings[i].node)
	}
	for i := 0; i < len(v.asides); i += 2 {
		sum += uint64(v.asides[i].auth)
	}
	return sum
}
