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
type marks struct {
	mu       sync.Mutex
	revision *simplelru.LRU[string, uint64]
	gen      *simplelru.LRU[string, uint32]
}

func newMarks() *marks {
	m := &marks{}
	// The only error is a size that is not positive.
	m.revision, _ = simplelru.NewLRU[string, uint64](maxMarks, nil)
	m.gen, _ = simplelru.NewLRU[string, uint32](maxMarks, nil)
	return m
}

// secret reports whether a revision of a head is no older than what was seen,
// and remembers it.
func (m *marks) secret(name string, revision uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mark(m.revision, name, revision)
}

// tenant is the same for a tenant's generation.
func (m *marks) tenant(name string, generation uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return mark(m.gen, name, generation)
}

func mark[N uint32 | uint64](l *simplelru.LRU[string, N], name string, n N) bool {
	old, ok := l.Get(name)
	if n < old {
		return false
	}
	if n > old || !ok && n > 0 {
		l.Add(name, n)
	}
	return true
}
