package profile

import (
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// Rules returns the rules of a pair for the engine: those of the kinds that are
// enabled and that both sides offer, in the order in which they are synced. A kind
// that the mailbox does not know is kept there as the one that is nearest: visits and
// phone calls among appointments, customers, leads and accounts among contacts. The
// mark tells them apart, so where a kind needs none, or the mailbox shows none to
// what comes from the CRM, it is left alone on both sides, as is one without a rule.
func (p *Profile) Rules(left, right *connectors.Conn) []lksync.Rule {
	out := []lksync.Rule{}
	guests := map[connectors.Kind][]*Rule{} // by the kind that hosts them
	for _, k := range p.Kinds() {
		_, l := left.Capability(k)
		host := p.host(k, right)
		if !l || host == 0 {
			continue
		}
		r := p.rules[k].engine()
		if host != k {
			r.Mailbox = host
			guests[host] = append(guests[host], p.rules[k])
		}
		out = append(out, r)
	}
	for i := range out {
		host := out[i].Mailbox
		if host == 0 {
			host = out[i].Kind
		}
		out[i].Policy.Wants = p.rules[out[i].Kind].among(guests[host])
	}
	return out
}

// host is the kind under which a mailbox keeps records of a kind, 0 if it does not.
func (p *Profile) host(k connectors.Kind, right *connectors.Conn) connectors.Kind {
	if _, ok := right.Capability(k); ok {
		return k
	}
	host := connectors.KindContact
	switch k.Shape() {
	case connectors.ShapeAppointment:
		host = connectors.KindAppointment
	case connectors.ShapeContact, connectors.ShapeAccount:
	default:
		return 0
	}
	c, ok := right.Capability(host)
	l, marks := c.Fields[connectors.FieldCategories]
	shown := marks && !l.ReadOnly && p.rules[k].Mark() != ""
	if !ok || !p.rules[k].spec.Marked.Needed || !shown && p.rules[k].direction != ToCRM {
		return 0
	}
	return host
}

// among is verdict for a mailbox where several kinds are kept as one: an item that is
// marked for one of those is no other's, and if it is for several, the first's.
func (r *Rule) among(guests []*Rule) func(lksync.Side, *connectors.Record, time.Time) lksync.Verdict {
	if len(guests) == 0 {
		return r.verdict
	}
	return func(on lksync.Side, rec *connectors.Record, now time.Time) lksync.Verdict {
		for _, g := range guests {
			if g == r || on != lksync.Right {
				break
			}
			if g.marked(rec) {
				return lksync.Verdict{Out: true, Why: "marked as one of the " + g.kind.String(), Unmarked: true}
			}
		}
		return r.verdict(on, rec, now)
	}
}

// engine is a rule as the engine takes it.
func (r *Rule) engine() lksync.Rule {
	p := r.profile
	out := lksync.Rule{Kind: r.kind, ReadOnly: r.spec.ReadOnly, Cancels: r.spec.Cancels, AttendeeDeletes: r.spec.AttendeeDeletes,
		WindowDeletes: r.spec.WindowDeletes, ToOwner: r.spec.Calendar == OwnersCalendar,
		Direction: map[Direction]lksync.Direction{Both: lksync.BothWays, ToCRM: lksync.ToLeft, ToMailbox: lksync.ToRight}[r.direction],
		Deletes:   map[Deletes]lksync.Deletes{Follow: lksync.Propagate, Unlink: lksync.Unlink}[r.spec.Deletes],
		Winner:    map[Winner]lksync.Winner{Ask: lksync.Nobody, CRMWins: lksync.LeftWins, MailboxWins: lksync.RightWins}[r.spec.Winner],
		Private:   map[Private]lksync.Privacy{Skip: lksync.PrivateStays, Block: lksync.PrivateBlock}[p.private]}
	out.Policy = &lksync.Policy{Version: p.version, Slides: r.spec.Windowed && p.ahead != openDays,
		Wants: r.verdict, Mark: r.Mark(), Among: p.matches,
		Carries: func(to lksync.Side, of []connectors.Field) []connectors.Field { return r.Fields(area(to), of) },
		Fills: func(to lksync.Side, f connectors.Field) bool {
			x := r.fields[f]
			return x != nil && x.standard[area(to)] != ""
		},
		Says: func(to lksync.Side, rec *connectors.Record, isNew bool, now time.Time) (*connectors.Record, error) {
			v, err := r.Mapped(rec, area(to), isNew, now)
			if err != nil {
				e := &connectors.Error{Op: "compute", Kind: r.kind, ID: rec.ID, Class: connectors.ErrInvalid, Detail: "its expression could not be computed"}
				if f, ok := err.(*FieldError); ok {
					e.Field = f.Field
				}
				return nil, e
			}
			return v, nil
		}}
	if r.spec.Attachments.Carry {
		out.Policy.Files = r.Attachment
	}
	if s := r.spec.Reminder.Set; s != RemindKeep && s != "" {
		out.Policy.Remind = r.Remind
	}
	if r.kind == connectors.KindMail {
		out.Policy.Save = r.save
	}
	if c := r.spec.Attendees.Create; c != NoPeople && c != "" {
		out.Policy.Guests = r.guests
		out.Policy.Among = append(slices.Clone(p.matches), connectors.KindContact, connectors.KindIndividualCustomer, connectors.KindLead)
		slices.Sort(out.Policy.Among)
		out.Policy.Among = slices.Compact(out.Policy.Among)
		out.Policy.Company = companyByDomain
	}
	if r.kind == connectors.KindContact || r.kind == connectors.KindLead {
		out.Policy.Company = r.company
	}
	return out
}

func area(s lksync.Side) connectors.Area {
	if s == lksync.Left {
		return connectors.CRM
	}
	return connectors.Mailbox
}

// verdict is Wants for the engine, which itself sees to what is private.
func (r *Rule) verdict(on lksync.Side, rec *connectors.Record, now time.Time) lksync.Verdict {
	v := r.Wants(area(on), rec, now)
	if v.Wanted || v.Reason == IsPrivate && rec.Appointment != nil {
		return lksync.Verdict{}
	}
	return lksync.Verdict{Out: true, Why: string(v.Reason), Blocked: v.Reason == Blocklisted, Unmarked: v.Reason == NotMarked}
}

// save is SaveMail for the engine.
func (r *Rule) save(rec *connectors.Record, c lksync.Correspondence) lksync.Saving {
	d := r.profile.SaveMail(rec, Correspondence{Known: c.Known, Saved: c.Saved})
	out := lksync.Saving{Save: d.Save, Why: string(d.Why)}
	if d.Link != (connectors.Ref{}) {
		out.Refs = append(out.Refs, connectors.Ref{Role: connectors.RoleContact, Kind: d.Link.Kind, ID: d.Link.ID})
	}
	for _, o := range d.Others {
		out.Refs = append(out.Refs, connectors.Ref{Role: connectors.RoleParticipant, Kind: o.Kind, ID: o.ID})
	}
	return out
}

// guests is NewAttendees for the engine.
func (r *Rule) guests(rec *connectors.Record, known func(string) bool) []lksync.Guest {
	var out []lksync.Guest
	for _, n := range r.NewAttendees(rec, known) {
		out = append(out, lksync.Guest{Record: n.Record, Company: n.Company})
	}
	return out
}

// company is MatchAccount for the engine.
func (r *Rule) company(name string, hits []connectors.Hit) lksync.CompanyChoice {
	m := r.MatchAccount(name, candidates(hits))
	if !m.Create {
		return lksync.CompanyChoice{ID: m.ID}
	}
	return lksync.CompanyChoice{Create: account(m.Name, m.Country)}
}

// companyByDomain finds the account of a guest: the one of exactly that name, or
// else a new one.
func companyByDomain(name string, hits []connectors.Hit) lksync.CompanyChoice {
	r := &Rule{spec: kinds{Account: accountSpec{Match: []Match{Exact}, Otherwise: CreateAccount}}}
	return r.company(name, hits)
}

func account(name, country string) *connectors.Record {
	a := connectors.NewRecord(connectors.KindAccount)
	a.SetText(connectors.FieldName, name)
	a.SetText(connectors.FieldCountry, country)
	return a
}

func candidates(hits []connectors.Hit) []Candidate {
	out := make([]Candidate, len(hits))
	for i, h := range hits {
		out[i] = Candidate{ID: h.ID, Name: h.Text, Created: h.Created}
	}
	return out
}
