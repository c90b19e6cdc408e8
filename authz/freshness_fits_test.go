package authz

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// A history whose next change does not fit what is known here is not followed:
// what is in the store is loaded, and counts.
func TestAHistoryThatDoesNotFitIsNotFollowed(t *testing.T) {
	was := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:idp/ana"}, Role: Role{"role:user"}, Resource: Resource{"t/a"}, Effect: Allow}
	stays := was
	stays.ID, stays.Principal = uuid.UUID{2}, Principal{"user:idp/ben"}
	for name, c := range map[string]struct {
		change func(c *Change)
		loaded bool
	}{
		"it fits":           {func(*Change) {}, false},
		"another reason":    {func(c *Change) { c.Remove[0].Reason = "which decides nothing" }, false},
		"another id":        {func(c *Change) { c.Remove[0].ID = uuid.UUID{9} }, true},
		"another principal": {func(c *Change) { c.Remove[0].Principal = stays.Principal }, true},
		"another role":      {func(c *Change) { c.Remove[0].Role = Role{"role:crm-user"} }, true},
		"another resource":  {func(c *Change) { c.Remove[0].Resource = Resource{"t"} }, true},
		"another effect":    {func(c *Change) { c.Remove[0].Effect = Deny }, true},
		"a gap":             {func(c *Change) { c.Revision++ }, true},
		"what cannot be":    {func(c *Change) { c.Add = []Authorization{{ID: uuid.UUID{7}}} }, true},
		"known already":     {func(c *Change) { c.Revision-- }, false},
		"known a while":     {func(c *Change) { c.Revision = 0 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			loads := 0
			s := &forgetful{memoryStore: &memoryStore{}, load: func() error { loads++; return nil }}
			a, err := New(t.Context(), files(t, nil), &Options{Store: s, Seed: []Authorization{was, stays}})
			require.NoError(t, err)
			loads = 0
			next := Change{Revision: 2, Remove: []Authorization{was}}
			require.NoError(t, s.Apply(t.Context(), next))
			next.Remove = []Authorization{was}
			c.change(&next)
			s.changes = func(yield func(Change, error) bool) {
				if yield(next, nil) && next.Revision < 2 {
					yield(Change{Revision: 2, Remove: []Authorization{was}}, nil)
				}
			}
			n, err := a.Refresh(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(2), n)
			require.Equal(t, c.loaded, loads > 0)
			_, there := a.ix.get(was.ID)
			require.False(t, there, "it was revoked")
			_, there = a.ix.get(stays.ID)
			require.True(t, there)
		})
	}
	// A history that cannot be read, and a store that cannot be loaded, are errors.
	failed := errors.New("no")
	s := &forgetful{memoryStore: &memoryStore{}}
	a, err := New(t.Context(), files(t, nil), &Options{Store: s, Seed: []Authorization{was}})
	require.NoError(t, err)
	s.changes = func(yield func(Change, error) bool) { yield(Change{}, failed) }
	_, err = a.Refresh(t.Context())
	require.ErrorIs(t, err, failed)
	s.changes = func(yield func(Change, error) bool) { yield(Change{Revision: 7}, nil) }
	s.load = func() error { return failed }
	n, err := a.Refresh(t.Context())
	require.ErrorIs(t, err, failed)
	require.Equal(t, uint64(1), n)
	require.True(t, a.ix.has(was.ID))
}
