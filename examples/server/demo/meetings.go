package demo

import (
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// meeting invents the i-th meeting. Of twelve, four are shared by all three
// mailboxes, three are in the CRM, two are in both, one is private, one takes
// whole days and one repeats, which the CRM does not know.
func (g *generator) meeting(i int) {
	p := g.places[i%len(g.places)]
	users := Users()
	owner := users[(i+i/12)%len(users)]
	r := connectors.NewRecord(connectors.KindAppointment)
	a := r.Appointment
	a.UID = fmt.Sprintf("%04d-%08x@acme.example", i, g.r.Uint32())
	a.Subject = fmt.Sprintf("%s %s-%03d", pick(g, p.topics), pick(g, p.companies).latin, i)
	a.Location = p.city
	if g.r.IntN(3) == 0 {
		a.Description = fmt.Sprintf("%s\n\nRef. %06x", p.note, g.r.Uint32()&0xffffff)
	}
	a.Start = g.today.AddDate(0, 0, g.r.IntN(60)-10).Add(time.Duration(7+g.r.IntN(10)) * time.Hour)
	a.End = a.Start.Add(time.Duration(1+g.r.IntN(4)) * 30 * time.Minute)
	a.Zone = p.zone
	if g.r.IntN(6) == 0 {
		a.Availability = connectors.Free
	}
	switch n := i % 12; {
	case n < 4:
		a.Organizer = connectors.Party{Address: owner.Address, Name: owner.Name}
		for _, u := range users {
			if u != owner {
				a.Attendees = append(a.Attendees, connectors.Party{Address: u.Address, Name: u.Name})
			}
		}
		for _, u := range users {
			g.mailbox(u.ID, r)
		}
	case n < 7:
		a.UID, a.Zone = "", ""
		g.crm(r)
	case n < 9:
		g.mailbox(owner.ID, r.Clone())
		a.UID, a.Zone = "", ""
		g.crm(r)
	case n == 9:
		a.Sensitivity = connectors.Private
		g.mailbox(owner.ID, r)
	case n == 10:
		a.AllDay, a.Zone = true, ""
		a.Start = a.Start.Truncate(24 * time.Hour)
		a.End = a.Start.AddDate(0, 0, 1+g.r.IntN(3))
		g.mailbox(owner.ID, r)
	default:
		a.Recurrence = &connectors.Recurrence{Rules: []string{"FREQ=WEEKLY;COUNT=10"}}
		g.mailbox(owner.ID, r)
	}
}
