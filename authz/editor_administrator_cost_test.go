package authz

import (
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// counted is a state that counts what it is asked for.
type counted struct {
	state
	all   *int // times that everything assigned was read
	times *int // times that somebody was looked for who administers a resource
}

func (w counted) each() iter.Seq[Authorization] { *w.all++; return w.state.each() }
func (w counted) time() time.Time               { *w.times++; return w.state.time() }

// adminHouse is a small world of administrators and others.
func adminHouse(t *testing.T) (*Authorizer, map[string]Authorization) {
	xs := map[string]Authorization{}
	add := func(name, who, role, on string, e Effect) {
		xs[name] = Authorization{ID: uuid.UUID{byte(len(xs) + 1)}, Principal: Principal{who}, Role: Role{role}, Resource: Resource{on}, Effect: e}
	}
	add("admin", "user:i/admin", "role:tenant-admin", "t", Allow)
	add("second", "user:i/second", "role:tenant-admin", "t", Allow)
	add("below", "user:i/below", "role:tenant-admin", "t/a", Allow)
	add("beside", "user:i/beside", "role:tenant-admin", "t/b", Allow)
	add("reader", "user:i/reader", "role:user", "t", Allow)
	add("denied", "user:i/reader", "role:tenant-admin", "t", Deny)
	add("no reader", "user:i/x", "role:user", "t", Deny)
	add("team", "team:admins", "role:tenant-admin", "t/a", Allow)
	add("team that is denied", "team:denied", "role:tenant-admin", "t", Deny)
	add("team of readers", "team:readers", "role:user", "t", Allow)
	add("team of no readers", "team:noreaders", "role:user", "t", Deny)
	o := &Options{Clock: func() time.Time { return time.Unix(1e9, 0) }}
	for _, x := range xs {
		o.Seed = append(o.Seed, x)
	}
	for _, team := range []string{"team:admins", "team:denied", "team:readers", "team:noreaders"} {
		o.SeedMembers = append(o.SeedMembers, Membership{Principal{"user:i/member"}, Principal{team}})
	}
	a, err := New(t.Context(), files(t, nil), o)
	require.NoError(t, err)
	return a, xs
}

// Only what can take a right to give away makes the check for the last
// administrator read everything that is assigned, and it looks only where that
// stands and below: an assignment costs the same however many there are.
func TestOnlyWhatTakesAnAdministratorAwayIsLookedInto(t *testing.T) {
	a, xs := adminHouse(t)
	grants := func(role string, perms ...string) Change {
		d := RoleDefinition{Role: Role{role}}
		for _, p := range perms {
			d.Permissions = append(d.Permissions, Permission{p})
		}
		return Change{Define: []RoleDefinition{d}}
	}
	a.ix.apply(Change{Revision: 2, Define: []RoleDefinition{grants("role:looks", "crm.items.read").Define[0], grants("role:gives", writeAuthorizations).Define[0]},
		Add: []Authorization{{ID: uuid.UUID{99}, Principal: Principal{"user:i/own"}, Role: Role{"role:gives"}, Resource: Resource{"t/b/c"}, Effect: Allow}}})
	changes := func(d Change) Change {
		for _, old := range a.ix.roles() {
			if old.Role == d.Define[0].Role {
				d.Undefine = append(d.Undefine, old)
			}
		}
		return d
	}
	give := func(name string, e Effect) Change {
		x := xs[name]
		x.ID, x.Effect = uuid.UUID{100}, e
		return Change{Add: []Authorization{x}}
	}
	member := Principal{"user:i/member"}
	join := func(team string) Change {
		return Change{Join: []Membership{{Principal{"user:i/new"}, Principal{team}}}}
	}
	leave := func(team string) Change { return Change{Leave: []Membership{{member, Principal{team}}}} }
	for name, c := range map[string]struct {
		c      Change
		places int // looked at; -1: nothing is read
	}{
		"an allow that carries no such right ends": {Change{Remove: []Authorization{xs["reader"]}}, -1},
		"a deny of it ends":                        {Change{Remove: []Authorization{xs["denied"]}}, -1},
		"another deny ends":                        {Change{Remove: []Authorization{xs["no reader"]}}, -1},
		"an allow of it begins":                    {give("admin", Allow), -1},
		"another allow begins":                     {give("reader", Allow), -1},
		"another deny begins":                      {give("reader", Deny), -1},
		"a team that is denied is left":            {leave("team:denied"), -1},
		"a team of readers is left":                {leave("team:readers"), -1},
		"a team of no readers is left":             {leave("team:noreaders"), -1},
		"a team of administrators is joined":       {join("team:admins"), -1},
		"a team of readers is joined":              {join("team:readers"), -1},
		"a team of no readers is joined":           {join("team:noreaders"), -1},
		"a role without it becomes wider":          {changes(grants("role:looks", "crm.items.read", "crm.items.write")), -1},
		"a role with it becomes wider":             {changes(grants("role:gives", "crm.items.read", writeAuthorizations)), -1},

		"an administrator goes":              {Change{Remove: []Authorization{xs["admin"]}}, 4},
		"one below goes":                     {Change{Remove: []Authorization{xs["below"]}}, 1},
		"an administrator is denied":         {give("admin", Deny), 4},
		"one below is denied":                {give("below", Deny), 1},
		"a team of administrators is left":   {leave("team:admins"), 1},
		"a team that is denied it is joined": {join("team:denied"), 4},
		"a role loses it":                    {changes(grants("role:gives", "crm.items.read")), 1},
	} {
		var all, times int
		c.c.Revision = 3
		next := after(a.ix, c.c)
		require.NoError(t, administered(counted{a.ix, &all, &times}, counted{next, &all, &times}, c.c), name)
		if c.places < 0 {
			require.Zero(t, all, name)
			require.Zero(t, times, name)
			continue
		}
		require.Positive(t, all, name)
		require.Equal(t, c.places, times, "%s: somebody is there afterwards: one look at each", name)
	}
}

// Who begins tomorrow administers nothing today, and who waits for approval does
// not either.
func TestWhoDoesNotAdministerYet(t *testing.T) {
	now := time.Unix(1e9, 0)
	only := Authorization{ID: uuid.UUID{1}, Principal: Principal{"user:i/admin"}, Role: Role{"role:tenant-admin"}, Resource: Resource{"t"}, Effect: Allow}
	for name, change := range map[string]func(x *Authorization){
		"now":         func(*Authorization) {},
		"tomorrow":    func(x *Authorization) { x.From = now.Add(24 * time.Hour) },
		"waits":       func(x *Authorization) { x.Pending, x.Until = true, now.Add(time.Hour) },
		"for a while": func(x *Authorization) { x.Until = now.Add(time.Hour) },
		"if":          func(x *Authorization) { x.Condition = "true" },
	} {
		other := only
		other.ID, other.Principal = uuid.UUID{2}, Principal{"user:i/other"}
		change(&other)
		a, err := New(t.Context(), files(t, nil), &Options{Clock: func() time.Time { return now }, Seed: []Authorization{only, other}})
		require.NoError(t, err)
		c := Change{Revision: 2, Remove: []Authorization{only}}
		err = administered(a.ix, after(a.ix, c), c)
		if name == "now" {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrLastAdministrator, name)
		}
	}
}
