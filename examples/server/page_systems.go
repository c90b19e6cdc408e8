package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// The pages of the two systems show and change contacts through connections
// that are opened as the persona: what it may not read or write there, it cannot
// here.

type systemsData struct{ Systems []systemLink }

type systemLink struct {
	ID, Label string
	Refused   *refusal
}

// systems lists the embedded systems and which of them the persona may open.
func (p *page) systems(w http.ResponseWriter, r *http.Request) {
	var d systemsData
	add := func(id, label string) {
		ep, ok := p.endpoint(id)
		if !ok {
			return
		}
		area := "mailbox"
		if id == crmName {
			area = "crm"
		}
		d.Systems = append(d.Systems, systemLink{id, label, p.may(r, area+".items.read", child(ep.Resource, connectors.KindContact.String()))})
	}
	add(crmName, "The CRM")
	for _, m := range p.h.mailboxes {
		add(m.ID, "Mailbox "+m.ID)
	}
	p.show(w, r, http.StatusOK, "page_systems.html", "The two systems", false, d)
}

func (p *page) endpoint(system string) (connectors.Endpoint, bool) {
	if m := p.h.mailbox(system); m != nil {
		return m.mail, true
	}
	if system == crmName && len(p.h.mailboxes) > 0 {
		return p.h.mailboxes[0].crm, true
	}
	return connectors.Endpoint{}, false
}

func (p *page) open(r *http.Request) (*connectors.Conn, error) {
	ep, ok := p.endpoint(r.PathValue("system"))
	if !ok {
		return nil, errNoSystem
	}
	return p.h.hub.Open(r.Context(), p.persona(r).Principal, ep)
}

var errNoSystem = errors.New("there is no such system")

type contactsData struct {
	System string
	Rows   []contactRow
	Broken int // contacts that could not be read
	More   bool
}

type contactRow struct{ ID, Name, Company, Title, Email string }

const maxContacts = 1000

// contacts lists the contacts of a system.
func (p *page) contacts(w http.ResponseWriter, r *http.Request) {
	c, err := p.open(r)
	if errors.Is(err, errNoSystem) {
		http.NotFound(w, r)
		return
	}
	d := contactsData{System: r.PathValue("system")}
	if err == nil {
		err = d.read(r.Context(), c)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "page_contacts.html", "Contacts of "+systemName(d.System), false, d)
}

func systemName(id string) string {
	if id == crmName {
		return "the CRM"
	}
	return "mailbox " + id
}

func (d *contactsData) read(ctx context.Context, c *connectors.Conn) error {
	add := func(rec *connectors.Record) {
		x := rec.Contact
		d.Rows = append(d.Rows, contactRow{rec.ID, fullName(x), x.Company, x.JobTitle, x.Email})
	}
	for cursor := ""; ; {
		page, err := c.Changes(ctx, connectors.KindContact, cursor, 200)
		if err != nil {
			return err
		}
		var ids []string
		for _, ch := range page.Changes {
			switch {
			case ch.Gone:
			case ch.Record != nil:
				add(ch.Record)
			default:
				ids = append(ids, ch.ID)
			}
		}
		rs, err := c.Get(ctx, connectors.KindContact, ids)
		if err != nil {
			return err
		}
		for _, x := range rs {
			if x.Record != nil {
				add(x.Record)
			} else if !errors.Is(x.Err, connectors.ErrNotFound) {
				d.Broken++
			}
		}
		if d.More = page.More && len(d.Rows) >= maxContacts; !page.More || d.More {
			break
		}
		cursor = page.Cursor
	}
	slices.SortStableFunc(d.Rows, func(a, b contactRow) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func fullName(c *connectors.Contact) string {
	if n := strings.TrimSpace(c.GivenName + " " + c.FamilyName); n != "" {
		return n
	}
	if c.Company != "" {
		return c.Company
	}
	return "no name"
}

type contactData struct {
	System, ID, Rev, Name string
	Fields                []contactField
	Saved                 bool
	Problem               string
}

type contactField struct {
	Name, Label, Value, Type, Autocomplete string
}

// editable are the fields of the form, which both systems keep.
func editable() []contactField {
	return []contactField{
		{Name: "given_name", Label: "Given name"}, {Name: "family_name", Label: "Family name"}, {Name: "company", Label: "Company"},
		{Name: "job_title", Label: "Job title"}, {Name: "email", Label: "E-mail", Type: "email"}, {Name: "phone", Label: "Telephone", Type: "tel"},
		{Name: "mobile", Label: "Mobile", Type: "tel"}, {Name: "city", Label: "City"},
	}
}

// contact shows the form of one contact.
func (p *page) contact(w http.ResponseWriter, r *http.Request) {
	_, rec, ok := p.find(w, r)
	if !ok {
		return
	}
	d := formOf(r, rec)
	d.Saved = r.URL.Query().Get("saved") == "1"
	p.show(w, r, http.StatusOK, "page_contact.html", "Contact", false, d)
}

// find reads the contact that a request names, as the persona.
func (p *page) find(w http.ResponseWriter, r *http.Request) (*connectors.Conn, *connectors.Record, bool) {
	c, err := p.open(r)
	var rs []connectors.Result
	if err == nil {
		rs, err = c.Get(r.Context(), connectors.KindContact, []string{r.PathValue("id")})
	}
	if err == nil {
		err = rs[0].Err
	}
	switch {
	case errors.Is(err, errNoSystem), errors.Is(err, connectors.ErrNotFound):
		http.NotFound(w, r)
	case err != nil:
		p.problem(w, r, err)
	default:
		return c, rs[0].Record, true
	}
	return nil, nil, false
}

func formOf(r *http.Request, rec *connectors.Record) contactData {
	d := contactData{System: r.PathValue("system"), ID: rec.ID, Rev: rec.Rev, Name: fullName(rec.Contact), Fields: editable()}
	for i, f := range d.Fields {
		d.Fields[i].Value = rec.Text(connectors.Field(f.Name))
		if f.Type == "" {
			d.Fields[i].Type = "text"
		}
	}
	return d
}

// saveContact changes what the visitor changed, if nobody else did meanwhile.
func (p *page) saveContact(w http.ResponseWriter, r *http.Request) {
	c, rec, ok := p.find(w, r)
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form could not be read.", http.StatusBadRequest)
		return
	}
	e := connectors.Edit{ID: rec.ID, Rev: r.PostForm.Get("rev"), Record: rec.Clone()}
	for _, f := range editable() {
		field := connectors.Field(f.Name)
		if !r.PostForm.Has(f.Name) {
			continue
		}
		e.Record.SetText(field, r.PostForm.Get(f.Name))
		if !connectors.Same(rec, e.Record, field) {
			e.Fields = append(e.Fields, field)
		}
	}
	if len(e.Fields) > 0 {
		ws, err := c.Update(r.Context(), connectors.KindContact, []connectors.Edit{e})
		if err == nil {
			err = ws[0].Err
		}
		var refused *connectors.Error
		switch {
		case err == nil:
		case errors.Is(err, connectors.ErrPrecondition):
			d := formOf(r, rec)
			d.Problem = "Somebody else has changed this contact meanwhile. The form now shows what is there; nothing of yours was saved."
			p.show(w, r, http.StatusConflict, "page_contact.html", "Contact", false, d)
			return
		case errors.As(err, &refused) && errors.Is(err, connectors.ErrInvalid):
			d := formOf(r, e.Record)
			d.Problem = fmt.Sprintf("The system does not take this: %s %s. Nothing was saved.", strings.ReplaceAll(string(refused.Field), "_", " "), refused.Detail)
			p.show(w, r, http.StatusUnprocessableEntity, "page_contact.html", "Contact", false, d)
			return
		default:
			p.problem(w, r, err)
			return
		}
	}
	http.Redirect(w, r, r.URL.EscapedPath()+"?saved=1", http.StatusSeeOther)
}
