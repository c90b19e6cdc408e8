package storetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// drawer draws changes. One seed always draws the same, but for the ids.
type drawer struct {
	t   testing.TB
	rnd *rand.Rand
}

func newDrawer(t testing.TB, seed uint64) drawer {
	return drawer{t, rand.New(rand.NewPCG(seed, seed))}
}

func pick[T any](d drawer, xs ...T) T { return xs[d.rnd.IntN(len(xs))] }

func must[T any](t testing.TB, v T, err error) T {
	t.Helper()
	require.NoError(t, err)
	return v
}

// segments are parts of names that mean something somewhere.
func segments() []string {
	var every strings.Builder
	for r := rune(' '); r < 0x7f; r++ {
		every.WriteRune(r)
	}
	out := []string{
		every.String(), "a", "A", "%", "%41", "%2F", "a/b", "a:b", "a,b", "a|b", "a;b", "a\\b", "a'b", "a''b", `a"b`, "a`b", "a b", " a", "a ", "--", "/*", "$1", "?", "?1", ":x", "@x",
		"NULL", "null", "0", "-1", "1e9", "true", "2026-01-02T03:04:05Z", "{}", "[]", "\\x1f", "\\u001f", "\\0", "x'1f'", "é", "e\u0301", "ß", "ﬀ", "日本語", "🙂", "\U0010FFFF", "İ", "ı",
		strings.Repeat("m", authz.MaxSegment), strings.Repeat("%", authz.MaxSegment), strings.Repeat("é", authz.MaxSegment/2),
	}
	for r := rune(' '); r < 0x7f; r++ {
		out = append(out, string(r)+"x")
	}
	return out
}

func (d drawer) segment() string { return pick(d, segments()...) }

func (d drawer) principal() authz.Principal {
	switch d.rnd.IntN(3) {
	case 0:
		return must2(d.t)(authz.User(d.segment(), d.segment()))
	case 1:
		return must2(d.t)(authz.Service(d.segment()))
	}
	return d.team()
}

func (d drawer) team() authz.Principal { return must2(d.t)(authz.Team(d.segment())) }

func must2(t testing.TB) func(authz.Principal, error) authz.Principal {
	return func(p authz.Principal, err error) authz.Principal { t.Helper(); return must(t, p, err) }
}

func (d drawer) resource() authz.Resource {
	for {
		parts := make([]string, 1+d.rnd.IntN(authz.MaxDepth))
		for i := range parts {
			parts[i] = d.segment()
		}
		if r, err := authz.NewResource(parts...); err == nil { // else too long as a whole
			return r
		}
	}
}

func (d drawer) role() authz.Role {
	return authz.MustRole(pick(d, "role:a", "role:a-", "role:user", "role:tenant-admin", "role:x"+strings.Repeat("9", 63)))
}

// text is free text, with everything in it that could end a field or a row.
func (d drawer) text() string {
	return pick(d, "", "", "because", "\x1e\x1f", "\x1f", "\x1e", "a\nb\r\n\tc", "\x01\x02\x7f", "', ''); DROP TABLE x; --", `\`, `\\`, "\u2028\u0085\ufeff", "null", "100%", "$1 ? :x", "🙂",
		strings.Repeat("r", 1024), strings.Repeat("\x1f", 1024), strings.Repeat("🙂", 256), " ")
}

func (d drawer) time() time.Time {
	return pick(d, time.Time{}, time.Unix(0, 0), time.Unix(0, 1), time.Unix(-1, 999_999_999), time.Unix(d.rnd.Int64N(4e9), d.rnd.Int64N(1e9)),
		time.Date(2026, 1, 2, 3, 4, 5, 123_456_789, time.FixedZone("east", 5*3600+1800)), time.Date(2026, 3, 29, 2, 30, 0, 1000, time.FixedZone("", -3600)),
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), time.Now())
}

func (d drawer) authorization() authz.Authorization {
	x := authz.Authorization{ID: uuid.New(), Principal: d.principal(), Role: d.role(), Resource: d.resource(), Effect: pick(d, authz.Allow, authz.Deny),
		From: d.time(), Until: d.time(), Reason: d.text(), Condition: d.text(), Pending: d.rnd.IntN(2) == 0}
	if d.rnd.IntN(3) > 0 {
		x.GrantedBy = d.principal()
	}
	if d.rnd.IntN(3) == 0 {
		x.ApprovedBy = d.principal()
	}
	return x
}

func (d drawer) definition() authz.RoleDefinition {
	r := authz.RoleDefinition{Role: d.role()}
	for i := range d.rnd.IntN(4) {
		r.Permissions = append(r.Permissions, authz.MustPermission(fmt.Sprintf("mail.items%d.read", i)))
	}
	for range d.rnd.IntN(2) {
		r.Includes = append(r.Includes, d.role())
	}
	return r
}

// change draws the change after a state: some of everything, and some of it
// again under the same id.
func (d drawer) change(s state) authz.Change {
	c := authz.Change{Revision: s.revision + 1, Reason: d.text(), Time: d.time()}
	if s.revision > 0 {
		c.Author = d.principal()
	}
	for range d.rnd.IntN(4) {
		c.Add = append(c.Add, d.authorization())
	}
	for _, x := range byID(s.held) {
		switch d.rnd.IntN(6) {
		case 0:
			c.Remove = append(c.Remove, x)
		case 1: // it changes
			c.Remove = append(c.Remove, x)
			y := d.authorization()
			y.ID = x.ID
			c.Add = append(c.Add, y)
		}
	}
	for m := range s.members {
		if d.rnd.IntN(3) == 0 {
			c.Leave = append(c.Leave, m)
		}
	}
	for range d.rnd.IntN(3) {
		c.Join = append(c.Join, authz.Membership{Member: d.principal(), Team: d.team()})
	}
	for _, r := range s.roles {
		if d.rnd.IntN(3) == 0 {
			c.Undefine = append(c.Undefine, r)
		}
	}
	seen := map[authz.Role]bool{}
	for range d.rnd.IntN(3) {
		if r := d.definition(); !seen[r.Role] {
			seen[r.Role] = true
			c.Define = append(c.Define, r)
		}
	}
	return c
}
