package profile

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// NewPerson is a record to create for an attendee whom the CRM does not know.
type NewPerson struct {
	Record  *connectors.Record // a contact or a lead
	Company string             // name of the account it belongs to, "" for none
}

// MaxNewPeople is how many records one meeting makes at most: a meeting of a
// whole town makes none for the rest.
const MaxNewPeople = 50

// NewAttendees lists the records to create for those who take part in an event
// and whom the CRM does not know. Nobody blocked, nobody of the organisation, and
// nobody of a private event is among them. The function tells who is known; nil
// knows nobody.
func (r *Rule) NewAttendees(rec *connectors.Record, known func(address string) bool) []NewPerson {
	if r == nil || rec.Appointment == nil || rec.Private() || r.spec.Attendees.Create == NoPeople || r.spec.Attendees.Create == "" {
		return nil
	}
	kind := connectors.KindContact
	if r.spec.Attendees.Create == NewLeads {
		kind = connectors.KindLead
	}
	var out []NewPerson
	seen := map[string]bool{}
	for _, x := range append([]connectors.Party{rec.Appointment.Organizer}, openly(rec.Appointment).Invited()...) {
		a := normalAddress(x.Address)
		if a == "" || seen[a] || r.profile.Blocked(a) || r.profile.Internal(a) || known != nil && known(a) {
			continue
		}
		seen[a] = true
		if len(out) == MaxNewPeople {
			break
		}
		p := NewPerson{Record: connectors.NewRecord(kind)}
		p.Record.SetText(connectors.FieldEmail, x.Address)
		given, family := personName(x.Name, a)
		p.Record.SetText(connectors.FieldGivenName, given)
		p.Record.SetText(connectors.FieldFamilyName, family)
		if r.spec.Attendees.Account == DomainCompany && !r.profile.free.has(a) {
			p.Company = companyOf(domainOf(a))
			p.Record.SetText(connectors.FieldCompany, p.Company)
		}
		out = append(out, p)
	}
	return out
}

// openly is a series without its private occurrences.
func openly(a *connectors.Appointment) *connectors.Appointment {
	if a.Recurrence == nil {
		return a
	}
	c := *a
	r := *a.Recurrence
	r.Exceptions = slices.DeleteFunc(slices.Clone(r.Exceptions), func(o connectors.Occurrence) bool {
		return o.Appointment != nil && o.Appointment.Sensitivity != connectors.Public
	})
	c.Recurrence = &r
	return &c
}

// personName divides a display name; without one the address stands in.
func personName(name, address string) (given, family string) {
	name = strings.TrimSpace(strings.Trim(strings.TrimSpace(name), `"'`))
	if name == "" || strings.Contains(name, "@") {
		name, _, _ = strings.Cut(address, "@")
		name = strings.Join(strings.FieldsFunc(name, func(c rune) bool { return c == '.' || c == '_' || c == '+' }), " ")
	}
	if f, g, ok := strings.Cut(name, ","); ok && strings.TrimSpace(f) != "" {
		return strings.TrimSpace(g), strings.TrimSpace(f)
	}
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		return strings.TrimSpace(name[:i]), name[i+1:]
	}
	return "", name
}

// companyOf is the name of a company after its domain, as "example.com".
func companyOf(d string) string { return d }

// Candidate is an account that may be a contact's.
type Candidate struct {
	ID      string
	Name    string
	Created time.Time
}

// AccountMatch is what becomes of a contact's company.
type AccountMatch struct {
	ID     string // of the account it is, "" if none matched
	Create bool   // one is to be made
	Name   string // under this name
	// Country that a new account gets, "" for none.
	Country string
}

// MatchAccount finds the account of a contact by the name of its company: by the
// same name, the oldest of several; else the only one whose name has it in it;
// else the rule says whether one is created. Case and white space make no
// difference.
func (r *Rule) MatchAccount(company string, candidates []Candidate) AccountMatch {
	want := fold(company)
	if r == nil || want == "" {
		return AccountMatch{}
	}
	for _, m := range r.spec.Account.Match {
		var hits []Candidate
		for _, c := range candidates {
			name := fold(c.Name)
			if m == Exact && name == want || m == Substring && strings.Contains(name, want) {
				hits = append(hits, c)
			}
		}
		slices.SortFunc(hits, func(a, b Candidate) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
		})
		if len(hits) == 1 || m == Exact && len(hits) > 1 {
			return AccountMatch{ID: hits[0].ID, Name: hits[0].Name}
		}
	}
	if r.spec.Account.Otherwise == CreateAccount {
		return AccountMatch{Create: true, Name: strings.TrimSpace(company), Country: r.spec.Account.Country}
	}
	return AccountMatch{}
}

func fold(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
