package sync

import (
	"context"
	"maps"
	"slices"
	gosync "sync"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Memory keeps states as long as the process lives, for tests and
// demonstrations. The zero Memory is ready; do not copy it.
type Memory struct {
	mu     gosync.Mutex
	states map[PairID]*memory
}

type memory struct {
	epoch    int
	next     int64
	links    map[int64]Link
	by       [2]map[kindID]int64
	intents  map[string]Intent
	troubles map[int64]Trouble
	cursors  map[kindSide]string
	swept    map[kindSide]time.Time
	approved map[connectors.Kind]int
}

type kindID struct {
	k  connectors.Kind
	id string
}

type kindSide struct {
	k connectors.Kind
	s Side
}

type memoryHandle struct {
	m     *Memory
	s     *memory
	epoch int
}

var (
	_ StateStore = (*Memory)(nil)
	_ State      = (*memoryHandle)(nil)
)

// Open implements StateStore.
func (m *Memory) Open(_ context.Context, id PairID) (State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.states[id]
	if s == nil {
		if m.states == nil {
			m.states = map[PairID]*memory{}
		}
		s = &memory{links: map[int64]Link{}, by: [2]map[kindID]int64{{}, {}}, intents: map[string]Intent{}, troubles: map[int64]Trouble{},
			cursors: map[kindSide]string{}, swept: map[kindSide]time.Time{}, approved: map[connectors.Kind]int{}}
		m.states[id] = s
	}
	s.epoch++
	return &memoryHandle{m, s, s.epoch}, nil
}

func (h *memoryHandle) Cursor(_ context.Context, s Side, k connectors.Kind) (string, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.s.cursors[kindSide{k, s}], nil
}

func (h *memoryHandle) Swept(_ context.Context, s Side, k connectors.Kind) (time.Time, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.s.swept[kindSide{k, s}], nil
}

func (h *memoryHandle) Find(_ context.Context, k connectors.Kind, s Side, id string) (Link, bool, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	n, ok := h.s.by[s.at()][kindID{k, id}]
	return h.s.links[n], ok, nil
}

func (h *memoryHandle) Links(_ context.Context, k connectors.Kind, after int64, limit int) ([]Link, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	var out []Link
	for _, n := range slices.Sorted(maps.Keys(h.s.links)) {
		if l := h.s.links[n]; l.Kind == k && n > after && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, nil
}

func (h *memoryHandle) Count(_ context.Context, k connectors.Kind) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	n := 0
	for _, l := range h.s.links {
		if l.Kind == k && l.State != Unlinked {
			n++
		}
	}
	return n, nil
}

func (h *memoryHandle) Intents(context.Context) ([]Intent, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	var out []Intent
	for _, key := range slices.Sorted(maps.Keys(h.s.intents)) {
		out = append(out, h.s.intents[key])
	}
	return out, nil
}

func (h *memoryHandle) Issues(_ context.Context, after int64, limit int) ([]Trouble, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	var out []Trouble
	for _, n := range slices.Sorted(maps.Keys(h.s.troubles)) {
		if n > after && len(out) < limit {
			out = append(out, h.s.troubles[n])
		}
	}
	return out, nil
}

func (h *memoryHandle) Approved(_ context.Context, k connectors.Kind) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.s.approved[k], nil
}

func (h *memoryHandle) Commit(_ context.Context, b Batch) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	s := h.s
	if h.epoch != s.epoch {
		return ErrFenced
	}
	drop := func(n int64) {
		if l, ok := s.links[n]; ok {
			for i, id := range l.ID {
				if id != "" {
					delete(s.by[i], kindID{l.Kind, id})
				}
			}
			delete(s.links, n)
		}
	}
	for _, n := range b.Drop {
		drop(n)
	}
	for _, l := range b.Put {
		if l.Number == 0 {
			s.next++
			l.Number = s.next
		} else {
			drop(l.Number)
		}
		for i, id := range l.ID {
			if id != "" {
				s.by[i][kindID{l.Kind, id}] = l.Number
			}
		}
		s.links[l.Number] = l
	}
	for _, i := range b.Begin {
		s.intents[i.Key] = i
	}
	for _, key := range b.End {
		delete(s.intents, key)
	}
	solve := func(t Trouble) {
		for n, o := range s.troubles {
			if o.Kind == t.Kind && (t.ID[0] != "" && o.ID[0] == t.ID[0] || t.ID[1] != "" && o.ID[1] == t.ID[1] || t.ID == o.ID) {
				delete(s.troubles, n)
			}
		}
	}
	for _, t := range b.Solve {
		solve(t)
	}
	for _, t := range b.Raise {
		solve(t)
		s.next++
		t.Number = s.next
		s.troubles[t.Number] = t
	}
	for n, t := range s.troubles {
		if t.Name != "" && t.First.Before(b.Forget) {
			t.Name = ""
			s.troubles[n] = t
		}
	}
	for _, p := range b.Cursors {
		s.cursors[kindSide{p.Kind, p.Side}] = p.Cursor
	}
	for _, p := range b.Sweeps {
		s.swept[kindSide{p.Kind, p.Side}] = p.At
	}
	maps.Copy(s.approved, b.Approve)
	return nil
}

func (h *memoryHandle) Close() error { return nil }
