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
	up := t.nodes.at(n.parent)
	sum += uint64(t.nodes.at(up.parent).name)
	if up.length > 0 {
		sum += uint64(t.names.get(up.name, up.length)[0])
	}
	sum += uint64(ix.auths[t.below[l.onAt].auths].next)
	if b != nil {
		if i := r.offset() + r.length(); i < b.used && b.asides[i].auth == isSpare {
			sum += uint64(b.holdings[i])
		} else {
			sum += b.view(r).look()
		}
	}
	ix.seen += sum
	return l
}

// lookAgain looks at what taking an Authorization needs, which is found by its
// id, and returns the hash of that.
func (ix *index) lookAgain(x *Authorization) (id uint64) {
	id = maphash.Bytes(ix.seed, x.ID[:])
	a := ix.auths[ix.byID.guess(id)]

	sum := uint64(ix.tree.below[a.node].auths) + uint64(ix.auths[a.prev].next) + uint64(ix.auths[a.next].next) + uint64(ix.principals.at(a.principal).number)
	if r, b := ix.slab.read(a.principal); b != nil {
		sum += b.view(r).look()
	}
	ix.seen += sum
	return id
}

// look looks at a run.
func (v view) look() (sum uint64) {
	for i := 0; i < len(v.holdings); i += 8 {
		sum += uint64(v.holdings[i])
	}
	for i := 0; i < len(v.asides); i += 2 {
		sum += uint64(v.asides[i].auth)
	}
	return sum
}
