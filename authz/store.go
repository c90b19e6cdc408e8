package authz

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Assignments is everything a Store keeps.
type Assignments struct {
	Revision       uint64 // counts changes; zero for an empty store
	Authorizations []Authorization
	Memberships    []Membership
}

// Change is one step from a revision to the next, kept with author and reason.
type Change struct {
	Revision uint64 // the revision that this change makes
	Author   Principal
	Reason   string
	Time     time.Time
	Add      []Authorization
	Remove   []uuid.UUID
	Join     []Membership
	Leave    []Membership
}

// Store keeps assignments. Safe for concurrent use.
type Store interface {
	// Load returns everything.
	Load(ctx context.Context) (Assignments, error)
	// Apply makes a change durable, whole or not at all, before it returns.
	// It returns ErrConflict unless the stored revision is one less than the
	// change's.
	Apply(ctx context.Context, c Change) error
}

// memoryStore keeps assignments as long as the process lives.
type memoryStore struct {
	mu sync.Mutex
	s  Assignments
}

func (m *memoryStore) Load(context.Context) (Assignments, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Assignments{m.s.Revision, slices.Clone(m.s.Authorizations), slices.Clone(m.s.Memberships)}, nil
}

func (m *memoryStore) Apply(_ context.Context, c Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Revision != m.s.Revision+1 {
		return ErrConflict
	}
	m.s = c.apply(m.s)
	return nil
}

// apply returns the assignments after the change.
func (c Change) apply(s Assignments) Assignments {
	out := Assignments{Revision: c.Revision}
	for _, a := range s.Authorizations {
		if !slices.Contains(c.Remove, a.ID) {
			out.Authorizations = append(out.Authorizations, a)
		}
	}
	out.Authorizations = append(out.Authorizations, c.Add...)
	for _, m := range s.Memberships {
		if !slices.Contains(c.Leave, m) {
			out.Memberships = append(out.Memberships, m)
		}
	}
	for _, m := range c.Join {
		if !slices.Contains(out.Memberships, m) {
			out.Memberships = append(out.Memberships, m)
		}
	}
	return out
}
