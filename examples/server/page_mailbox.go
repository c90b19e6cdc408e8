package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

type mailboxData struct {
	Row  overviewRow
	Plan struct {
		Refused *refusal
		Counts  []string
		Words   []string
		More    int
		At      time.Time
	}
	Issues struct {
		Refused *refusal
		Problem string
		List    []lksync.Issue
		Names   bool
		NoNames *refusal // why there are none
		More    bool
	}
	Run *refusal // why the persona may not start a round; nil: it may
}

const (
	planWords  = 60
	issueLimit = 100
)

// mailbox shows one mailbox: how it is, what the last round did, and what a
// person must see. Each part is asked for by itself.
func (p *page) mailbox(w http.ResponseWriter, r *http.Request) {
	m := p.h.mailbox(r.PathValue("user"))
	if m == nil {
		http.NotFound(w, r)
		return
	}
	if err := p.ask(r, "sync.status.read", m.sync); err != nil {
		p.problem(w, r, err)
		return
	}
	var d mailboxData
	d.Row = p.row(m)
	if err := p.ask(r, "sync.plan.read", m.sync); err != nil {
		d.Plan.Refused = refusalOf(err)
	} else {
		last := d.Row.Line.Changed
		d.Plan.At = last.Started
		for i, a := range last.Plan.Actions {
			if i == planWords {
				d.Plan.More = len(last.Plan.Actions) - i
				break
			}
			d.Plan.Words = append(d.Plan.Words, a.String())
		}
		d.Plan.Counts = inWords(last)
	}
	p.issues(r, m, &d)
	d.Run = p.may(r, "sync.run", m.sync)
	p.show(w, r, http.StatusOK, "page_mailbox.html", "Mailbox "+m.ID, true, d)
}

// issues asks the engine as the persona. The names of failing records come only
// to those who may see them.
func (p *page) issues(r *http.Request, m *mailbox, d *mailboxData) {
	pair, err := p.h.pairOf(r.Context(), m)
	if err != nil {
		d.Issues.Problem = err.Error()
		return
	}
	pair.OnBehalfOf = authz.Principal{} // the persona asks for itself
	d.Issues.NoNames = p.may(r, "sync.issues.names.read", m.sync)
	d.Issues.Names = d.Issues.NoNames == nil
	q := lksync.IssueQuery{Limit: issueLimit, Names: d.Issues.Names}
	for try := 0; ; try++ {
		list, err := p.h.engine.Issues(r.Context(), p.persona(r).Principal, pair, q)
		switch {
		case err == nil:
			d.Issues.List, d.Issues.More = list.Issues, list.Next != 0
		case errors.Is(err, lksync.ErrBusy) && try < 20:
			// A round holds the state for a moment.
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-r.Context().Done():
			}
		case errors.Is(err, lksync.ErrBusy):
			d.Issues.Problem = "A round is under way; the issues are shown when it has ended. Reload the page in a moment."
		case errors.Is(err, authz.ErrDenied):
			d.Issues.Refused = refusalOf(err)
		default:
			d.Issues.Problem = err.Error()
		}
		return
	}
}

// may says why a persona may not do something, nil if it may. Nothing is handed
// over, so nothing is recorded.
func (p *page) may(r *http.Request, permission string, on authz.Resource) *refusal {
	req := authz.Request{Principal: p.persona(r).Principal, Permission: authz.MustPermission(permission), Resource: on}
	dec, err := p.h.az.Check(r.Context(), req)
	if err == nil && dec.Allowed {
		return nil
	}
	return &refusal{permission, on.String(), dec.Reason()}
}

// runNow asks for a round at once.
func (p *page) runNow(w http.ResponseWriter, r *http.Request) {
	m := p.h.mailbox(r.PathValue("user"))
	if m == nil {
		http.NotFound(w, r)
		return
	}
	err := p.ask(r, "sync.run", m.sync)
	if err == nil {
		err = p.j.want(r.Context(), m.ID)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	http.Redirect(w, r, "/mailboxes/"+m.ID, http.StatusSeeOther)
}

// inWords says what a round did, by kind.
func inWords(r lksync.Report) []string {
	var out []string
	for _, k := range connectors.Kinds() {
		v := kind(r, k)
		s := ""
		add := func(n int, what string) {
			if n == 0 {
				return
			}
			if s != "" {
				s += ", "
			}
			s += fmt.Sprintf("%d %s", n, what)
		}
		add(v.Linked, "found on both sides and linked")
		add(v.Created[0], "created in the CRM")
		add(v.Created[1], "created in the mailbox")
		add(v.Updated[0], "updated in the CRM")
		add(v.Updated[1], "updated in the mailbox")
		add(v.Deleted[0], "deleted in the CRM")
		add(v.Deleted[1], "deleted in the mailbox")
		add(v.Unlinked, "left alone after the partner went")
		add(v.Conflicts, "in conflict")
		if s != "" {
			out = append(out, k.String()+": "+s)
		}
	}
	return out
}
