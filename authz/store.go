package authz

import (
	"context"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Assignments is what a Store keeps beside the Authorizations.
type Assignments struct {
	Revision    uint64 // counts changes; zero for an empty store
	Memberships []Membership
	Roles       []RoleDefinition
}

// Change is one step from a revision to the next, kept with author and reason.
// What is removed is named whole, so that a Change can be read, and turned
// around, without the state it was made in. What is removed comes before what
// is added: an Authorization that changes is in both, under one id.
type Change struct {
	Revision uint64           `json:"revision"` // the revision that this change makes
	Author   Principal        `json:"author"`
	Reason   string           `json:"reason,omitempty"`
	Time     time.Time        `json:"time"`
	Remove   []Authorization  `json:"remove,omitempty"`
	Add      []Authorization  `json:"add,omitempty"`
	Leave    []Membership     `json:"leave,omitempty"`
	Join     []Membership     `json:"join,omitempty"`
	Undefine []RoleDefinition `json:"undefine,omitempty"`
	Define   []RoleDefinition `json:"define,omitempty"`
}

// Store keeps assignments and the history of their changes. Safe for concurrent
// use.
type Store interface {
	// Load calls each for every Authorization, in any order, and returns
	// the rest, all as of one revision. An error of each ends it and is
	// returned.
	Load(ctx context.Context, each func(Authorization) error) (Assignments, error)
	// Apply makes a change durable, whole or not at all, before it returns.
	// It returns ErrConflict unless the stored revision is one less than the
	// change's. What it costs does not depend on how much is kept.
	Apply(ctx context.Context, c Change) error
	// Changes returns the history after a revision, oldest first.
	Changes(ctx context.Context, after uint64) iter.Seq2[Change, error]
}

// Committer is a Store that is the Sink too: it makes a change durable together
// with the records that lead to it, in one transaction.
type Committer interface {
	Store
	Sink
	// Commit is Append and Apply, both or neither.
	Commit(ctx context.Context, rs []AuditRecord, c Change) error
}

// memoryStore keeps assignments as long as the process lives.
type memoryStore struct {
	mu      sync.Mutex
	all     map[uuid.UUID]Authorization
	rest    Assignments
	history []Change
}

func (m *memoryStore) Load(_ context.Context, each func(Authorization) error) (Assignments, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.all {
		if err := each(a); err != nil {
			return Assignments{}, err
		}
	}
	return Assignments{m.rest.Revision, slices.Clone(m.rest.Memberships), slices.Clone(m.rest.Roles)}, nil
}

func (m *memoryStore) Apply(_ context.Context, c Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.Revision != m.rest.Revision+1 {
		return ErrConflict
	}
	if m.all == nil {
		m.all = map[uuid.UUID]Authorization{}
	}
	for _, a := range c.Remove {
		delete(m.all, a.ID)
	}
	for _, a := range c.Add {
		m.all[a.ID] = a
	}
	m.rest = c.apply(m.rest)
	m.history = append(m.history, c)
	return nil
}

func (m *memoryStore) Changes(_ context.Context, after uint64) iter.Seq2[Change, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var later []Change
	if after < uint64(len(m.history)) {
		later = m.history[after:len(m.history):len(m.history)]
	}
	return func(yield func(Change, error) bool) {
		for _, c := range later {
			if !yield(c, nil) {
				return
			}
		}
	}
}

// apply returns memberships and roles after the change.
func (c Change) apply(s Assignments) Assignments {
	out := Assignments{Revision: c.Revision, Memberships: s.Memberships, Roles: s.Roles}
	if len(c.Leave)+len(c.Join) > 0 {
		in := make(map[Membership]bool, len(c.Leave)+len(c.Join))
		for _, m := range slices.Concat(c.Leave, c.Join) {
			in[m] = true
		}
		out.Memberships = slices.DeleteFunc(slices.Clone(s.Memberships), func(m Membership) bool { return in[m] })
		out.Memberships = append(out.Memberships, c.Join...)
	}
	if len(c.Undefine)+len(c.Define) > 0 {
		named := func(ds []RoleDefinition, r Role) bool {
			return slices.ContainsFunc(ds, func(d RoleDefinition) bool { return d.Role == r })
		}
		out.Roles = slices.DeleteFunc(slices.Clone(s.Roles), func(d RoleDefinition) bool {
			return named(c.Undefine, d.Role) || named(c.Define, d.Role)
		})
		out.Roles = append(out.Roles, c.Define...)
	}
	return out
}
