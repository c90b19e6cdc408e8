package authz

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// reasons says what a sink holds.
func reasons(m *Memory) (out []string) {
	for _, r := range m.Records() {
		out = append(out, r.Reason)
	}
	return out
}

// linked are records that follow one another, each called by a letter.
func linked(what string) []AuditRecord {
	rs := make([]AuditRecord, len(what))
	var head Hash
	for i := range what {
		rs[i] = AuditRecord{Sequence: uint64(i + 1), Reason: what[i : i+1], Previous: head}
		rs[i].Hash = rs[i].sum()
		head = rs[i].Hash
	}
	return rs
}

// A copy that fails for a while gets each record once and none that the first did
// not take: whatever it or the first kept of what they said they did not, and
// whatever else a sink says of where it ends.
func TestACopyGetsEachRecordOnce(t *testing.T) {
	failed := errors.New("no")
	no := func(context.Context, []AuditRecord) error { return failed }
	keeps := func([]AuditRecord) error { return failed }
	for name, c := range map[string]struct {
		fault  func(first, copy *tap) // while b and c are written
		middle func(first, copy *tap) // after it
		first  []string
		copies []string
	}{
		"nothing fails":            {nil, nil, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"it takes nothing":         {func(_, c *tap) { c.before = no }, nil, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"it kept what it refused":  {func(_, c *tap) { c.after = keeps }, nil, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"the first takes nothing":  {func(f, _ *tap) { f.before = no }, nil, []string{"a", "d"}, []string{"a", "d"}},
		"the first kept it":        {func(f, _ *tap) { f.after = keeps }, nil, []string{"a", "b", "c", "d"}, []string{"a", "b", "c", "d"}},
		"the first kept it, hides": {func(f, _ *tap) { f.after, f.head = keeps, func() error { return failed } }, nil, []string{"a", "b", "c", "d"}, []string{"a", "d"}},
		"a stranger wrote to it": {func(_, c *tap) { c.before = no }, func(_, c *tap) {
			c.Memory = NewMemory(0)
			require.NoError(t, c.Memory.Append(t.Context(), []AuditRecord{{Sequence: 2, Reason: "x"}}))
		}, []string{"a", "b", "c", "d"}, []string{"x", "b", "c", "d"}},
		"a stranger wrote to the first": {func(f, _ *tap) {
			f.before = func(_ context.Context, rs []AuditRecord) error {
				f.Memory.list = append(f.Memory.list, AuditRecord{Sequence: rs[0].Sequence, Reason: "x"})
				return failed
			}
		}, nil, []string{"a", "x", "x", "d"}, []string{"a", "d"}},
	} {
		t.Run(name, func(t *testing.T) {
			first, copied := &tap{Memory: NewMemory(0)}, &tap{Memory: NewMemory(0)}
			x := Tee(first, copied)
			rs := linked("abcd")
			require.NoError(t, x.Append(t.Context(), rs[:1]))
			if c.fault != nil {
				c.fault(first, copied)
			}
			for i := 1; i < 3; i++ {
				if err := x.Append(t.Context(), rs[i:i+1]); c.fault != nil {
					require.ErrorIs(t, err, failed)
				} else {
					require.NoError(t, err)
				}
			}
			first.before, first.after, first.head, copied.before, copied.after = nil, nil, nil, nil, nil
			if c.middle != nil {
				c.middle(first, copied)
			}
			require.NoError(t, x.Append(t.Context(), rs[3:]))
			require.Equal(t, c.first, reasons(first.Memory))
			require.Equal(t, c.copies, reasons(copied.Memory))
		})
	}
}

// A copy is asked where it ends only if it lacks something. If it does not say,
// it takes nothing, and later all of it.
func TestACopyThatLacksNothingIsNotAsked(t *testing.T) {
	heads := 0
	failed := errors.New("no")
	copied := &tap{Memory: NewMemory(0), head: func() error { heads++; return failed }}
	x := Tee(NewMemory(0), copied)
	rs := linked("abcd")
	require.NoError(t, x.Append(t.Context(), rs[:1]))
	require.NoError(t, x.Append(t.Context(), rs[1:2]))
	require.Zero(t, heads)
	copied.before = func(context.Context, []AuditRecord) error { return failed }
	require.ErrorIs(t, x.Append(t.Context(), rs[2:3]), failed)
	copied.before = nil
	require.ErrorIs(t, x.Append(t.Context(), rs[3:]), failed)
	require.Equal(t, 1, heads)
	require.Equal(t, []string{"a", "b"}, reasons(copied.Memory))
	copied.head = nil
	require.NoError(t, x.Append(t.Context(), nil))
	require.Equal(t, []string{"a", "b", "c", "d"}, reasons(copied.Memory))
}

// What is kept for a copy has a bound, also where the first fails and keeps all.
func TestWhatIsOwedHasABound(t *testing.T) {
	failed := errors.New("no")
	first := &tap{Memory: NewMemory(0), after: func([]AuditRecord) error { return failed }}
	x := Tee(first, NewMemory(0)).(*tee)
	for i, want := range []int{maxOwed / 2, maxOwed, maxOwed, maxOwed} {
		rs := make([]AuditRecord, maxOwed/2)
		if i == 3 {
			rs = rs[:1]
		}
		for k := range rs {
			rs[k] = AuditRecord{Sequence: uint64(i*maxOwed + k + 1), Reason: fmt.Sprint(i)}
		}
		require.ErrorIs(t, x.Append(t.Context(), rs), failed)
		require.Len(t, x.owed[1], want)
	}
}

// hesitant says where it ends and that it does not know.
type hesitant struct{ *tap }

func (s hesitant) Head(ctx context.Context) (uint64, Hash, error) {
	seq, hash, _ := s.tap.Head(ctx)
	return seq, hash, errors.New("perhaps")
}

// What comes with an error is worth nothing.
func TestAHeadWithAnErrorIsNone(t *testing.T) {
	failed := errors.New("no")
	first := hesitant{&tap{Memory: NewMemory(0), after: func([]AuditRecord) error { return failed }}}
	copied := NewMemory(0)
	x := Tee(first, copied)
	rs := linked("ab")
	require.ErrorIs(t, x.Append(t.Context(), rs[:1]), failed)
	first.after = nil
	require.NoError(t, x.Append(t.Context(), rs[1:]))
	require.Equal(t, []string{"b"}, reasons(copied))
}
