package authz

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Whom a change touches is found without reading everything, unless it is a
// change of a team or of a role that somebody may hold.
func TestWhomAChangeTouches(t *testing.T) {
	a, xs := adminHouse(t)
	a.ix.apply(Change{Revision: 2, Define: []RoleDefinition{{Role: Role{"role:own"}, Permissions: []Permission{{"crm.items.read"}}}},
		Add:  []Authorization{{ID: uuid.UUID{50}, Principal: Principal{"user:i/own"}, Role: Role{"role:own"}, Resource: Resource{"t"}, Effect: Allow}},
		Join: []Membership{{Principal{"team:admins"}, Principal{"team:outer"}}}})
	old, wide := a.ix.roles(), []RoleDefinition{{Role: Role{"role:own"}, Permissions: []Permission{{"crm.items.write"}}}}
	for name, c := range map[string]struct {
		c    Change
		each bool
		want []string
	}{
		"a user":             {Change{Remove: []Authorization{xs["reader"]}}, false, []string{"user:i/reader"}},
		"two users":          {Change{Remove: []Authorization{xs["reader"]}, Add: []Authorization{with(xs["admin"], uuid.UUID{60})}}, false, []string{"user:i/admin", "user:i/reader"}},
		"a team":             {Change{Remove: []Authorization{xs["team"]}}, false, []string{"team:admins", "user:i/member"}},
		"a user who joins":   {Change{Join: []Membership{{Principal{"user:i/x"}, Principal{"team:outer"}}}}, false, []string{"user:i/x"}},
		"a team that leaves": {Change{Leave: []Membership{{Principal{"team:admins"}, Principal{"team:outer"}}}}, false, []string{"team:admins", "user:i/member"}},
		"a role":             {Change{Undefine: old, Define: wide}, true, []string{"user:i/own"}},
	} {
		var all, times int
		c.c.Revision = 3
		of := func(s state) state { return counted{s, &all, &times} }
		got := inOrder(touched(of(a.ix), of(after(a.ix, c.c)), c.c))
		var names []string
		for _, p := range got {
			names = append(names, p.name)
		}
		require.Equal(t, c.want, names, name)
		require.Equal(t, c.each, all > 0, name)
	}
}

// Sets of permissions are compared to the last of their words.
func TestSetsOfPermissions(t *testing.T) {
	for _, c := range []struct {
		a, b          bitset
		within, meets bool
	}{
		{bitset{0, 0}, nil, true, false}, {bitset{0, 1}, nil, false, false}, {bitset{1, 0}, nil, false, false}, {nil, bitset{1}, true, false}, {nil, nil, true, false},
		{bitset{1, 2}, bitset{1, 2}, true, true}, {bitset{1, 2}, bitset{3, 2}, true, true}, {bitset{1, 2}, bitset{1, 0}, false, true}, {bitset{0, 2}, bitset{1, 1}, false, false}, {bitset{0, 2}, bitset{1, 2}, true, true},
	} {
		require.Equal(t, c.within, c.a.within(c.b), "%v %v", c.a, c.b)
		require.Equal(t, c.meets, c.a.meets(c.b), "%v %v", c.a, c.b)
		require.Equal(t, c.meets, c.b.meets(c.a), "%v %v", c.a, c.b)
	}
}

// There is an end to roles: of those there are, and of those there ever were.
func TestRolesHaveABound(t *testing.T) {
	a, _ := audited(t, NewMemory(0), 0)
	cat := a.ix.cat()
	defs := make([]RoleDefinition, maxRoles-len(cat.roles))
	for i := range defs {
		defs[i] = RoleDefinition{Role: Role{fmt.Sprintf("role:own%d", i)}, Permissions: []Permission{{"crm.items.read"}}}
	}
	_, err := cat.with(defs)
	require.NoError(t, err)
	more := append(defs, RoleDefinition{Role: Role{"role:more"}, Permissions: []Permission{{"crm.items.read"}}})
	_, err = cat.with(more)
	require.ErrorContains(t, err, "4096 at most")
	require.Same(t, cat, cat.after(more), "what cannot be changes no role")
	for name, d := range map[string]RoleDefinition{"role: missing": {}, "has a role of this name": {Role: Role{"role:user"}, Permissions: []Permission{{"crm.items.read"}}}, "carries nothing": {Role: Role{"role:x"}}} {
		_, err = cat.with([]RoleDefinition{d})
		require.ErrorContains(t, err, name)
	}
	_, err = cat.with([]RoleDefinition{defs[0], defs[0]})
	require.ErrorContains(t, err, "defined twice")

	old := *cat
	old.named = make([]string, maxRoleNumber)
	a.ix.catalogue.Store(&old)
	_, err = validRoles(a.ix, Change{Define: defs[:1]})
	require.ErrorContains(t, err, "start it anew")
	old.named = old.named[1:]
	_, err = validRoles(a.ix, Change{Define: defs[:1]})
	require.NoError(t, err)
}

// Whichever role is looked at first, the refusal names the first by name.
func TestARefusalNamesTheFirst(t *testing.T) {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": "a.pay, x\na.check, x\nb.look, x\n", "roles.csv": "p, role:payer, a.pay\np, role:checker, a.check\np, role:look, b.*\nx, a.pay, a.check\n"}), nil)
	require.NoError(t, err)
	var c Change
	for _, n := range []string{"role:d", "role:c", "role:b", "role:a", "role:e"} {
		c.Define = append(c.Define, RoleDefinition{Role: Role{n}, Permissions: []Permission{{"a.pay"}, {"a.check"}}})
	}
	for range 10 {
		err := separated(a.ix, after(a.ix, c), c)
		require.ErrorIs(t, err, ErrSeparation)
		require.ErrorContains(t, err, "define role:a")
	}
	for _, one := range []string{"a.pay", "a.check"} {
		c.Define = []RoleDefinition{{Role: Role{"role:own"}, Permissions: []Permission{{one}, {"b.look"}}}}
		require.NoError(t, separated(a.ix, after(a.ix, c), c))
	}
}

// One conflict is another where the row, the one or the other differs.
func TestWhatIsTheSameConflict(t *testing.T) {
	x := conflict{row: [2]int{1, 2}, x: Authorization{ID: uuid.UUID{1}}, y: Authorization{ID: uuid.UUID{2}}}
	y := x
	require.True(t, x.same(y))
	y.row[1] = 3
	require.False(t, x.same(y))
	y = x
	y.x.ID = uuid.UUID{3}
	require.False(t, x.same(y))
	y = x
	y.y.ID = uuid.UUID{3}
	require.False(t, x.same(y))
}

// A segment is spelled as it is wherever that can mean nothing else.
func TestPlainLettersAreNotEscaped(t *testing.T) {
	const plainly = "azAZ09-_.~@+"
	r, err := NewResource(plainly, "a b", "%41")
	require.NoError(t, err)
	require.Equal(t, plainly+"/a%20b/%2541", r.String())
	require.Equal(t, []string{plainly, "a b", "%41"}, r.Segments())
	for b := range 128 {
		s := string(rune(b))
		if checkSegment(s) != nil {
			continue
		}
		require.Equal(t, strings.Contains("-_.~@+", s) || unicode.IsLetter(rune(b)) || unicode.IsDigit(rune(b)), escape(s) == s, "%q", s)
	}
	for _, bad := range []string{"%", "%2", "%zz", "%2z", "%z2", "a%", "%2f", "%41", "%z0%9F%98%80"} {
		_, err := unescape(bad)
		require.Error(t, err, bad)
	}
}
