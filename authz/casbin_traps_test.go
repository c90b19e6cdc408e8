package authz

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
	"github.com/casbin/casbin/v2/persist"
	fileadapter "github.com/casbin/casbin/v2/persist/file-adapter"
	stringadapter "github.com/casbin/casbin/v2/persist/string-adapter"
	"github.com/casbin/casbin/v2/rbac"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

const aclModel = `[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = r.sub == p.sub && r.obj == p.obj && r.act == p.act
`

// enforces asks Casbin and fails the test at an error.
func enforces(t testing.TB, e *casbin.Enforcer, values ...any) bool {
	t.Helper()
	ok, err := e.Enforce(values...)
	require.NoError(t, err)
	return ok
}

// house is an Authorizer with two roles, one of which can edit everything.
func house(t testing.TB, o Options) *Authorizer {
	t.Helper()
	root := Authorization{Principal: Principal{"user:idp/root"}, Role: Role{"role:root"}, Resource: Resource{"t"}, Effect: Allow}
	o.Seed = append(o.Seed, root)
	a, err := New(t.Context(), files(t, map[string]string{
		"permissions.csv": "doc.read, read\ndoc.write, write\nauthz.authorizations.write, change\n",
		"roles.csv":       "p, role:reader, doc.read\np, role:root, doc.*\np, role:root, authz.authorizations.write\n"}), &o)
	require.NoError(t, err)
	return a
}

func (a *Authorizer) rootEdits(t testing.TB) Editor {
	t.Helper()
	g, err := a.Authorize(t.Context(), Request{Principal: Principal{"user:idp/root"}, Permission: Permission{writeAuthorizations}, Resource: Resource{"t"}})
	require.NoError(t, err)
	return a.Edit(g)
}

func (a *Authorizer) reads(t testing.TB, who Principal) bool {
	t.Helper()
	d, err := a.Check(t.Context(), Request{Principal: who, Permission: Permission{"doc.read"}, Resource: Resource{"t/doc"}})
	require.NoError(t, err)
	return d.Allowed
}

// Each trap stands beside what Casbin does with it and what happens here. That
// no caching or reloading Enforcer is used at all is a rule of the tree, held
// with the others in sealed_test.go.
func TestCasbinTraps(t *testing.T) {
	reader := func(who string) Authorization {
		return Authorization{Principal: Principal{who}, Role: Role{"role:reader"}, Resource: Resource{"t"}, Effect: Allow}
	}
	for _, trap := range []struct {
		name   string
		casbin func(t *testing.T)
		here   func(t *testing.T)
	}{
		{"commas: two rows with the same text joined are one",
			func(t *testing.T) {
				e := enforcer(t, aclModel, []string{"p", "a,b", "c", "d"})
				added, err := e.AddPolicy("a", "b,c", "d")
				require.NoError(t, err)
				require.False(t, added)
				require.False(t, enforces(t, e, "a", "b,c", "d"))
			},
			func(t *testing.T) {
				one, err := User("a,b", "c")
				require.NoError(t, err)
				two, err := User("a", "b,c")
				require.NoError(t, err)
				require.NotEqual(t, one, two)
				require.NotContains(t, one.String(), ",")
				a := house(t, Options{Seed: []Authorization{reader(one.String())}})
				require.True(t, a.reads(t, one))
				require.False(t, a.reads(t, two))
			}},
		{"newlines: a name becomes a row when a policy is saved and read again",
			func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "policy.csv")
				require.NoError(t, os.WriteFile(file, []byte("p, bob, doc, read\n"), 0o600))
				m, err := model.NewModelFromString(aclModel)
				require.NoError(t, err)
				e, err := casbin.NewEnforcer(m, fileadapter.NewAdapter(file))
				require.NoError(t, err)
				e.EnableAutoSave(false)
				_, err = e.AddPolicy("bob", "doc", "list\np, eve, doc, write")
				require.NoError(t, err)
				require.False(t, enforces(t, e, "eve", "doc", "write"))
				require.NoError(t, e.SavePolicy())
				require.NoError(t, e.LoadPolicy())
				require.True(t, enforces(t, e, "eve", "doc", "write"))
			},
			refusesSegment("bob\np, eve", "bob\r", "bob\u2028", "bob\u0085")},
		{"NUL: remembered answers of g run into one another",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "staff\x00admin", "lunch", "eat"}, []string{"p", "admin", "vault", "open"},
					[]string{"g", "alice", "staff\x00admin"})
				require.False(t, enforces(t, e, "alice\x00staff", "vault", "open"))
				require.NoError(t, e.BuildRoleLinks(), "which forgets")
				require.True(t, enforces(t, e, "alice", "lunch", "eat"))
				require.True(t, enforces(t, e, "alice\x00staff", "vault", "open"), "only because of the question before")
			},
			refusesSegment("staff\x00admin", "\x00", "alice\x00")},
		{"$$: keys of a cache run into one another",
			func(t *testing.T) {
				one, _ := casbin.GetCacheKey("alice$$doc", "x", "read")
				two, _ := casbin.GetCacheKey("alice", "doc$$x", "read")
				require.Equal(t, one, two)
			},
			func(t *testing.T) {
				a := house(t, Options{Seed: []Authorization{reader(must1(User("idp", "alice$$doc")).String())}})
				require.True(t, a.reads(t, must1(User("idp", "alice$$doc"))))
				require.False(t, a.reads(t, must1(User("idp$$alice", "doc"))))
				require.False(t, a.reads(t, must1(User("idp", "alice"))))
			}},
		{"quotes: a name ends a field of the file",
			func(t *testing.T) {
				m, err := model.NewModelFromString(aclModel)
				require.NoError(t, err)
				require.Error(t, persist.LoadPolicyLine(`p, al"ice", doc, read`, m), "a row that was saved cannot be read")
			},
			func(t *testing.T) {
				p := must1(User("idp", `al"ice"`))
				require.NotContains(t, p.String(), `"`)
				require.Equal(t, p, must1(ParsePrincipal(p.String())))
				_, err := newForeign(ownModel(aclModel, "p, al\"ice\", doc, read\n"))
				require.ErrorContains(t, err, "policy.csv:1")
			}},
		{"confusables: names that look alike are two",
			func(t *testing.T) {
				e := enforcer(t, aclModel, []string{"p", "alice", "doc", "read"})
				require.False(t, enforces(t, e, "\u0430lice", "doc", "read"))
			},
			func(t *testing.T) {
				seen := map[Principal]string{}
				for _, s := range []string{"alice", "\u0430lice", "\u0251lice", "ａlice", "Alice", "caf\u00e9", "cafe\u0301", "admin", "adm\u0131n"} {
					p := must1(User("idp", s))
					require.Empty(t, seen[p])
					seen[p] = s
					for i := range len(p.String()) { // and look different where people read them
						require.Less(t, p.String()[i], byte(0x80))
					}
				}
				a := house(t, Options{Seed: []Authorization{reader("user:idp/caf%C3%A9")}})
				require.True(t, a.reads(t, must1(User("idp", "caf\u00e9"))))
				require.False(t, a.reads(t, must1(User("idp", "cafe\u0301"))))
				for _, s := range []string{"role:\u0430dmin", "role:Admin", "role:admin\u200b"} {
					_, err := ParseRole(s)
					require.Error(t, err)
				}
				_, err := ParsePermission("doc.re\u0430d")
				require.Error(t, err)
			}},
		{"invisible characters: names that look the same are two",
			func(t *testing.T) {
				e := enforcer(t, aclModel, []string{"p", "alice", "doc", "read"}, []string{"p", "alice\u200b", "vault", "open"})
				require.True(t, enforces(t, e, "alice\u200b", "vault", "open"))
			},
			refusesSegment("alice\u200b", "alice\u202e", "\ufeffalice", "al\u00adice")},
		{"64 KiB: a name of any length is taken and kept",
			func(t *testing.T) {
				long := strings.Repeat("x", 64<<10)
				require.True(t, enforces(t, enforcer(t, aclModel, []string{"p", long, "doc", "read"}), long, "doc", "read"))
			},
			refusesSegment(strings.Repeat("x", 64<<10), strings.Repeat("x", MaxSegment+1), strings.Repeat("é", MaxSegment/2+1))},
		{"empty names: without a policy the empty request is allowed",
			func(t *testing.T) {
				e := enforcer(t, aclModel)
				require.True(t, enforces(t, e, "", "", ""))
			},
			func(t *testing.T) {
				refusesSegment("")(t)
				a := house(t, Options{})
				d, err := a.Check(t.Context(), Request{})
				require.ErrorIs(t, err, ErrDenied)
				require.False(t, d.Allowed)
			}},
		{"circles: roles that contain each other are all held by everybody in them",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "owner", "doc", "read"}, []string{"g", "owner", "guest"}, []string{"g", "guest", "owner"})
				require.True(t, enforces(t, e, "guest", "doc", "read"))
			},
			func(t *testing.T) {
				a := house(t, Options{})
				one, two := Principal{"team:one"}, Principal{"team:two"}
				require.NoError(t, a.rootEdits(t).Join(t.Context(), Membership{one, two}, ""))
				require.ErrorContains(t, a.rootEdits(t).Join(t.Context(), Membership{two, one}, ""), "circle")
				_, err := New(t.Context(), files(t, nil), &Options{SeedMembers: []Membership{{one, two}, {two, one}}})
				require.ErrorContains(t, err, "circle")
				_, err = New(t.Context(), files(t, map[string]string{"permissions.csv": "doc.read, read\n", "roles.csv": "p, role:a, doc.read\ng, role:a, role:b\ng, role:b, role:a\n"}), nil)
				require.ErrorContains(t, err, "circle")
			}},
		{"depth: roles nested 40 deep are cut at 10 without a word",
			func(t *testing.T) {
				for depth, want := range map[int]bool{10: true, 11: false, 40: false} {
					e := enforcer(t, casbinModel(false, false, ""), append(roleChain(depth), []string{"p", fmt.Sprint("r", depth), "doc", "read"})...)
					require.Equal(t, want, enforces(t, e, "alice", "doc", "read"), depth)
				}
				// A deny that is nested too deep is no deny.
				e := enforcer(t, casbinModel(false, true, ""), append(roleChain(11), []string{"p", "alice", "doc", "read", "allow"}, []string{"p", "r11", "doc", "read", "deny"})...)
				require.True(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				nest := func(n int) (ms []Membership) {
					for i := range n {
						ms = append(ms, Membership{Principal{fmt.Sprint("team:", i)}, Principal{fmt.Sprint("team:", i+1)}})
					}
					return ms
				}
				_, err := New(t.Context(), files(t, nil), &Options{SeedMembers: nest(40)})
				require.ErrorContains(t, err, "nested deeper than 10")
				ten := reader("team:10")
				a := house(t, Options{Seed: []Authorization{ten}, SeedMembers: nest(10)})
				require.True(t, a.reads(t, Principal{"team:0"}))
				require.ErrorContains(t, a.rootEdits(t).Join(t.Context(), Membership{Principal{"team:10"}, Principal{"team:11"}}, ""), "nested deeper than 10")
			}},
		{"role as principal: whoever may choose the name of a role has it",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "admin", "doc", "read"})
				require.True(t, enforces(t, e, "admin", "doc", "read"))
			},
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "admin", "doc", "read"}, []string{"g", "alice", "admin"})
				im := must1(FromCasbin(e))
				a := must1(im.authorizer(t.Context()))
				req := must1(im.Request("alice", "doc", "read"))
				require.True(t, must1(a.Check(t.Context(), req)).Allowed)
				for _, name := range []string{"admin", "casbin/admin", "role:casbin-read", "team:casbin%2Fadmin"} {
					req.Principal = must1(User("casbin", name))
					require.False(t, must1(a.Check(t.Context(), req)).Allowed, name)
				}
				_, err := ParsePrincipal("role:casbin-read")
				require.Error(t, err)
				_, err = ParseRole("user:casbin/admin")
				require.Error(t, err)
			}},
		{"memory: g() remembers a role that was taken away",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "admin", "doc", "read"}, []string{"g", "alice", "admin"})
				require.True(t, enforces(t, e, "alice", "doc", "read"))
				require.NoError(t, e.GetRoleManager().DeleteLink("alice", "admin"))
				require.True(t, enforces(t, e, "alice", "doc", "read"), "allowed for ever")
			},
			func(t *testing.T) {
				a := house(t, Options{})
				ana, team := Principal{"user:idp/ana"}, Principal{"team:t"}
				for range 3 {
					id, err := a.rootEdits(t).Assign(t.Context(), reader(ana.String()))
					require.NoError(t, err)
					require.True(t, a.reads(t, ana))
					g, err := a.Authorize(t.Context(), Request{Principal: ana, Permission: Permission{"doc.read"}, Resource: Resource{"t/doc"}})
					require.NoError(t, err)
					require.NoError(t, a.rootEdits(t).Revoke(t.Context(), id, ""))
					require.False(t, a.reads(t, ana))
					require.ErrorIs(t, g.Covers(Permission{"doc.read"}, Resource{"t/doc"}), ErrDenied)
				}
				_, err := a.rootEdits(t).Assign(t.Context(), reader(team.String()))
				require.NoError(t, err)
				require.NoError(t, a.rootEdits(t).Join(t.Context(), Membership{ana, team}, ""))
				require.True(t, a.reads(t, ana))
				require.NoError(t, a.rootEdits(t).Leave(t.Context(), Membership{ana, team}, ""))
				require.False(t, a.reads(t, ana))
			}},
		{"memory: g() keeps an answer for every name that anybody asks about",
			func(t *testing.T) {
				asked := 0
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "admin", "doc", "read"}, []string{"g", "alice", "admin"})
				e.SetRoleManager(counting{e.GetRoleManager(), &asked})
				require.NoError(t, e.BuildRoleLinks())
				for range 5 {
					enforces(t, e, "stranger", "doc", "read")
				}
				require.Equal(t, 1, asked, "the answer is kept, and nothing ever drops it")
			},
			func(t *testing.T) {
				f := must1(newForeign(ownModel(patternModel, patternPolicy)))
				asked := 0
				f.e.SetRoleManager(counting{f.e.GetRoleManager(), &asked})
				require.NoError(t, f.e.BuildRoleLinks())
				req := Request{Principal: Principal{"user:idp/nobody"}, Permission: Permission{"mailbox.items.read"}, Resource: Resource{"tenants/acme/box"}}
				f.decide(req)
				before := asked
				f.asked = forgetAfter - 1
				f.decide(req)
				require.Equal(t, 2*before, asked, "forgotten and asked again")
			}},
		{"time: what ends by itself ends when somebody sweeps",
			nil,
			func(t *testing.T) {
				now := time.Unix(1000, 0)
				x := reader("user:idp/ana")
				x.Until = now.Add(time.Second)
				a := house(t, Options{Seed: []Authorization{x}, Clock: func() time.Time { return now }})
				require.True(t, a.reads(t, x.Principal))
				now = now.Add(time.Second)
				require.False(t, a.reads(t, x.Principal))
			}},
		{"panic: Enforce turns it into an error, which is no answer",
			func(t *testing.T) {
				e := enforcer(t, strings.Replace(aclModel, "r.sub == p.sub", "ipMatch(r.sub, p.sub)", 1), []string{"p", "10.0.0.0/8", "doc", "read"})
				ok, err := e.Enforce("no address", "doc", "read")
				require.ErrorContains(t, err, "panic")
				require.False(t, ok)
			},
			func(t *testing.T) {
				own := strings.Replace(aclModel, "r.sub == p.sub && r.obj == p.obj && r.act == p.act", "r.act == p.act && ipMatch(r.sub, p.sub)", 1)
				a := must1(New(t.Context(), ownModel(own, "p, 10.0.0.0/8, doc, doc.read\n"), nil))
				req := Request{Principal: Principal{"user:idp/ana"}, Permission: Permission{"doc.read"}, Resource: Resource{"t"}}
				d := must1(a.Check(t.Context(), req))
				require.False(t, d.Allowed)
				require.Equal(t, ModelFailed, d.Code)
				require.Contains(t, d.Reason(), "the model failed: panic: invalid argument")
				require.NotContains(t, d.Reason(), "\n", "no stack in a reason")
				_, err := a.Authorize(t.Context(), req)
				require.ErrorIs(t, err, ErrDenied)

				b := house(t, Options{Seed: []Authorization{reader("user:idp/ana")}})
				ok, err := b.meaning.enforce(nil, Principal{"user:idp/ana"}, "doc.read", Resource{"t"})
				require.Error(t, err)
				require.False(t, ok)
			}},
		{"a file that is missing or empty is an empty policy",
			func(t *testing.T) {
				m, err := model.NewModelFromString(aclModel)
				require.NoError(t, err)
				e, err := casbin.NewEnforcer(m, fileadapter.NewAdapter(""))
				require.NoError(t, err)
				require.False(t, enforces(t, e, "alice", "doc", "read"))
				file := filepath.Join(t.TempDir(), "empty.csv")
				require.NoError(t, os.WriteFile(file, nil, 0o600))
				e, err = casbin.NewEnforcer(m, fileadapter.NewAdapter(file))
				require.NoError(t, err)
				require.False(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				for _, text := range []string{"", "\n", "# a comment\n"} {
					_, err := newForeign(ownModel(aclModel, text))
					require.Error(t, err)
					for _, name := range []string{"permissions.csv", "roles.csv"} {
						_, err = New(t.Context(), files(t, map[string]string{name: text + "\n"}), nil)
						require.Error(t, err)
						_, err = New(t.Context(), files(t, map[string]string{name: ""}), nil) // which removes it
						require.Error(t, err)
					}
				}
				_, err := FromCasbin(enforcer(t, aclModel))
				require.ErrorContains(t, err, "Casbin takes a missing one for an empty one")
			}},
		{"loading: while a policy is read again its roles are gone",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, false, ""), []string{"p", "admin", "doc", "read"}, []string{"g", "bob", "guest"}, []string{"g", "alice", "admin"})
				require.True(t, enforces(t, e, "alice", "doc", "read"))
				var seen []bool
				e.SetRoleManager(watched{e.GetRoleManager(), func() { seen = append(seen, enforces(t, e, "alice", "doc", "read")) }})
				require.NoError(t, e.LoadPolicy())
				require.Contains(t, seen, false)
			},
			func(t *testing.T) {
				a := house(t, Options{Audit: NewMemory(10), Seed: []Authorization{reader("user:idp/ana")}})
				stop := make(chan struct{})
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						for {
							select {
							case <-stop:
								return
							default:
							}
							d, err := a.Check(context.Background(), Request{Principal: Principal{"user:idp/ana"}, Permission: Permission{"doc.read"}, Resource: Resource{"t/doc"}})
							if err != nil || !d.Allowed {
								t.Errorf("%v %v", d, err)
								return
							}
						}
					})
				}
				for i := range 200 {
					id, err := a.rootEdits(t).Assign(t.Context(), reader(fmt.Sprint("service:s", i)))
					require.NoError(t, err)
					require.NoError(t, a.rootEdits(t).Revoke(t.Context(), id, ""))
				}
				close(stop)
				wg.Wait()
			}},
		{"trailing empty fields: a deny that lost its last field is no row",
			func(t *testing.T) {
				m, err := model.NewModelFromString(casbinModel(false, true, ""))
				require.NoError(t, err)
				e, err := casbin.NewEnforcer(m, stringadapter.NewAdapter("p, alice, doc, read, allow\np, alice, doc, read"))
				require.NoError(t, err, "without a word")
				require.True(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				_, err := newForeign(ownModel(casbinModel(false, true, ""), "p, alice, doc, read, allow\np, alice, doc, read\n"))
				require.ErrorContains(t, err, "policy.csv:2: 3 fields after p, model.conf defines 4")
				_, err = newForeign(ownModel(casbinModel(false, true, ""), "p, alice, doc, read, allow\np, alice, doc, read,\n"))
				require.ErrorContains(t, err, `policy.csv:2: effect ""`)
			}},
		{"too few fields: one bad row fails every request",
			func(t *testing.T) {
				e := enforcer(t, aclModel, []string{"p", "mallory"}, []string{"p", "alice", "doc", "read"})
				_, err := e.Enforce("alice", "doc", "read")
				require.ErrorContains(t, err, "invalid policy size")
			},
			func(t *testing.T) {
				_, err := newForeign(ownModel(aclModel, "p, mallory\np, alice, doc, read\n"))
				require.ErrorContains(t, err, "policy.csv:1: 1 fields after p")
				_, err = New(t.Context(), files(t, map[string]string{"permissions.csv": "doc.read, read\n", "roles.csv": "p, role:reader\n"}), nil)
				require.ErrorContains(t, err, "roles.csv:1: want three fields")
			}},
		{"too many fields: a role in one domain is a role in all",
			func(t *testing.T) {
				m, err := model.NewModelFromString(casbinModel(false, false, ""))
				require.NoError(t, err)
				e, err := casbin.NewEnforcer(m, stringadapter.NewAdapter("p, admin, doc, read\ng, alice, admin, acme only"))
				require.NoError(t, err)
				require.True(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				_, err := newForeign(ownModel(casbinModel(false, false, ""), "p, admin, doc, read\ng, alice, admin, acme only\n"))
				require.ErrorContains(t, err, "policy.csv:2: 3 fields after g, model.conf defines 2")
				_, err = New(t.Context(), files(t, map[string]string{"permissions.csv": "doc.read, read\n", "roles.csv": "p, role:reader, doc.read, acme\n"}), nil)
				require.ErrorContains(t, err, "roles.csv:1: want three fields")
			}},
		{"white space: a deny whose name ends in a blank is a deny to nobody",
			func(t *testing.T) {
				m, err := model.NewModelFromString(casbinModel(false, true, ""))
				require.NoError(t, err)
				e, err := casbin.NewEnforcer(m, stringadapter.NewAdapter("p, alice, doc, read, allow\np, alice , doc, read, deny"))
				require.NoError(t, err)
				require.True(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				_, err := newForeign(ownModel(casbinModel(false, true, ""), "p, alice, doc, read, allow\np, alice , doc, read, deny\n"))
				require.ErrorContains(t, err, "policy.csv:2: field 2: white space around it")
				_, err = ParsePrincipal("user:idp/alice ")
				require.Error(t, err)
			}},
		{"misspelt: a role that nobody defined, an effect that is none",
			func(t *testing.T) {
				e := enforcer(t, casbinModel(false, true, ""), []string{"p", "alice", "doc", "read", "allow"}, []string{"p", "alice", "doc", "read", "Deny"}, []string{"g", "bob", "amdin"})
				require.True(t, enforces(t, e, "alice", "doc", "read"))
			},
			func(t *testing.T) {
				a := house(t, Options{})
				x := reader("user:idp/ana")
				x.Role = Role{"role:raeder"}
				_, err := a.rootEdits(t).Assign(t.Context(), x)
				require.ErrorIs(t, err, ErrUnknown)
				var e Effect
				require.Error(t, e.UnmarshalText([]byte("Deny")))
				x = reader("user:idp/ana")
				x.Effect = 0
				_, err = a.rootEdits(t).Assign(t.Context(), x)
				require.ErrorContains(t, err, "effect")
				_, err = newForeign(ownModel(casbinModel(false, true, ""), "p, alice, doc, read, Deny\n"))
				require.ErrorContains(t, err, `effect "Deny"`)
			}},
		{"ids: one that is used twice or missing hides another",
			nil,
			func(t *testing.T) {
				x, y := reader("user:idp/ana"), reader("user:idp/ben")
				x.ID = uuid.New()
				y.ID = x.ID
				_, err := New(t.Context(), files(t, map[string]string{"permissions.csv": "doc.read, read\n", "roles.csv": "p, role:reader, doc.read\n"}), &Options{Seed: []Authorization{x, y}})
				require.ErrorContains(t, err, "used twice")
			}},
	} {
		t.Run(trap.name, func(t *testing.T) {
			if trap.casbin != nil {
				t.Run("Casbin", trap.casbin)
			}
			t.Run("here", trap.here)
		})
	}
}

// refusesSegment says that no name of any kind may hold any of these.
func refusesSegment(names ...string) func(t *testing.T) {
	return func(t *testing.T) {
		for _, s := range names {
			for kind, err := range map[string]error{
				"issuer": err2(User(s, "x")), "subject": err2(User("x", s)), "service": err2(Service(s)), "team": err2(Team(s)),
				"resource": err2(NewResource("x", s)), "role": err2(ParseRole("role:" + s)), "permission": err2(ParsePermission("doc." + s)),
				"principal": err2(ParsePrincipal("user:x/" + s)), "path": err2(ParseResource("x/" + s)),
			} {
				require.Error(t, err, "%s %.40q", kind, s)
			}
			if s != "" {
				_, err := newForeign(ownModel(aclModel, "p, "+s+", doc, read\n"))
				if len(s) < MaxSegment { // Casbin's rows may be long, its files are not
					require.Error(t, err, "%.40q", s)
				}
			}
			_, err := FromCasbin(enforcer(t, aclModel, []string{"p", s, "doc", "read"}))
			require.ErrorIs(t, err, ErrUnsupported, "%.40q", s)
		}
	}
}

func err2[T any](_ T, err error) error { return err }

// must1 is for what cannot fail in these tests.
func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// counting counts the questions that reach a role manager.
type counting struct {
	rbac.RoleManager
	n *int
}

func (c counting) HasLink(a, b string, domain ...string) (bool, error) {
	if a != b {
		*c.n++
	}
	return c.RoleManager.HasLink(a, b, domain...)
}

// watched looks at what others see while links are made.
type watched struct {
	rbac.RoleManager
	look func()
}

func (w watched) AddLink(a, b string, domain ...string) error {
	w.look()
	return w.RoleManager.AddLink(a, b, domain...)
}
