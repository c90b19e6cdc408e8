package authz

import (
	"hash/maphash"
	"strings"
)

// tree knows the resources that Authorizations name, their ancestors, and those
// that somebody asked a handle for. A resource is a node, numbered from 1 and
// never removed. Reading needs no lock and may go on beside the one writer:
// a node is complete before its number can be found.
type tree struct {
	seed  maphash.Seed
	nodes chunked[node]
	names text  // the last segments of all nodes
	slots table // whole paths to numbers

	// The writer's, and for listing under its lock.
	below []link // by number: the family of each node
}

// node is one resource: its last segment, and where it hangs.
type node struct {
	parent uint32 // 0 for a root
	name   uint32 // where the last segment is in names
	length uint16
	depth  uint8 // 0 for a root
}

// link is a node's place among its relatives, and the Authorizations that stand
// on it.
type link struct {
	first uint32 // its newest child
	next  uint32 // the sibling made before it
	auths uint32 // the newest Authorization on it
}

// place is a resource as a check needs it: the numbers of the nodes on its path
// from the root down, as far as the tree knows them.
type place struct {
	known uint8 // how many of at are set
	at    [MaxDepth]uint32
}

func newTree(seed maphash.Seed) *tree {
	t := &tree{seed: seed, below: make([]link, 1)}
	t.nodes.next() // number 0 is above all roots
	return t
}

// find sets a place from a path. Whatever of the path no Authorization names,
// down from some ancestor, decides nothing and is left out.
func (t *tree) find(path string, to *place) {
	to.known = 0
	for path != "" {
		if n := t.lookup(path); n != 0 {
			to.fill(t, n)
			return
		}
		path = path[:max(0, strings.LastIndexByte(path, '/'))]
	}
}

// fill sets the place of a node.
func (p *place) fill(t *tree, n uint32) {
	p.known = t.nodes.at(n).depth + 1
	for i := int(p.known) - 1; i >= 0; i-- {
		p.at[i] = n
		n = t.nodes.at(n).parent
	}
}

// lookup returns the number of a path, 0 if it is not known.
func (t *tree) lookup(path string) uint32 { return t.lookupBy(maphash.String(t.seed, path), path) }

func (t *tree) lookupBy(hash uint64, path string) uint32 {
	for pr := t.slots.probe(hash); ; {
		n := pr.next()
		if n == 0 || t.is(n, path) {
			return n
		}
	}
}

// is compares a node with a path, segment by segment from the end.
func (t *tree) is(n uint32, path string) bool {
	for {
		x := t.nodes.at(n)
		at := len(path) - int(x.length)
		if at < 0 || string(t.names.get(x.name, x.length)) != path[at:] {
			return false
		}
		n = x.parent
		if n == 0 {
			return at == 0
		}
		if at == 0 || path[at-1] != '/' {
			return false
		}
		path = path[:at-1]
	}
}

// path spells a node.
func (t *tree) path(n uint32) string { return string(t.appendPath(nil, n)) }

// appendPath spells a node at the end of b.
func (t *tree) appendPath(b []byte, n uint32) []byte {
	var up place
	if n == 0 {
		return b
	}
	up.fill(t, n)
	for i, n := range up.at[:up.known] {
		if i > 0 {
			b = append(b, '/')
		}
		x := t.nodes.at(n)
		b = append(b, t.names.get(x.name, x.length)...)
	}
	return b
}

// add returns the number of a path, made with its ancestors if need be. For the
// one writer.
func (t *tree) add(path string) uint32 { return t.addBy(maphash.String(t.seed, path), path) }

func (t *tree) addBy(hash uint64, path string) uint32 {
	if n := t.lookupBy(hash, path); n != 0 {
		return n
	}
	cut := strings.LastIndexByte(path, '/')
	x := node{length: uint16(len(path) - cut - 1)}
	if cut >= 0 {
		x.parent = t.add(path[:cut])
		x.depth = t.nodes.at(x.parent).depth + 1
	}
	x.name = t.names.add(path[cut+1:])
	n, at := t.nodes.next()
	*at = x
	t.below = append(t.below, link{})
	t.below[n].next, t.below[x.parent].first = t.below[x.parent].first, n
	t.slots.put(hash, n)
	return n
}
