package authz

import (
	"hash/maphash"
	"strings"
)

// Where there is much, most of the time of a change goes by waiting for memory,
// once for each thing that leads to the next. So all that some Authorizations
// will need is looked at first, in steps in which nothing waits for anything else
// of the step: a processor then fetches it all at once.

// looked is what is known of an Authorization after looking.
type looked struct {
	who, on uint64 // hashes of its principal and of its resource
	whoAt   uint32 // numbers that these may have, 0 for none
	onAt    uint32
}

// look looks at what giving or taking Authorizations needs.
func (ix *index) look(as []Authorization, to []looked) {
	t, sum := ix.tree, uint64(0)
	for i := range as {
		x, l := &as[i], &to[i]
		l.who, l.on = maphash.String(ix.seed, x.Principal.name), maphash.String(ix.seed, x.Resource.path)
		l.whoAt, l.onAt = ix.who.peek(l.who), t.slots.peek(l.on)
		if up := strings.LastIndexByte(x.Resource.path, '/'); up > 0 {
			sum += uint64(t.slots.peek(maphash.String(ix.seed, x.Resource.path[:up])))
		}
	}
	for i := range as {
		l := &to[i]
		sum += uint64(ix.principals.at(l.whoAt).number) + uint64(t.nodes.at(l.onAt).name) + uint64(t.below[l.onAt].auths)
	}
	for i := range as {
		l := &to[i]
		if name := ix.principals.at(l.whoAt).name; name != "" {
			sum += uint64(name[0])
		}
		if n := t.nodes.at(l.onAt); n.length > 0 {
			sum += uint64(t.names.get(n.name, n.length)[0])
		}
	}
	ix.seen += sum
}

// lookFurther looks at what entries need that are made of Authorizations, and at
// the runs they are in.
func (ix *index) lookFurther(as []Authorization, of []looked) {
	sum := uint64(0)
	for i := range as {
		l := &of[i]
		sum += uint64(ix.byID.peek(maphash.Bytes(ix.seed, as[i].ID[:]))) + uint64(ix.auths[ix.tree.below[l.onAt].auths].next)
		if r, b := ix.slab.read(l.whoAt); b != nil {
			v := b.view(r)
			for j := 0; j < len(v.holdings); j += 8 {
				sum += uint64(v.holdings[j].node)
			}
			for j := 0; j < len(v.asides); j += 2 {
				sum += uint64(v.asides[j].auth)
			}
		}
	}
	ix.seen += sum
}
