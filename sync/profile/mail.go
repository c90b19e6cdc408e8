package profile

import (
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// MailWhy says why a mail is saved or not.
type MailWhy string

// Why a mail is saved, and why not.
const (
	MailMarked  MailWhy = "marked by the user"
	MailThread  MailWhy = "answers a mail that was saved"
	MailMatches MailWhy = "correspondent is known"

	MailOff       MailWhy = "mails are not synchronised"
	MailBlocked   MailWhy = "address on a blocklist"
	MailPrivate   MailWhy = "private"
	MailManual    MailWhy = "not marked, and mails are not saved automatically"
	MailAutomatic MailWhy = "written by no person"
	MailInternal  MailWhy = "between people of the organisation only"
	MailWrongWay  MailWhy = "mails of this direction are not saved"
	MailFolder    MailWhy = "in a folder that is not looked at"
	MailUnknown   MailWhy = "no correspondent is known"
)

// Correspondence is what deciding about mails needs to know of the CRM. Both may
// be asked often; nil knows nothing.
type Correspondence struct {
	// Known lists the records with an address.
	Known func(address string) []connectors.Ref
	// Saved reports whether a mail with one of the message ids was saved.
	Saved func(messageIDs []string) bool
}

// MailDecision is what becomes of a mail.
type MailDecision struct {
	Save bool
	Why  MailWhy

	// Link is the first correspondent that exactly one record has the address
	// of; zero if there is none.
	Link connectors.Ref
	// Others are those beside it whose address exactly one record has.
	Others []connectors.Ref
	// Unmatched are correspondents whose address no record has, or several.
	Unmatched []connectors.Party
}

// SaveMail decides whether a mail is saved in the CRM: one that its user marked,
// one that answers a saved mail, or one whose correspondents are known. It looks
// at the header alone. The record's Body may be empty.
func (p *Profile) SaveMail(r *connectors.Record, c Correspondence) MailDecision {
	rule := p.Rule(connectors.KindMail)
	no := func(why MailWhy) MailDecision { return MailDecision{Why: why} }
	switch {
	case rule == nil || r == nil || r.Mail == nil:
		return no(MailOff)
	case p.blockedRecord(r):
		return no(MailBlocked)
	case r.Private():
		return no(MailPrivate)
	}
	m := r.Mail
	d := p.link(m, c)
	if rule.spec.Marked.Needed && rule.marked(r) {
		d.Save, d.Why = true, MailMarked
		return d
	}
	if !p.mail.AutoSave {
		return no(MailManual)
	}
	internal := true
	for _, x := range m.Correspondents() {
		internal = internal && p.Internal(x.Address)
	}
	switch {
	case m.Automatic() != "":
		return no(MailAutomatic)
	case internal:
		return no(MailInternal)
	case m.Direction == connectors.Inbound && !p.mail.Inbound || m.Direction == connectors.Outbound && !p.mail.Outbound:
		return no(MailWrongWay)
	case r.Folder() != "" && !slices.ContainsFunc(p.mail.Folders, func(f string) bool { return strings.EqualFold(f, r.Folder()) }):
		return no(MailFolder)
	case p.mail.Threads && c.Saved != nil && len(m.Thread()) > 0 && c.Saved(m.Thread()):
		d.Save, d.Why = true, MailThread
	case d.Link != (connectors.Ref{}):
		d.Save, d.Why = true, MailMatches
	default:
		return no(MailUnknown)
	}
	return d
}

// link finds the records of a mail's correspondents.
func (p *Profile) link(m *connectors.Mail, c Correspondence) MailDecision {
	var d MailDecision
	seen := map[string]bool{}
	for _, x := range m.Correspondents() {
		a := normalAddress(x.Address)
		if a == "" || seen[a] || p.Internal(a) {
			continue
		}
		seen[a] = true
		var refs []connectors.Ref
		if c.Known != nil {
			for _, r := range c.Known(a) {
				if slices.Contains(p.matches, r.Kind) && !slices.Contains(refs, r) {
					refs = append(refs, r)
				}
			}
		}
		switch {
		case len(refs) != 1:
			d.Unmatched = append(d.Unmatched, x)
		case d.Link == connectors.Ref{}:
			d.Link = refs[0]
		case d.Link != refs[0] && !slices.Contains(d.Others, refs[0]):
			d.Others = append(d.Others, refs[0])
		}
	}
	return d
}
