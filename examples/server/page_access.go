package main

import (
	"net/http"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

type accessData struct {
	Who     persona
	People  []persona
	Columns []column
	Groups  []group
	Why     *why
}

// Width is the number of columns of the table.
func (d accessData) Width() int { return len(d.Columns) + 1 }

// column is a place in the tree on which permissions are asked.
type column struct {
	ID, Label string
	On        authz.Resource
	Refused   *refusal // the persona may not ask about it
}

type group struct {
	Area string
	Rows []permissionRow
}

type permissionRow struct {
	Permission, About string
	Cells             []cell
}

type cell struct {
	Known   bool // may be shown
	Allowed bool
	Link    string // to the reason
	Label   string
}

// why is the answer for one cell.
type why struct {
	Who, Permission, On string
	Allowed             bool
	Reason              string
	Nearest             []string
}

// access shows who may do what. A column is shown to those who may ask for
// decisions on its resource, and every cell is the authorizer's own answer.
func (p *page) access(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	d := accessData{Who: p.persona(r), People: p.h.personas}
	if q.Has("who") {
		d.Who = p.h.persona(q.Get("who"))
	}
	d.Columns = p.columns()
	for i, c := range d.Columns {
		if err := p.ask(r, "authz.decisions.explain", c.On); err != nil {
			d.Columns[i].Refused = refusalOf(err)
		}
	}
	for perm, about := range p.h.az.Permissions() {
		area, _, _ := strings.Cut(perm.String(), ".")
		if len(d.Groups) == 0 || d.Groups[len(d.Groups)-1].Area != area {
			d.Groups = append(d.Groups, group{Area: area})
		}
		row := permissionRow{Permission: perm.String(), About: about}
		for _, c := range d.Columns {
			x := cell{Known: c.Refused == nil}
			if x.Known {
				dec, err := p.h.az.Check(r.Context(), authz.Request{Principal: d.Who.Principal, Permission: perm, Resource: c.On})
				x.Allowed = err == nil && dec.Allowed
				x.Link = "/access?who=" + d.Who.ID + "&permission=" + perm.String() + "&on=" + c.ID + "#why"
				x.Label = perm.String() + " on " + c.Label
				if q.Get("permission") == perm.String() && q.Get("on") == c.ID {
					d.Why = p.explain(r, d.Who, perm, c)
				}
			}
			row.Cells = append(row.Cells, x)
		}
		g := &d.Groups[len(d.Groups)-1]
		g.Rows = append(g.Rows, row)
	}
	p.show(w, r, http.StatusOK, "page_access.html", "Who may do what", false, d)
}

func (p *page) explain(r *http.Request, who persona, perm authz.Permission, c column) *why {
	x, err := p.h.az.Explain(r.Context(), authz.Request{Principal: who.Principal, Permission: perm, Resource: c.On})
	if err != nil {
		return &why{Who: who.Label, Permission: perm.String(), On: c.On.String(), Reason: x.Reason}
	}
	return &why{who.Label, perm.String(), c.On.String(), x.Decision.Allowed, x.Reason, x.Nearest}
}

func (p *page) columns() []column {
	ana, bo := p.h.userNode(demo.Users()[0].ID), p.h.userNode(demo.Users()[1].ID)
	return []column{
		{ID: "tenant", Label: "the tenant", On: p.h.tenant},
		{ID: "crm", Label: "CRM contacts", On: child(p.h.crm, "contacts")},
		{ID: "ana-sync", Label: "Ana’s sync", On: child(ana, "sync")},
		{ID: "ana-mailbox", Label: "Ana’s contacts", On: child(ana, "mailbox", "contacts")},
		{ID: "ana-secret", Label: "Ana’s password", On: child(ana, "secrets", "mailbox")},
		{ID: "bo-mailbox", Label: "Bo’s contacts", On: child(bo, "mailbox", "contacts")},
	}
}
