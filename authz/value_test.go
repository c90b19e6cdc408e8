package authz

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// segmentGen draws legal segments, separators and escapes among them.
func segmentGen() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9._~@+-]{1,8}`),
		rapid.StringOfN(rapid.RuneFrom([]rune("a%2F/:,;=?#'\"\\ é日|*.~\u00a0𝄞")), 1, 8, -1),
		rapid.Just("%2F"), rapid.Just("a/b"), rapid.Just("..."), rapid.Just(strings.Repeat("/", 64)),
	).Filter(func(s string) bool { return s != "." && s != ".." })
}

func TestNamesRoundTripAndNeverCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(segmentGen(), 1, 4)
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		ra, err := NewResource(a...)
		require.NoError(t, err)
		rb, err := NewResource(b...)
		require.NoError(t, err)
		require.Equal(t, a, ra.Segments())
		require.Equal(t, equal(a, b), ra.String() == rb.String(), "one name for two resources: %q %q", a, b)
		back, err := ParseResource(ra.String())
		require.NoError(t, err)
		require.Equal(t, ra, back)
		require.Equal(t, len(b) >= len(a) && equal(a, b[:len(a)]), ra.Contains(rb), "the tree is by segments, not by letters")

		child, err := ra.Child(b...)
		require.NoError(t, err)
		require.True(t, ra.Contains(child))
		require.False(t, child.Contains(ra))
		parent, ok := child.Parent()
		require.True(t, ok)
		require.True(t, ra.Contains(parent) && parent.Contains(child) && parent != child)

		// Principals: every kind, every pair of parts.
		names := map[string]string{}
		for _, parts := range [][]string{a, b} {
			first, last := parts[0], parts[len(parts)-1]
			u, err := User(first, last)
			require.NoError(t, err)
			s, err := Service(first)
			require.NoError(t, err)
			g, err := Team(first)
			require.NoError(t, err)
			for what, p := range map[string]Principal{"user\x00" + first + "\x00" + last: u, "service\x00" + first: s, "team\x00" + first: g} {
				back, err := ParsePrincipal(p.String())
				require.NoError(t, err)
				require.Equal(t, p, back)
				require.Equal(t, strings.HasPrefix(what, "team"), p.IsTeam())
				if old, ok := names[p.String()]; ok {
					require.Equal(t, old, what, "one name for two principals")
				}
				names[p.String()] = what
			}
		}
		// No separator of a policy file or of a list gets through.
		for n := range names {
			require.NotContains(t, n, ",")
			require.NotContains(t, n, " ")
			require.False(t, strings.ContainsFunc(n, unicode.IsControl))
		}
	})
}

func equal(a, b []string) bool { return strings.Join(a, "\x00") == strings.Join(b, "\x00") }

func TestPermissionsAndRolesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[a-z][a-z0-9_]{0,5}(\.[a-z][a-z0-9_]{0,5}){1,4}`).Draw(t, "permission")
		v, err := ParsePermission(p)
		require.NoError(t, err)
		require.Equal(t, p, v.String())
		r := rapid.StringMatching(`role:[a-z][a-z0-9-]{0,9}`).Draw(t, "role")
		w, err := ParseRole(r)
		require.NoError(t, err)
		require.Equal(t, r, w.String())
	})
	for _, bad := range []string{"", "a", "a.", ".a", "a..b", "A.b", "a.B", "a b.c", "a.b.c.d.e.f", "a.*", "a.b,c", "a.b\n", "a.\x00b", strings.Repeat("a", 127) + ".b"} {
		_, err := ParsePermission(bad)
		require.ErrorContains(t, err, "permission", "%q", bad)
		require.Panics(t, func() { MustPermission(bad) })
	}
	for _, bad := range []string{"", "role:", "user", "role:A", "role:a_b", "role:a,b", "role:a\n", "role:a\x00", "user:a/b", "role:-a", "role:" + strings.Repeat("a", 65)} {
		_, err := ParseRole(bad)
		require.ErrorContains(t, err, "role", "%q", bad)
		require.Panics(t, func() { MustRole(bad) })
	}
}

// A value that is written into a record is read back as the same value, the
// zero values too: a refusal of a request without permission is recorded.
func TestTextFormsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := Authorization{ID: uuid.New(), Reason: rapid.String().Filter(utf8.ValidString).Draw(t, "reason")}
		if rapid.Bool().Draw(t, "full") {
			x.Principal, _ = User(segmentGen().Draw(t, "issuer"), segmentGen().Draw(t, "subject"))
			x.GrantedBy, _ = Service(segmentGen().Draw(t, "service"))
			x.Resource, _ = NewResource(segmentGen().Draw(t, "resource"))
			x.Role, x.Effect = MustRole("role:user"), rapid.SampledFrom([]Effect{Allow, Deny}).Draw(t, "effect")
		}
		b, err := json.Marshal(x)
		require.NoError(t, err)
		var back Authorization
		require.NoError(t, json.Unmarshal(b, &back), "%s", b)
		require.Equal(t, x, back)
		var p Permission
		require.NoError(t, p.UnmarshalText(nil))
		require.Equal(t, Permission{}, p)
	})
	var e Effect
	require.ErrorContains(t, e.UnmarshalText([]byte("ALLOW")), "effect")
	require.Error(t, new(Principal).UnmarshalText([]byte("x")))
	require.Error(t, new(Resource).UnmarshalText([]byte("a//b")))
	require.Error(t, new(Role).UnmarshalText([]byte("x")))
	require.Error(t, new(Permission).UnmarshalText([]byte("x")))
	var h Hash
	require.NoError(t, h.UnmarshalText([]byte(strings.Repeat("0a", 32))))
	for _, bad := range []string{"", "0a", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("g", 64)} {
		require.ErrorContains(t, h.UnmarshalText([]byte(bad)), "hash")
	}
}

func TestHostileNamesAreRefused(t *testing.T) {
	hostile := map[string]string{
		"empty": "", "dot": ".", "dots": "..", "NUL": "a\x00b", "newline": "a\nb", "return": "a\rb", "escape": "\x1b[31m", "delete": "a\x7f",
		"C1": "a\u0085b", "line separator": "a\u2028b", "paragraph separator": "a\u2029b", "zero width": "a\u200bb", "right to left": "a\u202eb",
		"byte order mark": "\ufeffa", "invalid UTF-8": "a\xff", "half a rune": "a\xc3", "surrogate": "\xed\xa0\x80", "too long": strings.Repeat("a", MaxSegment+1),
	}
	for name, s := range hostile {
		t.Run(name, func(t *testing.T) {
			_, err := NewResource("tenants", s)
			require.ErrorContains(t, err, "resource: segment 2")
			_, err = User("idp", s)
			require.ErrorContains(t, err, "user: part 2")
			_, err = User(s, "ana")
			require.ErrorContains(t, err, "user: part 1")
			_, err = Service(s)
			require.ErrorContains(t, err, "service: part 1")
			_, err = Team(s)
			require.ErrorContains(t, err, "team: part 1")
			// The same, escaped by the attacker, and raw.
			for _, form := range []string{escape(s), s} {
				_, err = ParseResource("tenants/" + form)
				require.ErrorContains(t, err, "resource")
				_, err = ParsePrincipal("user:idp/" + form)
				require.ErrorContains(t, err, "principal")
				_, err = ParsePrincipal("team:" + form)
				require.ErrorContains(t, err, "principal")
			}
		})
	}
	for _, s := range []string{"", "/", "a/", "/a", "a//b", "a,b", "a b", "a:b", "a/%", "a/%2", "a/%2f", "a/%61", "a/%2E", "a/%00", "a/../b", strings.Repeat("a/", MaxDepth) + "a",
		strings.Repeat("a", MaxName+1), strings.Repeat("%2F", MaxSegment+1)} {
		_, err := ParseResource(s)
		require.ErrorContains(t, err, "resource", "%.50q", s)
	}
	for _, s := range []string{"", "ana", "user:", "user:a", "user:a/b/c", "user:/b", "user:a/", "service:", "service:a/b", "team:a/b", "role:user", "User:a/b", "user:a,b/c", "user:a/b,service:c",
		"user:a/%2f", "user:a/%62", " user:a/b", "user:a/b\n", "user:" + strings.Repeat("a", MaxName), "*", "user:*/b"} {
		_, err := ParsePrincipal(s)
		require.ErrorContains(t, err, "principal", "%.50q", s)
	}
	_, err := NewResource()
	require.ErrorContains(t, err, "no segments")
	_, err = NewResource(strings.Split(strings.Repeat("a", MaxDepth+1), "")...)
	require.ErrorContains(t, err, "segments, 16 at most")
	long := strings.Repeat("/", MaxSegment)
	_, err = NewResource(long, long, long)
	require.ErrorContains(t, err, "bytes, 8192 at most")
	_, err = Resource{}.Child("a")
	require.ErrorContains(t, err, "zero resource")
}

func TestZeroNamesContainNothing(t *testing.T) {
	r, err := NewResource("a")
	require.NoError(t, err)
	require.False(t, Resource{}.Contains(r))
	require.False(t, Resource{}.Contains(Resource{}))
	require.False(t, r.Contains(Resource{}))
	require.True(t, Resource{}.IsZero() && Principal{}.IsZero())
	require.Nil(t, Resource{}.Segments())
	_, ok := r.Parent()
	require.False(t, ok)
	require.Equal(t, "none", Effect(0).String())
}

func FuzzParseResource(f *testing.F) {
	for _, s := range []string{"tenants/acme", "a/%2F/b", "a//b", "%", "a/..", "", "é", "a/%C3%A9", "%E2%80%AE"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseResource(s)
		if err != nil {
			require.True(t, r.IsZero())
			return
		}
		require.Equal(t, s, r.String(), "one spelling only")
		again, err := NewResource(r.Segments()...)
		require.NoError(t, err)
		require.Equal(t, r, again)
		for _, seg := range r.Segments() {
			require.NoError(t, checkSegment(seg))
		}
		for up, ok := r.Parent(); ok; up, ok = up.Parent() {
			require.True(t, up.Contains(r) && !r.Contains(up))
		}
	})
}

func FuzzParsePrincipal(f *testing.F) {
	for _, s := range []string{"user:idp/ana", "service:sync", "team:ops", "user:a/b/c", "user:%2F/%3A", "role:user", ":", "user:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePrincipal(s)
		if err != nil {
			require.True(t, p.IsZero())
			return
		}
		require.Equal(t, s, p.String(), "one spelling only")
		require.False(t, strings.ContainsAny(s, ", \t\n\x00"))
		kind, rest, _ := strings.Cut(s, ":")
		var parts []string
		for _, e := range strings.Split(rest, "/") {
			v, err := unescape(e)
			require.NoError(t, err)
			parts = append(parts, v)
		}
		again, err := principal(kind, parts...)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
