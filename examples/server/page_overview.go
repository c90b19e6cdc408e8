package main

import (
	"fmt"
	"net/http"

	"github.com/lockkeeper/lockkeeper/connectors"
)

type overviewData struct {
	Sentence string
	Rows     []overviewRow
	Hidden   int      // mailboxes that the persona may not see
	Refused  *refusal // of the first hidden one
}

type overviewRow struct {
	ID, Name     string
	Line         line
	Contacts     lkKind
	Appointments lkKind
	Progress     string
	Issues       int
}

// lkKind is what the last round counted of one kind.
type lkKind struct{ Links, Issues int }

// overview shows the mailboxes that the persona may see.
func (p *page) overview(w http.ResponseWriter, r *http.Request) {
	var d overviewData
	good, waitingFor := 0, 0
	for _, m := range p.h.mailboxes {
		if err := p.ask(r, "sync.status.read", m.sync); err != nil {
			d.Hidden++
			if d.Refused == nil {
				d.Refused = refusalOf(err)
			}
			continue
		}
		row := p.row(m)
		if row.Line.State == inSync || row.Line.State == running && !row.Line.Last.IsZero() {
			good++
		}
		if row.Line.Last.IsZero() {
			waitingFor++
		}
		d.Rows = append(d.Rows, row)
	}
	n := len(d.Rows)
	switch {
	case n == 0:
		d.Sentence = "There is no mailbox that you may see."
	case good == n:
		d.Sentence = fmt.Sprintf("%d of %s in sync.", good, count(n, "mailbox", "mailboxes"))
	case waitingFor > 0:
		d.Sentence = fmt.Sprintf("%d of %s in sync; the first round is under way.", good, count(n, "mailbox", "mailboxes"))
	default:
		d.Sentence = fmt.Sprintf("%d of %s in sync; the others say why below.", good, count(n, "mailbox", "mailboxes"))
	}
	p.show(w, r, http.StatusOK, "page_overview.html", "Mailboxes", true, d)
}

func (p *page) row(m *mailbox) overviewRow {
	l := p.h.board.read(m.ID)
	row := overviewRow{ID: m.ID, Name: m.ID, Line: l}
	of := func(k connectors.Kind) lkKind {
		v := kind(l.Report, k)
		return lkKind{v.Links, v.Issues}
	}
	row.Contacts, row.Appointments = of(connectors.KindContact), of(connectors.KindAppointment)
	row.Issues = row.Contacts.Issues + row.Appointments.Issues
	if e := l.Event; l.State == running && e.Phase != "" {
		row.Progress = fmt.Sprintf("%s %s, %d of ", e.Phase, e.Kind, e.Done)
		if e.Total < 0 {
			row.Progress += "a number not known yet"
		} else {
			row.Progress += fmt.Sprint(e.Total)
		}
	}
	return row
}
