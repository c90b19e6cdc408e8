package secrets

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// Memory keeps sealed secrets as long as the process lives, for tests and
// demonstrations. The zero Memory is ready; do not copy it.
type Memory struct {
	mu   sync.Mutex
	rows map[string]Row
}

var _ Store = (*Memory)(nil)

// Load implements Store.
func (m *Memory) Load(_ context.Context, name string) (Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[name]
	if !ok {
		return Row{}, ErrNotFound
	}
	r.Sealed = slices.Clone(r.Sealed)
	return r, nil
}

// Save implements Store.
func (m *Memory) Save(_ context.Context, r Row, ifVersion uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rows[r.Name].Version != ifVersion {
		return ErrConflict
	}
	if m.rows == nil {
		m.rows = map[string]Row{}
	}
	r.Sealed = slices.Clone(r.Sealed)
	m.rows[r.Name] = r
	return nil
}

// List implements Store.
func (m *Memory) List(_ context.Context, prefix, after string, limit int) ([]Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Row
	for name, r := range m.rows {
		if strings.HasPrefix(name, prefix) && name > after {
			r.Sealed = nil
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Row) int { return strings.Compare(a.Name, b.Name) })
	return out[:min(len(out), max(limit, 0))], nil
}
