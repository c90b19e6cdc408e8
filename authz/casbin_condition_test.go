package authz

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestConditions(t *testing.T) {
	office := Context{Network: netip.MustParseAddr("10.1.2.3"), Device: "laptop-7"}
	tuesday := time.Date(2030, 1, 1, 9, 30, 0, 0, time.FixedZone("far", 2*3600)) // 07:30 UTC
	for text, want := range map[string]string{                                   // by office, by a request of which nothing is known
		`network == '10.1.2.3'`:                          "true unknown",
		`network == "10.1.2.3"`:                          "true unknown",
		`network != '10.1.2.3'`:                          "false unknown",
		`network == ''`:                                  "false true",
		`network != '' && device != 'kiosk'`:             "true false",
		`device != '' && device != 'kiosk'`:              "true false",
		`device != 'kiosk'`:                              "true unknown",
		`device in ('laptop-6', 'laptop-7')`:             "true unknown",
		`device in ('laptop-7')`:                         "true unknown",
		`device in ('', 'x')`:                            "false true",
		`ipMatch(network, '10.0.0.0/8')`:                 "true unknown",
		`! ipMatch(network, '10.0.0.0/8')`:               "false unknown",
		`!(ipMatch(network, '192.168.0.1'))`:             "true unknown",
		`ipMatch(network, '::/0')`:                       "false unknown",
		`network != '' && ipMatch(network, '0.0.0.0/0')`: "true false",
		`hour == 7 && minute == 30 && weekday == 2`:      "true true",
		`7 == hour`:                                "true true",
		`hour >= 8 && hour < 18 && weekday <= 5`:   "false false",
		`hour >= 7 && hour < 18 && weekday <= 5`:   "true true",
		`hour in (7, 8, 9, 10, 11)`:                "true true",
		`weekday in (6, 7)`:                        "false false",
		`hour == 7 || device == 'x'`:               "true true", // what decides is known
		`device == 'x' || hour == 7`:               "true unknown",
		`hour == 8 || hour == 7 && weekday == 3`:   "false false",
		`(hour == 8 || hour == 7) && weekday == 2`: "true true",
		`((((hour == 7))))`:                        "true true",
		`true`:                                     "true true",
		`false || !true`:                           "false false",
		`hour == 0007`:                             "true true",
	} {
		c, err := compileCondition(text)
		require.NoError(t, err, text)
		var got []string
		for _, ctx := range []Context{office, {}} {
			ok, err := c.satisfied(ctx, tuesday)
			switch {
			case err != nil:
				require.False(t, ok)
				got = append(got, "unknown")
			default:
				got = append(got, fmt.Sprint(ok))
			}
			require.Equal(t, ok && err == nil, c.counts(Allow, ctx, tuesday))
			require.Equal(t, ok || err != nil, c.counts(Deny, ctx, tuesday))
		}
		require.Equal(t, want, strings.Join(got, " "), text)
	}

	// Addresses have many spellings; a condition sees one.
	v4, err := compileCondition(`network == '10.1.2.3' && ipMatch(network, '10.0.0.0/8')`)
	require.NoError(t, err)
	ok, err := v4.satisfied(Context{Network: netip.MustParseAddr("::ffff:10.1.2.3")}, tuesday)
	require.True(t, ok && err == nil)
	zone, err := compileCondition(`network == 'fe80::1' && ipMatch(network, 'fe80::/10')`)
	require.NoError(t, err)
	ok, err = zone.satisfied(Context{Network: netip.MustParseAddr("fe80::1%eth0")}, tuesday)
	require.True(t, ok && err == nil)
	// Sunday is the last day and not the first.
	sunday, err := compileCondition(`weekday == 7`)
	require.NoError(t, err)
	ok, err = sunday.satisfied(Context{}, time.Date(2030, 1, 6, 0, 0, 0, 0, time.UTC))
	require.True(t, ok && err == nil)

	for _, c := range []*condition{nil, {}} {
		require.False(t, c.counts(Allow, office, tuesday), "what cannot be evaluated gives nothing")
		require.True(t, c.counts(Deny, office, tuesday), "and takes")
	}
	long, err := compileCondition(`device == 'x'`)
	require.NoError(t, err)
	_, err = long.satisfied(Context{Device: strings.Repeat("x", MaxSegment+1)}, tuesday)
	require.ErrorContains(t, err, "1024 at most")
}

func TestConditionsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		``:                                 `byte 1: the end: want a name, a text in quotes or a number; the names are network, device, hour, minute, weekday and ipMatch`,
		`hour`:                             `byte 5: the end: want a comparison`,
		`hour = 8`:                         `byte 6: "=": want one of ==`,
		`hour == 8 &&`:                     `byte 13: the end`,
		`hour == 8 && minutes == 3`:        `byte 14: "minutes": unknown: the names are network, device`,
		`country == 'DE'`:                  `byte 1: "country": unknown`,
		`r.sub == 'x'`:                     `byte 1: "r.sub": unknown`,
		`hour == 'x'`:                      `byte 9: "x": text and numbers are never equal`,
		`hour == device`:                   `byte 9: "device": text and numbers`,
		`device < 'x'`:                     `byte 8: "<": text is compared by == and != only`,
		`device =~ '(a+)+$'`:               `byte 8: "=~": want one of`,
		`regexMatch(device, '.*')`:         `byte 1: "regexMatch": unknown`,
		`keyMatch(device, '*')`:            `byte 1: "keyMatch": unknown`,
		`holds('u', 'r', 'allow', 'x')`:    `byte 1: "holds": unknown`,
		`ipMatch(device, '10.0.0.0/8')`:    `byte 9: "device": want ipMatch(network, 'ADDRESS')`,
		`ipMatch(network, device)`:         `byte 18: "device": want the text of an address`,
		`ipMatch(network, '10.0.0.0/33')`:  `byte 18: "10.0.0.0/33": want the text of an address`,
		`ipMatch(network, 'fe80::1%eth0')`: `want the text of an address`,
		`ipMatch(network, '10.0.0.1', '10.0.0.2')`: `byte 28: ",": want )`,
		`ipMatch`:                           `byte 8: the end: want ipMatch(`,
		`hour in 8`:                         `byte 9: "8": want a list`,
		`hour in ()`:                        `byte 10: ")": want a list of texts for a text and of numbers`,
		`hour in (8, '9')`:                  `byte 13: "9"`,
		`hour in (8 9)`:                     `byte 12: "9": want , or )`,
		`8 in (8, 9)`:                       `byte 3: "in": want a comparison`,
		`hour == 8 == true`:                 `byte 11: "==": want && or || or the end`,
		`(hour == 8`:                        `byte 11: the end: want && or || or )`,
		`hour == 8)`:                        `byte 10: ")": want && or ||`,
		`!hour == 8`:                        `byte 2: "hour": ! stands before ( or ipMatch only`,
		`! !true`:                           `byte 3: "!": ! stands before`,
		`!!true`:                            `byte 1: "!!": want one of`,
		`true &&!(hour == 1)`:               `byte 6: "&&!": want one of`,
		`hour + 1 == 8`:                     `byte 6: "+"`,
		`hour == -1`:                        `byte 9: "-"`,
		`hour == 1.5`:                       `byte 10: "."`,
		`hour == 0x10`:                      `byte 10: "x10"`,
		`hour == 12345`:                     `byte 9: "12345": want a number of four digits`,
		`hour == 8 ? true : false`:          `byte 11: "?"`,
		`device ?? 'x' == 'x'`:              `byte 8: "??"`,
		`[device] == 'x'`:                   `byte 1: "["`,
		`device == 'x`:                      `byte 11: text does not end with the quote`,
		`device == 'x"`:                     `byte 11: text does not end with the quote`,
		`device == '\u0000'`:                `byte 12: "\\": want printable ASCII characters without backslashes or #`,
		"device == 'a\tb'":                  `byte 13: "\t": want printable ASCII`,
		"device == 'a\u202eb'":              `byte 13: "\xe2": want printable`,
		"device == '\xff'":                  `byte 12: "\xff"`,
		`device == '2030-01-01'`:            `byte 11: "2030-01-01": reads as a point in time`,
		`device == '3:04PM'`:                `reads as a point in time`,
		`hour == 8 # || true`:               `byte 11: "#"`,
		`hour == 8; hour == 9`:              `byte 10: ";"`,
		`hour IN (8)`:                       `byte 6: "IN"`,
		strings.Repeat(`hour == 1 || `, 90): `1170 bytes, 1024 at most`,
	} {
		c, err := compileCondition(text)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, "authz: condition: ")
		require.Nil(t, c)
	}
}

// What cannot be evaluated is refused where it would be written, and where it
// would be loaded.
func TestConditionsAreValidated(t *testing.T) {
	ana, at := Principal{"user:idp/ana"}, Resource{"t"}
	x := Authorization{Principal: ana, Role: Role{"role:user"}, Resource: at, Effect: Allow, Condition: "country == 'DE'"}
	_, err := New(t.Context(), files(t, nil), &Options{Seed: []Authorization{x}})
	require.ErrorContains(t, err, `byte 1: "country"`)
	x.ID = newID()
	_, err = New(t.Context(), files(t, nil), &Options{Store: &memoryStore{all: map[uuid.UUID]Authorization{x.ID: x}, rest: Assignments{Revision: 1}}})
	require.ErrorContains(t, err, `byte 1: "country"`)
}

// Grants are worth what the circumstances they were given in are worth.
func TestAGrantEndsWithItsCondition(t *testing.T) {
	now := time.Date(2030, 1, 1, 17, 58, 0, 0, time.UTC)
	ana, at := Principal{"user:idp/ana"}, Resource{"t"}
	a, err := New(t.Context(), files(t, nil), &Options{Clock: func() time.Time { return now }, Seed: []Authorization{
		{Principal: ana, Role: Role{"role:user"}, Resource: at, Effect: Allow, Condition: "hour < 18 && ipMatch(network, '10.0.0.0/8')"},
		{Principal: ana, Role: Role{"role:user"}, Resource: Resource{"t/x"}, Effect: Deny, Condition: "device == 'kiosk'"},
	}})
	require.NoError(t, err)
	req := Request{Principal: ana, Permission: Permission{"mailbox.items.read"}, Resource: at}
	_, err = a.Authorize(t.Context(), req)
	require.ErrorIs(t, err, ErrDenied, "nothing is known")
	req.Context = Context{Network: netip.MustParseAddr("10.0.0.1"), Device: "laptop"}
	g, err := a.Authorize(t.Context(), req)
	require.NoError(t, err)
	require.NoError(t, g.Covers(req.Permission, Resource{"t/x"}))
	now = now.Add(5 * time.Minute)
	require.ErrorIs(t, g.Covers(req.Permission, at), ErrDenied, "after six")
	now = now.Add(-10 * time.Minute)
	req.Context.Device = ""
	g, err = a.Authorize(t.Context(), req)
	require.NoError(t, err)
	require.ErrorIs(t, g.Covers(req.Permission, Resource{"t/x"}), ErrDenied, "an unknown device may be the kiosk")
}

// refCondition is a condition twice: as text, and as what it means in plain Go.
type refCondition struct {
	text func(prefix string) string
	is   func(f refFacts) (bool, error)
}

type refFacts struct {
	network, device       string
	hour, minute, weekday int
	minded                map[string]bool
}

var errRefUnknown = errors.New("unknown")

func refText(f refFacts, name string) (string, error) {
	v := map[string]string{"network": f.network, "device": f.device}[name]
	if v == "" && !f.minded[name] {
		return "", errRefUnknown
	}
	return v, nil
}

func drawCondition(t *rapid.T, depth int, minded map[string]bool) refCondition {
	kind := rapid.IntRange(0, 8).Draw(t, "kind")
	if depth == 0 {
		kind %= 5
	}
	quote := func(s string) string { return "'" + s + "'" }
	switch kind {
	case 0, 1: // a number
		name := rapid.SampledFrom([]string{"hour", "minute", "weekday"}).Draw(t, "name")
		op := rapid.SampledFrom([]string{"==", "!=", "<", "<=", ">", ">="}).Draw(t, "op")
		n := rapid.IntRange(0, 8).Draw(t, "n")
		return refCondition{func(p string) string { return fmt.Sprintf("%s%s %s %d", p, name, op, n) }, func(f refFacts) (bool, error) {
			v := map[string]int{"hour": f.hour, "minute": f.minute, "weekday": f.weekday}[name]
			return map[string]bool{"==": v == n, "!=": v != n, "<": v < n, "<=": v <= n, ">": v > n, ">=": v >= n}[op], nil
		}}
	case 2: // a text
		name := rapid.SampledFrom([]string{"network", "device"}).Draw(t, "name")
		s := rapid.SampledFrom([]string{"", "10.0.0.1", "laptop", "kiosk"}).Draw(t, "s")
		not := rapid.Bool().Draw(t, "not")
		minded[name] = minded[name] || s == ""
		op := "=="
		if not {
			op = "!="
		}
		return refCondition{func(p string) string { return p + name + " " + op + " " + quote(s) }, func(f refFacts) (bool, error) {
			v, err := refText(f, name)
			return (v == s) != not, err
		}}
	case 3: // a list
		list := rapid.SliceOfN(rapid.SampledFrom([]string{"laptop", "kiosk", "a b", "(&|"}), 1, 4).Draw(t, "list")
		return refCondition{func(p string) string { return p + "device in ('" + strings.Join(list, "', '") + "')" }, func(f refFacts) (bool, error) {
			v, err := refText(f, "device")
			for _, x := range list {
				if err == nil && x == v {
					return true, nil
				}
			}
			return false, err
		}}
	case 4: // a range
		r := rapid.SampledFrom([]string{"10.0.0.0/8", "10.0.0.1", "0.0.0.0/0", "192.168.0.0/16", "::/0", "2001:db8::/32"}).Draw(t, "range")
		return refCondition{func(p string) string { return "ipMatch(" + p + "network, " + quote(r) + ")" }, func(f refFacts) (bool, error) {
			v, err := refText(f, "network")
			if err != nil || v == "" {
				return false, errRefUnknown
			}
			a := netip.MustParseAddr(v)
			if p, err := netip.ParsePrefix(r); err == nil {
				return p.Contains(a), nil
			}
			return a == netip.MustParseAddr(r), nil
		}}
	case 5: // not
		x := drawCondition(t, depth-1, minded)
		return refCondition{func(p string) string { return "!(" + x.text(p) + ")" }, func(f refFacts) (bool, error) {
			v, err := x.is(f)
			return !v, err
		}}
	default: // and, or
		n := rapid.IntRange(2, 4).Draw(t, "n")
		and := kind == 6 || kind == 8 && rapid.Bool().Draw(t, "and")
		op := " || "
		if and {
			op = " && "
		}
		var xs []refCondition
		group := rapid.Bool().Draw(t, "group")
		for range n {
			xs = append(xs, drawCondition(t, depth-1, minded))
		}
		return refCondition{func(p string) string {
			var parts []string
			for _, x := range xs {
				s := x.text(p)
				if and || group { // || binds less: only within && does it need its parentheses
					s = "(" + s + ")"
				}
				parts = append(parts, s)
			}
			return strings.Join(parts, op)
		}, func(f refFacts) (bool, error) {
			for _, x := range xs {
				if v, err := x.is(f); err != nil || v != and {
					return v, err
				}
			}
			return and, nil
		}}
	}
}

// A condition means what it says: plain Go, and an Enforcer of Casbin that has
// it for its matcher, answer alike.
func TestConditionsMeanWhatCasbinAndGoMean(t *testing.T) {
	asked, unknown := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		minded := map[string]bool{}
		ref := drawCondition(t, rapid.IntRange(0, 3).Draw(t, "depth"), minded)
		text := ref.text("")
		if len(text) > maxCondition {
			t.Skip("too long")
		}
		c, err := compileCondition(text)
		require.NoError(t, err, text)
		m, err := model.NewModelFromString("[request_definition]\nr = network, device, hour, minute, weekday\n[policy_definition]\np = x\n[policy_effect]\ne = some(where (p.eft == allow))\n[matchers]\nm = " + ref.text("r."))
		require.NoError(t, err)
		e, err := casbin.NewEnforcer(m)
		require.NoError(t, err)
		for range 8 {
			f := refFacts{network: rapid.SampledFrom([]string{"", "10.0.0.1", "10.0.0.2", "192.168.3.4", "2001:db8::1"}).Draw(t, "network"),
				device: rapid.SampledFrom([]string{"", "laptop", "kiosk", "a b", "(&|"}).Draw(t, "device"), minded: minded}
			now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 7*24*60).Draw(t, "now")) * time.Minute)
			f.hour, f.minute, f.weekday = now.Hour(), now.Minute(), int(now.Weekday())
			if f.weekday == 0 {
				f.weekday = 7
			}
			ctx := Context{Device: f.device}
			if f.network != "" {
				ctx.Network = netip.MustParseAddr(f.network)
			}
			want, wantErr := ref.is(f)
			ok, err := c.satisfied(ctx, now)
			asked++
			require.Equal(t, wantErr == nil, err == nil, "%s: %+v: %v", text, f, err)
			if err != nil {
				unknown++
				require.False(t, ok)
				continue
			}
			require.Equal(t, want, ok, "%s: %+v", text, f)
			ok, err = e.Enforce(f.network, f.device, f.hour, f.minute, f.weekday)
			require.NoError(t, err)
			require.Equal(t, want, ok, "Casbin: %s: %+v", text, f)
		}
	})
	require.Positive(t, unknown)
	t.Logf("%d questions, %d of them about something unknown", asked, unknown)
}

// Index, Casbin and plain Go agree in worlds whose Authorizations have
// conditions.
func TestConditionsInTheIndexAndInCasbin(t *testing.T) {
	a, err := New(t.Context(), files(t, map[string]string{"permissions.csv": fewPermissions, "roles.csv": fewRoles}), nil)
	require.NoError(t, err)
	who := []Principal{{"user:i/a"}, {"team:t"}}
	tree := []Resource{{"t"}, {"t/x"}, {"t/xy"}}
	yes, unlike := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var as []Authorization
		var refs []refCondition
		var minds []map[string]bool
		for range rapid.IntRange(1, 5).Draw(t, "rows") {
			minded := map[string]bool{}
			c := drawCondition(t, rapid.IntRange(0, 2).Draw(t, "depth"), minded)
			if len(c.text("")) > maxCondition {
				t.Skip("too long")
			}
			x := Authorization{ID: newID(), Principal: rapid.SampledFrom(who).Draw(t, "who"), Role: Role{rapid.SampledFrom(a.cat.roles).Draw(t, "role")},
				Resource: rapid.SampledFrom(tree).Draw(t, "on"), Effect: rapid.SampledFrom([]Effect{Allow, Allow, Deny}).Draw(t, "effect"), Condition: c.text("")}
			if rapid.IntRange(0, 3).Draw(t, "always") == 0 {
				x.Condition, c.is = "", func(refFacts) (bool, error) { return true, nil }
			}
			require.NoError(t, a.cat.known(x))
			as, refs, minds = append(as, x), append(refs, c), append(minds, minded)
		}
		now := time.Date(2030, 1, 1, rapid.IntRange(0, 9).Draw(t, "hour"), 3, 0, 0, time.UTC)
		ix := newIndex(a.cat, as, []Membership{{who[0], who[1]}}, 1, func() time.Time { return now })
		for _, ctx := range []Context{{}, {Network: netip.MustParseAddr("10.0.0.1"), Device: "laptop"}, {Device: "kiosk"}} {
			f := refFacts{network: ctx.network(), device: ctx.Device, hour: now.Hour(), minute: 3, weekday: 2}
			for _, p := range who {
				for bit, perm := range a.cat.permissions {
					for _, r := range tree {
						allow, deny := false, false
						for i, x := range as {
							f.minded = minds[i]
							ok, err := refs[i].is(f)
							if x.Resource.Contains(r) && a.cat.sets[x.Role.name].has(bit) && (x.Principal == p || p == who[0]) {
								allow = allow || x.Effect == Allow && ok && err == nil
								deny = deny || x.Effect == Deny && (ok || err != nil)
							}
						}
						want := allow && !deny
						require.Equal(t, want, ix.decideIn(p, bit, r, ctx).Allowed, "%s %s %s %+v: %+v", p, perm, r, ctx, as)
						if ctx == (Context{}) {
							require.Equal(t, want, ix.decide(p, bit, r).Allowed)
						}
						ok, err := a.meaning.enforceIn(ix, p, perm, r, ctx)
						require.NoError(t, err)
						require.Equal(t, want, ok)
						if want {
							yes++
						}
						if want != ix.decide(p, bit, r).Allowed {
							unlike++
						}
					}
				}
			}
		}
	})
	require.Positive(t, yes)
	require.Positive(t, unlike, "worlds in which circumstances change nothing prove nothing")
}

// One condition may be asked by many at once.
func TestConditionsAreAskedByManyAtOnce(t *testing.T) {
	c, err := compileCondition(`device in ('a', 'b', 'c', 'd', 'e') && (hour in (1, 2, 3, 4, 5, 6, 7) || ipMatch(network, '10.0.0.0/8')) && !(device == 'b')`)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				device := string(rune('a' + i))
				ok, err := c.satisfied(Context{Device: device, Network: netip.MustParseAddr("10.0.0.1")}, time.Unix(0, 0))
				if err != nil || ok != (i < 5 && i != 1) {
					t.Errorf("%s: %v, %v", device, ok, err)
				}
			}
		})
	}
	wg.Wait()
}

// Whatever is written, compiling and asking neither panics nor takes long, and
// what is accepted is true, false or unknown, the same at every time of asking.
func FuzzCondition(f *testing.F) {
	for _, s := range []string{`network == '10.1.2.3'`, `ipMatch(network, '10.0.0.0/8') && hour in (8, 9)`, `!(device != "x") || weekday <= 5`, `((true))`, `!!x`, `[a]`, `a.b()`, "device == '\\", `hour == 0x`, `'a' in (b`, `device == ''`, strings.Repeat("(", 1000), strings.Repeat("!(", 300)} {
		f.Add(s, "laptop", uint32(7))
	}
	f.Fuzz(func(t *testing.T, s, device string, ip uint32) {
		begin := time.Now()
		c, err := compileCondition(s)
		if err != nil {
			require.Nil(t, c)
			require.Less(t, len(err.Error()), 4096)
			return
		}
		ctx := Context{Device: device, Network: netip.AddrFrom4([4]byte{byte(ip >> 24), byte(ip >> 16), byte(ip >> 8), byte(ip)})}
		for _, x := range []Context{{}, ctx} {
			ok, err := c.satisfied(x, time.Unix(int64(ip), 0))
			again, err2 := c.satisfied(x, time.Unix(int64(ip), 0))
			require.True(t, ok == again && (err == nil) == (err2 == nil) && !(ok && err != nil))
		}
		require.Less(t, time.Since(begin), 5*time.Second)
	})
}
