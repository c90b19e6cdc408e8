package main

import (
	"fmt"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// Where everything is in the tree of resources.
const (
	tenant  = "acme"
	idp     = "demo" // the identity provider of the demonstration, which asks nobody for a password
	crmName = "crm"
)

// persona is somebody whom a visitor of the page may choose to be.
type persona struct {
	ID        string
	Label     string
	About     string
	Principal authz.Principal
}

// nodes are the resources of the demonstration.
type nodes struct {
	all, tenant, crm authz.Resource
	worker           authz.Principal
	mover            authz.Principal // whoever runs migrate, with the keyring in hand; holds nothing but while it runs
	personas         []persona
}

// userNode is where a user's mailbox, sync and secrets are.
func (n nodes) userNode(user string) authz.Resource { return child(n.tenant, "users", user) }

// child is Child for segments that are fixed here or were checked before.
func child(r authz.Resource, segments ...string) authz.Resource {
	c, err := r.Child(segments...)
	if err != nil {
		panic(err)
	}
	return c
}

func newNodes() (n nodes, err error) {
	if n.all, err = authz.NewResource("tenants"); err != nil {
		return n, err
	}
	n.tenant = child(n.all, tenant)
	n.crm = child(n.tenant, crmName)
	if n.worker, err = authz.Service("sync-worker"); err != nil {
		return n, err
	}
	if n.mover, err = authz.Service("migration"); err != nil {
		return n, err
	}
	for _, p := range []persona{
		{ID: "user", Label: "Ana, a user", About: "sees her own mailbox and what the CRM holds for her"},
		{ID: "tenant-admin", Label: "Tara, tenant administrator", About: "runs the tenant: people, connections, credentials; no content"},
		{ID: "support", Label: "Sam, Support", About: "helps when something does not sync; no names, no secrets"},
		{ID: "sales", Label: "Sol, Sales", About: "sees that it works"},
		{ID: "customer-success", Label: "Cleo, Customer Success", About: "sees how well it works"},
		{ID: "custodian", Label: "Kit, custodian of the keys", About: "makes keys new; gives no rights and sees no content"},
		{ID: "administration", Label: "Ada, Administration", About: "manages tenants and roles; no content"},
	} {
		subject := p.ID
		if p.ID == "user" {
			subject = demo.Users()[0].ID
		}
		if p.Principal, err = authz.User(idp, subject); err != nil {
			return n, err
		}
		n.personas = append(n.personas, p)
	}
	return n, nil
}

// persona returns one by id, the first one for an id that nobody has.
func (n nodes) persona(id string) persona {
	for _, p := range n.personas {
		if p.ID == id {
			return p
		}
	}
	return n.personas[0]
}

// seed is who holds what when the installation is new. Staff hold their roles
// through their teams.
func (n nodes) seed() ([]authz.Authorization, []authz.Membership, error) {
	var out []authz.Authorization
	var members []authz.Membership
	give := func(p authz.Principal, role string, on authz.Resource) {
		out = append(out, authz.Authorization{Principal: p, Role: authz.MustRole("role:" + role), Resource: on, Effect: authz.Allow, Reason: "example server"})
	}
	for _, u := range demo.Users() {
		p, err := authz.User(idp, u.ID)
		if err != nil {
			return nil, nil, fmt.Errorf("user %s: %w", u.ID, err)
		}
		give(p, "user", n.userNode(u.ID))
		give(p, "crm-user", n.crm)
	}
	connections, err := authz.Service("connections")
	if err != nil {
		return nil, nil, err
	}
	give(n.worker, "sync-worker", n.tenant)
	give(connections, "connection", n.tenant)
	for _, p := range n.personas {
		switch p.ID {
		case "user":
		case "tenant-admin":
			give(p.Principal, p.ID, n.tenant)
		default:
			team, err := authz.Team(p.ID)
			if err != nil {
				return nil, nil, err
			}
			give(team, p.ID, n.all)
			members = append(members, authz.Membership{Member: p.Principal, Team: team})
		}
	}
	return out, members, nil
}
