package authz

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Every world of up to three rows over two people and a team, two roles, one
// within the other, three resources, allow and deny, and every membership: most
// mistakes that a large world can show, a small one shows, and of these none is
// left out. Casbin is asked in every 97th world.
//
// evidence: P20
func TestEverySmallWorld(t *testing.T) {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": "a.read, look\na.write, change\n",
		"roles.csv": "p, role:reader, a.read\np, role:writer, a.write\ng, role:writer, role:reader\n"}), nil)
	require.NoError(t, err)
	now := time.Unix(0, 0)
	who := []Principal{{"user:i/a"}, {"user:i/b"}, {"team:t"}}
	tree, at := []Resource{{"t"}, {"t/x"}, {"t/xy"}}, [][]string{{"t"}, {"t", "x"}, {"t", "xy"}}
	ref := &refWorld{carries: map[string][]string{"role:reader": {"a.read"}, "role:writer": {"a.write"}}, includes: map[string][]string{"role:writer": {"role:reader"}}}
	var rows []Authorization
	var refs []refRow
	for _, p := range who {
		for _, role := range []string{"role:reader", "role:writer"} {
			for k, r := range tree {
				for _, e := range []Effect{Allow, Deny} {
					rows = append(rows, Authorization{ID: uuid.New(), Principal: p, Role: Role{role}, Resource: r, Effect: e})
					refs = append(refs, refRow{who: p.String(), role: role, on: at[k], deny: e == Deny})
				}
			}
		}
	}
	worlds, asked, differ := 0, 0, 0
	check := func(pick ...int) {
		var as []Authorization
		ref.rows = ref.rows[:0]
		for _, i := range pick {
			as, ref.rows = append(as, rows[i]), append(ref.rows, refs[i])
		}
		for joined := range 4 {
			var ms []Membership
			ref.members = ref.members[:0]
			for i := range 2 {
				if joined>>i&1 == 1 {
					ms = append(ms, Membership{who[i], who[2]})
					ref.members = append(ref.members, [2]string{who[i].String(), who[2].String()})
				}
			}
			ix := newIndex(a.cat, as, ms, 1, func() time.Time { return now })
			worlds++
			for _, p := range who {
				for bit, perm := range a.cat.permissions {
					for k, r := range tree {
						want := ref.allowed(p.String(), perm, at[k], now)
						asked++
						if ix.decide(p, bit, r).Allowed != want {
							differ++
							t.Logf("%s %s %s: reference %v: %v %v", p, perm, r, want, as, ms)
						}
						if worlds%97 == 0 {
							ok, err := a.meaning.enforce(ix, p, perm, r)
							require.NoError(t, err)
							require.Equal(t, want, ok)
						}
					}
				}
			}
			require.Less(t, differ, 10)
		}
	}
	check()
	for i := range rows {
		check(i)
		for j := range i {
			check(i, j)
			for k := range j {
				check(i, j, k)
			}
		}
	}
	require.Zero(t, differ)
	t.Logf("%d worlds, %d questions", worlds, asked)
}
