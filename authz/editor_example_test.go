package authz_test

import (
	"context"
	"errors"
	"fmt"
	"testing/fstest"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// cashDesk is the policy of the examples: who pays does not check, a clerk may
// ask to pay, and takes the keys in an emergency.
func cashDesk() fstest.MapFS {
	return fstest.MapFS{
		"model.conf": {Data: must(policy.Files().(interface{ ReadFile(string) ([]byte, error) }).ReadFile("model.conf"))},
		"permissions.csv": {Data: []byte(`desk.read, look
desk.pay, pay
desk.check, check what was paid
authz.authorizations.read, see who holds what
authz.authorizations.write, give and take roles
`)},
		"roles.csv": {Data: []byte(`p, role:clerk, desk.read
p, role:payer, desk.pay
p, role:checker, desk.check
p, role:manager, desk.read
p, role:manager, authz.authorizations.*
d, role:manager, role:payer
d, role:manager, role:checker
x, desk.pay, desk.check
e, role:clerk, role:payer
b, role:clerk, role:manager
`)},
	}
}

// database stands for a store that several processes reach.
func database() authz.Store { return authz.NewMemoryStore() }

// shop is what the examples have in common.
type shop struct {
	*authz.Authorizer
	manager, ana authz.Principal
	desk         authz.Resource
	ctx          context.Context
	now          time.Time
}

func newShop(o authz.Options) *shop {
	s := &shop{manager: must(authz.User("idp", "manager")), ana: must(authz.User("idp", "ana")), desk: must(authz.NewResource("shop", "desk")),
		ctx: context.Background(), now: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}
	o.Clock = func() time.Time { return s.now }
	o.Seed = []authz.Authorization{
		{Principal: s.manager, Role: authz.MustRole("role:manager"), Resource: s.desk, Effect: authz.Allow},
		{Principal: s.ana, Role: authz.MustRole("role:clerk"), Resource: s.desk, Effect: authz.Allow},
	}
	s.Authorizer = must(authz.New(s.ctx, cashDesk(), &o))
	return s
}

func (s *shop) edit() authz.Editor {
	return s.Edit(must(s.Authorize(s.ctx, authz.Request{Principal: s.manager, Permission: authz.MustPermission("authz.authorizations.write"), Resource: s.desk})))
}

func (s *shop) can(p authz.Principal, permission string) bool {
	return must(s.Check(s.ctx, authz.Request{Principal: p, Permission: authz.MustPermission(permission), Resource: s.desk})).Allowed
}

func (s *shop) give(p authz.Principal, role string) authz.Authorization {
	return authz.Authorization{Principal: p, Role: authz.MustRole(role), Resource: s.desk, Effect: authz.Allow}
}

// A role is made while the program runs, of what its maker holds, and is used
// like any other.
func ExampleEditor_Define() {
	s := newShop(authz.Options{})
	edit := s.edit()
	auditor := authz.RoleDefinition{Role: authz.MustRole("role:auditor"), Permissions: []authz.Permission{authz.MustPermission("authz.authorizations.read")}, Includes: []authz.Role{authz.MustRole("role:clerk")}}
	fmt.Println(edit.Define(s.ctx, auditor, "for the yearly audit"))
	must(edit.Assign(s.ctx, s.give(s.ana, "role:auditor")))
	fmt.Println(s.can(s.ana, "authz.authorizations.read"))

	auditor.Permissions[0] = authz.MustPermission("desk.pay")
	fmt.Println(edit.Define(s.ctx, auditor, "more"))
	fmt.Println("undefined while held:", edit.Undefine(s.ctx, auditor.Role, "over") == nil)
	// Output:
	// <nil>
	// true
	// authz: role:auditor on shop/desk: user:idp/manager does not hold desk.pay there and cannot give it: denied
	// undefined while held: false
}

// To shorten an Authorization is to take, which whoever could not give it may do.
func ExampleEditor_Expire() {
	s := newShop(authz.Options{})
	edit := s.edit()
	id := must(edit.Assign(s.ctx, s.give(s.ana, "role:payer")))
	fmt.Println(edit.Expire(s.ctx, id, s.now.Add(time.Hour), "only today"))
	fmt.Println(s.can(s.ana, "desk.pay"))
	s.now = s.now.Add(time.Hour)
	fmt.Println(s.can(s.ana, "desk.pay"))
	// Output:
	// <nil>
	// true
	// false
}

// A preview passes the checks of the real thing, changes nothing, and says what
// would be gained and lost.
func ExampleEditor_Preview() {
	s := newShop(authz.Options{})
	edit := s.edit()
	what := authz.Edits{Assign: []authz.Authorization{s.give(s.ana, "role:payer")}}
	recorded := authz.Request{Principal: s.ana, Permission: authz.MustPermission("desk.pay"), Resource: s.desk}
	i := must(edit.Preview(s.ctx, what, recorded))
	fmt.Println("gained", i.Gained, "lost", i.Lost)
	for _, x := range i.Examples {
		fmt.Println(x.Principal, x.Permission, x.Resource, x.Gained)
	}
	for _, f := range i.Flips {
		fmt.Println(f.Request.Permission, f.Before.Allowed, "->", f.After.Allowed)
	}
	fmt.Println(s.can(s.ana, "desk.pay"))
	fmt.Println(must(edit.Commit(s.ctx, what, "as shown")).Revision, s.can(s.ana, "desk.pay"))
	// Output:
	// gained 1 lost 0
	// user:idp/ana desk.pay shop/desk true
	// desk.pay false -> true
	// false
	// 2 true
}

// A bad day is turned around by one new change, under the same checks.
func ExampleEditor_Rollback() {
	s := newShop(authz.Options{})
	edit := s.edit()
	good := s.Revision()
	must(edit.Assign(s.ctx, s.give(s.ana, "role:payer")))
	must(edit.Assign(s.ctx, s.give(must(authz.User("idp", "ben")), "role:checker")))
	fmt.Println(edit.Rollback(s.ctx, good, "the wrong shop"), s.can(s.ana, "desk.pay"))

	g := must(s.Authorize(s.ctx, authz.Request{Principal: s.manager, Permission: authz.MustPermission("authz.authorizations.read"), Resource: s.desk}))
	for c, err := range s.History(s.ctx, g, good) {
		fmt.Println(c.Revision, c.Author, len(c.Add), len(c.Remove), c.Reason, err)
	}
	// Output:
	// <nil> false
	// 2 user:idp/manager 1 0  <nil>
	// 3 user:idp/manager 1 0  <nil>
	// 4 user:idp/manager 0 2 the wrong shop <nil>
}

// A second person lets somebody have a role for a while.
func ExampleEditor_Approve() {
	s := newShop(authz.Options{})
	id := must(s.Ask(s.ctx, authz.Elevation{Principal: s.ana, Role: authz.MustRole("role:payer"), Resource: s.desk, For: time.Hour, Reason: "the payer is on holiday"}))
	fmt.Println("asked:", s.can(s.ana, "desk.pay"))
	fmt.Println(s.edit().Approve(s.ctx, id, "until one"))
	fmt.Println("approved:", s.can(s.ana, "desk.pay"))
	s.now = s.now.Add(time.Hour)
	fmt.Println("an hour later:", s.can(s.ana, "desk.pay"))
	// Output:
	// asked: false
	// <nil>
	// approved: true
	// an hour later: false
}

// In an emergency nobody waits, and everybody hears of it.
func ExampleAuthorizer_BreakGlass() {
	alarm := make(chan authz.AuditRecord)
	s := newShop(authz.Options{Alarm: func(r authz.AuditRecord) { alarm <- r }})
	id := must(s.BreakGlass(s.ctx, authz.Elevation{Principal: s.ana, Role: authz.MustRole("role:manager"), Resource: s.desk, For: 30 * time.Minute, Reason: "the manager is ill"}))
	fmt.Println(s.can(s.ana, "authz.authorizations.write"))
	fmt.Println((<-alarm).Reason[:60])

	s.now = s.now.Add(30 * time.Minute)
	g := must(s.Authorize(s.ctx, authz.Request{Principal: s.manager, Permission: authz.MustPermission("authz.authorizations.read"), Resource: s.desk}))
	fmt.Println("over:", s.can(s.ana, "authz.authorizations.write"))
	for _, x := range must(s.Elevations(g)) {
		fmt.Println("to be reviewed:", x.Principal, x.Role, x.Reason)
	}
	fmt.Println(s.edit().Review(s.ctx, id, "it was right"), len(must(s.Elevations(g))))
	// Output:
	// true
	// break-glass: user:idp/ana holds role:clerk on shop/desk; ass
	// over: false
	// to be reviewed: user:idp/ana role:manager break-glass: the manager is ill
	// <nil> 0
}

// Two people edit what both have read: the second looks again.
func ExampleEditor_At() {
	s := newShop(authz.Options{})
	first, second := s.edit(), s.edit()
	seen := s.Revision()
	_, err := first.At(seen).Assign(s.ctx, s.give(s.ana, "role:payer"))
	fmt.Println(err, first.Last())
	_, err = second.At(seen).Assign(s.ctx, s.give(must(authz.User("idp", "ben")), "role:payer"))
	fmt.Println(err)
	// Output:
	// <nil> 2
	// authz: change at revision 1, the current one is 2: changed by someone else meanwhile
}

// Nobody comes to hold both of what an x row of the policy keeps apart, by
// whatever way.
func ExampleEditor_Join_separationOfDuties() {
	s := newShop(authz.Options{})
	edit := s.edit()
	checkers := must(authz.Team("checkers"))
	must(edit.Assign(s.ctx, s.give(checkers, "role:checker")))
	must(edit.Assign(s.ctx, s.give(s.ana, "role:payer")))
	err := edit.Join(s.ctx, authz.Membership{Member: s.ana, Team: checkers}, "helps out")
	fmt.Println(errors.Is(err, authz.ErrSeparation), errors.Is(err, authz.ErrDenied))
	fmt.Println(err.Error()[:90])
	// Output:
	// true true
	// authz: user:idp/ana would hold both of x, desk.check, desk.pay on shop/desk: conflicts wit
}

// Two processes share a store. One is told of the other's changes, or looks for
// itself when a request demands to know them.
func ExampleAuthorizer_Follow() {
	ctx, stop := context.WithCancel(context.Background())
	wake := make(chan struct{}, 1)
	store := database()
	here := newShop(authz.Options{Store: store, Announce: func(uint64) {
		select {
		case wake <- struct{}{}:
		default: // woken already
		}
	}})
	there := must(authz.New(ctx, cashDesk(), &authz.Options{Store: store}))
	done := make(chan error)
	go func() { done <- there.Follow(ctx, wake, time.Minute) }()

	edit := here.edit()
	must(edit.Assign(ctx, here.give(here.ana, "role:payer")))
	d, err := there.Check(ctx, authz.Request{Principal: here.ana, Permission: authz.MustPermission("desk.pay"), Resource: here.desk, AtLeast: edit.Last()})
	fmt.Println(d.Allowed, d.Revision, err)
	_, err = there.Check(ctx, authz.Request{Principal: here.ana, Permission: authz.MustPermission("desk.pay"), Resource: here.desk, AtLeast: 99})
	fmt.Println(errors.Is(err, authz.ErrStale))
	stop()
	fmt.Println(errors.Is(<-done, context.Canceled))
	// Output:
	// true 2 <nil>
	// true
	// true
}
