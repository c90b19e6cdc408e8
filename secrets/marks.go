package secrets

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxMarks bounds how many secrets, and how many tenants, are remembered.
const maxMarks = 1 << 16

// marks are the newest states that this process has seen. A MAC cannot tell an
// old row, put back whole, from the row of today; these can, for what was in use
// here. What was never seen here, Verify compares with the record of changes.
//
// They are read before a row is loaded: a row that is older than what was seen
// by then is old, while one that was loaded as another change came may be.
type marks struct {
	mu sync.Mutex
	m  *simplelru.LRU[string, uint64]
}

func newMarks() *marks {
	// The only error is a size that is not positive.
	m, _ := simplelru.NewLRU[string, uint64](maxMarks, nil)
	return &marks{m: m}
}

// seen returns what was seen of a name, 0 for nothing.
func (m *marks) seen(name string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, _ := m.m.Get(name)
	return n
}

// raise remembers what was seen.
func (m *marks) raise(name string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.m.Get(name); n > old || !ok && n > 0 {
		m.m.Add(name, n)
	}
}
