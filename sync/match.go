package sync

import (
	"crypto/sha256"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// likeness is what two records have in common if they are one: for contacts
// the e-mail address and the name, for appointments the iCalendar UID if both
// sides keep it, else subject and time; for mails the message id; failing that, everything. It is kept in
// memory during a round, as a hash.
type likeness [sha256.Size]byte

func likenessOf(r *connectors.Record, shared []connectors.Field) likeness {
	has := func(f connectors.Field) bool {
		for _, s := range shared {
			if s == f {
				return true
			}
		}
		return false
	}
	parts := []string{r.Kind.String()}
	switch a := r.Appointment; {
	case r.Contact != nil && r.Contact.Email != "":
		parts = append(parts, "mail", r.Contact.Email, r.Contact.GivenName, r.Contact.FamilyName)
	case r.Account != nil:
		parts = append(parts, "name", r.Account.Name)
	case r.Mail != nil && r.Mail.MessageID != "" && has(connectors.FieldMessageID):
		return hash([]string{"message", r.Mail.MessageID}) // exactly as written
	case a != nil && a.UID != "" && has(connectors.FieldUID):
		return hash([]string{"uid", a.UID}) // exactly as written
	case a != nil:
		parts = append(parts, "time", a.Subject, a.Start.UTC().Format("20060102150405"), a.End.UTC().Format("20060102150405"))
	default:
		parts = append(parts, "all")
		for _, f := range shared {
			parts = append(parts, r.Text(f))
		}
	}
	for i, p := range parts {
		parts[i] = strings.Join(strings.Fields(strings.ToLower(p)), " ")
	}
	return hash(parts)
}

func hash(parts []string) likeness {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte{byte(len(p) >> 24), byte(len(p) >> 16), byte(len(p) >> 8), byte(len(p))})
		h.Write([]byte(p))
	}
	return likeness(h.Sum(nil))
}

// pairUp joins new records of both sides that are one. What could be joined in
// more than one way is held, unless all candidates are alike and equally many:
// then it makes no difference which is joined with which.
func pairUp(us []*unit, shared []connectors.Field) []*unit {
	groups := map[likeness]*[2][]*unit{}
	for _, u := range us {
		if u.link != nil && u.link.State != Expected || u.trouble != "" || u.views[0].rec != nil && u.views[1].rec != nil {
			continue
		}
		for i := range u.views {
			if r := u.views[i].rec; r != nil {
				k := likenessOf(r, shared)
				if groups[k] == nil {
					groups[k] = &[2][]*unit{}
				}
				groups[k][i] = append(groups[k][i], u)
			}
		}
	}
	for _, g := range groups {
		l, r := g[0], g[1]
		switch {
		case len(l) == 0 || len(r) == 0:
		case len(l) == 1 && len(r) == 1, len(l) == len(r) && alike(append(append([]*unit{}, l...), r...), shared):
			for i := range l {
				l[i].views[1], r[i].merged = r[i].views[1], true
			}
		default:
			for _, u := range append(append([]*unit{}, l...), r...) {
				u.trouble = CodeAmbiguous
			}
		}
	}
	out := us[:0]
	for _, u := range us {
		if !u.merged {
			out = append(out, u)
		}
	}
	return out
}

func alike(us []*unit, shared []connectors.Field) bool {
	rec := func(u *unit) *connectors.Record {
		if u.views[0].rec != nil {
			return u.views[0].rec
		}
		return u.views[1].rec
	}
	for _, u := range us[1:] {
		if len(connectors.Diff(rec(us[0]), rec(u), shared)) > 0 {
			return false
		}
	}
	return true
}
