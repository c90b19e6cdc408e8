package leaktest

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// needle is one text to look for.
type needle struct {
	text   []byte
	form   string
	canary int
	anchor int // offset of the eight bytes by which it is found
}

// index finds many needles at once. An automaton of Aho and Corasick for a
// thousand canaries has some five million states and does not fit a processor's
// cache; every needle has eight bytes, so one look at each position's eight
// bytes, in any case, tells nearly always that none is here.
type index struct {
	needles []needle
	at      map[uint64][]int32 // by the anchor's eight bytes, folded
	filter  []uint64
	shift   uint
	table   []entry           // at, once built, by open addressing
	words   map[string]string // one copy of each form's name
}

type entry struct {
	word    uint64
	needles []int32
}

func newIndex() *index { return &index{at: map[uint64][]int32{}, words: map[string]string{}} }

// fold makes letters of either case the same, and some other bytes too: what it
// lets through is compared exactly.
func fold(w uint64) uint64 { return w | 0x2020202020202020 }

func (x *index) slot(w uint64) uint64 { return w * spread >> x.shift }

const spread = 0x9e3779b97f4a7c15

// two are the bits of a word in its part of the filter.
func two(w, slot uint64) uint64 { return 1<<(slot&63) | 1<<(w*spread>>24&63) }

// add takes in everything that is looked for of a canary.
func (x *index) add(number int, canary string) {
	seen := map[string]bool{}
	put := func(form string, text []byte) {
		if len(text) < 8 || seen[string(text)] {
			return
		}
		seen[string(text)] = true
		if w, ok := x.words[form]; ok {
			form = w
		} else {
			x.words[form] = form
		}
		n := needle{bytes.Clone(text), form, number, 0}
		n.anchor = x.anchor(text)
		w := fold(binary.LittleEndian.Uint64(text[n.anchor:]))
		x.at[w] = append(x.at[w], int32(len(x.needles)))
		x.needles = append(x.needles, n)
	}
	for _, v := range values(canary) {
		forms(v.b, func(form string, text []byte) { put(form+v.part, text) })
	}
	hashes([]byte(canary), put)
}

// anchor chooses the eight bytes by which a text is found: with many different
// bytes, and not those of another needle if there is a choice.
func (x *index) anchor(text []byte) int {
	best, score := 0, -100
	for at := 0; at+8 <= len(text) && at < 256; at++ {
		var seen [4]uint64
		s := 0
		for _, c := range text[at : at+8] {
			if seen[c>>6]&(1<<(c&63)) == 0 {
				seen[c>>6] |= 1 << (c & 63)
				s++
			}
		}
		if len(x.at[fold(binary.LittleEndian.Uint64(text[at:]))]) > 0 {
			s -= 4
		}
		if s > score {
			best, score = at, s
		}
		if score >= 7 {
			break
		}
	}
	return best
}

// build makes the filter, of some 32 bits for each needle.
func (x *index) build() {
	n := max(bits.Len(uint(len(x.needles)))+5, 12)
	x.shift = uint(64 - n)
	x.filter = make([]uint64, 1<<n/64)
	for w := range x.at {
		s := x.slot(w)
		x.filter[s>>6] |= two(w, s)
	}
	x.table = make([]entry, 1<<(bits.Len(uint(len(x.at)))+1))
	mask := uint64(len(x.table) - 1)
	for w, ns := range x.at {
		i := x.slot(w) & mask
		for x.table[i].needles != nil {
			i = (i + 1) & mask
		}
		x.table[i] = entry{w, ns}
	}
}

// lookup returns the needles with an anchor.
func (x *index) lookup(w uint64) []int32 {
	mask := uint64(len(x.table) - 1)
	for i := x.slot(w) & mask; ; i = (i + 1) & mask {
		if e := &x.table[i]; e.word == w || e.needles == nil {
			return e.needles
		}
	}
}

// scan calls yield with each needle in b and where it is.
func (x *index) scan(b []byte, yield func(n *needle, at int, exact bool)) {
	filter, shift := x.filter, x.shift
	for i := 0; i+8 <= len(b); i++ {
		w := fold(binary.LittleEndian.Uint64(b[i:]))
		s := w * spread >> shift
		if m := two(w, s); filter[s>>6]&m != m {
			continue
		}
		for _, k := range x.lookup(w) {
			n := &x.needles[k]
			from := i - n.anchor
			if from < 0 || from+len(n.text) > len(b) {
				continue
			}
			if t := b[from : from+len(n.text)]; bytes.Equal(t, n.text) {
				yield(n, from, true)
			} else if sameLetters(t, n.text) {
				yield(n, from, false)
			}
		}
	}
}

// sameLetters compares without regard to the case of ASCII letters.
func sameLetters(a, b []byte) bool {
	for i, c := range a {
		d := b[i]
		if c != d && (c|0x20 != d|0x20 || c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}
