package authz

import (
	"math/bits"
	"sync/atomic"
)

// table finds numbers by hash, many readers beside one writer. It keeps no
// keys: who asks compares what a number stands for, since hashes collide.
type table struct {
	slots atomic.Pointer[[]atomic.Uint64] // hash<<32 | number; 0 is free
	used  int                             // slots that are not free
	live  int
}

// removed stands in a slot for a number that was taken out, so that those put
// after it are still found. No number reaches it.
const removed = ^uint32(0)

// probe goes through the numbers that were put under a hash.
type probe struct {
	slots []atomic.Uint64
	at    uint32
	hash  uint32
}

func (t *table) probe(hash uint64) probe {
	h := uint32(hash >> 32)
	p := t.slots.Load()
	if p == nil {
		return probe{}
	}
	return probe{*p, home(h, len(*p)), h}
}

// touch reads where a hash begins to look. It is for whoever will need many: the
// processor waits for all of them at once.
func (t *table) touch(hash uint64) uint64 {
	p := t.slots.Load()
	if p == nil {
		return 0
	}
	return (*p)[home(uint32(hash>>32), len(*p))].Load()
}

// guess returns the first number that was put under a hash, 0 for none. It may
// be another's.
func (t *table) guess(hash uint64) uint32 {
	p := t.probe(hash)
	return p.next()
}

// home is where a hash begins to look, among n slots.
func home(h uint32, n int) uint32 {
	hi, _ := bits.Mul32(h, uint32(n))
	return hi
}

// next returns the next number to compare, 0 after the last.
func (p *probe) next() uint32 {
	for len(p.slots) > 0 {
		v := p.slots[p.at].Load()
		if v == 0 {
			return 0
		}
		if p.at++; int(p.at) == len(p.slots) {
			p.at = 0
		}
		if uint32(v>>32) == p.hash && uint32(v) != removed {
			return uint32(v)
		}
	}
	return 0
}

// put adds a number, which must not be there. Growing makes new slots; readers
// of the old ones find what was there when they began.
func (t *table) put(hash uint64, n uint32) {
	var slots []atomic.Uint64
	if p := t.slots.Load(); p != nil {
		slots = *p
	}
	if (t.used+1)*4 > len(slots)*3 {
		t.resize(max(16, t.live*7/4))
		slots = *t.slots.Load()
	}
	t.insert(slots, hash>>32<<32|uint64(n))
	t.live++
}

func (t *table) insert(slots []atomic.Uint64, v uint64) {
	i := home(uint32(v>>32), len(slots))
	for {
		switch old := slots[i].Load(); {
		case old == 0:
			t.used++
			slots[i].Store(v)
			return
		case uint32(old) == removed:
			slots[i].Store(v)
			return
		}
		if i++; int(i) == len(slots) {
			i = 0
		}
	}
}

// room makes room for n numbers more.
func (t *table) room(n int) { t.resize(max(16, (t.live+n)*3/2)) }

func (t *table) resize(n int) {
	slots := make([]atomic.Uint64, n)
	old := t.slots.Load()
	t.used = 0
	if old != nil {
		for i := range *old {
			if v := (*old)[i].Load(); v != 0 && uint32(v) != removed {
				t.insert(slots, v)
			}
		}
	}
	t.slots.Store(&slots)
}

// remove takes a number out.
func (t *table) remove(hash uint64, n uint32) {
	p := t.slots.Load()
	if p == nil {
		return
	}
	slots := *p
	want := hash>>32<<32 | uint64(n)
	for i := home(uint32(want>>32), len(slots)); ; {
		switch slots[i].Load() {
		case want:
			slots[i].Store(want>>32<<32 | uint64(removed))
			t.live--
			return
		case 0:
			return
		}
		if i++; int(i) == len(slots) {
			i = 0
		}
	}
}

// chunked is an array that grows without moving what it holds, so that readers
// go on beside the one writer.
type chunked[T any] struct {
	dir  atomic.Pointer[[]*[chunkSize]T]
	used int
}

const chunkSize = 1 << 10

// at returns an element whose number was published after it was grown.
func (c *chunked[T]) at(i uint32) *T { return &(*c.dir.Load())[i/chunkSize][i%chunkSize] }

// next appends an element, to be set before its number is published.
func (c *chunked[T]) next() (uint32, *T) {
	i := uint32(c.used)
	if c.used%chunkSize == 0 {
		var dir []*[chunkSize]T
		if p := c.dir.Load(); p != nil {
			dir = *p
		}
		dir = append(dir, new([chunkSize]T)) // behind what anybody reads
		c.dir.Store(&dir)
	}
	c.used++
	return i, c.at(i)
}

// size returns how many there are. For the writer, and under its lock.
func (c *chunked[T]) size() uint32 { return uint32(c.used) }

// text keeps short texts one after another, for readers beside one writer.
type text struct {
	dir  atomic.Pointer[[][]byte]
	used int
}

const (
	textChunk = 1 << 13
	maxText   = 1<<32 - 1<<20 // bytes; where a text is has 32 bits
)

// get returns a text, to be read only.
func (t *text) get(at uint32, n uint16) []byte {
	return (*t.dir.Load())[at/textChunk][at%textChunk:][:n]
}

// add writes a text of fewer bytes than a chunk has and returns where.
func (t *text) add(s string) uint32 {
	if rest := (textChunk - t.used%textChunk) % textChunk; rest < len(s) {
		t.used += rest
		var dir [][]byte
		if p := t.dir.Load(); p != nil {
			dir = *p
		}
		dir = append(dir, make([]byte, textChunk)) // behind what anybody reads
		t.dir.Store(&dir)
	}
	at := uint32(t.used)
	copy((*t.dir.Load())[at/textChunk][at%textChunk:], s)
	t.used += len(s)
	return at
}
