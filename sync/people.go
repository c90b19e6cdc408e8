package sync

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// judgeAll decides about mails that are new in the mailbox.
func (k *kindRound) judgeAll(ctx context.Context, us []*unit) error {
	for _, u := range us {
		if u.link != nil || u.views[1].rec == nil {
			continue
		}
		var err error
		if u.saving, err = k.judge(ctx, Right, u.views[1].rec); err != nil {
			return err
		}
	}
	return nil
}

// judge decides about a mail, nil where there is nothing to decide. It asks the
// CRM who the correspondents are, and nobody for the body.
func (k *kindRound) judge(ctx context.Context, s Side, r *connectors.Record) (*Saving, error) {
	p := k.t.rule.Policy
	if p == nil || p.Save == nil || s != Right || r.Mail == nil {
		return nil, nil
	}
	at := recordAt{s, r.ID}
	if v, ok := k.savings[at]; ok {
		return &v, nil
	}
	var errs []error
	v := p.Save(r, Correspondence{
		Known: func(address string) []connectors.Ref {
			refs, err := k.who(ctx, address)
			errs = append(errs, err)
			return refs
		},
		Saved: func(ids []string) bool {
			for _, id := range ids {
				there, err := k.there(ctx, id)
				if errs = append(errs, err); there {
					return true
				}
			}
			return false
		},
	})
	if v.Save && r.Mail.MessageID != "" {
		there, err := k.there(ctx, r.Mail.MessageID)
		if errs = append(errs, err); there && !k.waiting[at] && k.unsettled[at] == "" {
			v = Saving{Why: "the mail is in the CRM"}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("search left: %w", err)
	}
	k.savings[at] = v
	return &v, nil
}

// there reports whether the CRM has a mail, as far as it can be asked.
func (k *kindRound) there(ctx context.Context, message string) (bool, error) {
	if was, ok := k.inCRM[message]; ok {
		return was, nil
	}
	if !k.t.caps[0].Searches(connectors.FieldMessageID) {
		return false, nil
	}
	hits, err := k.p.Left.Search(ctx, connectors.KindMail, connectors.Query{Field: connectors.FieldMessageID, Text: message})
	if err == nil {
		k.inCRM[message] = len(hits) > 0
	}
	return len(hits) > 0, err
}

// who lists the records of the CRM that have an address.
func (k *kindRound) who(ctx context.Context, address string) ([]connectors.Ref, error) {
	address = strings.ToLower(strings.TrimSpace(address))
	if refs, ok := k.byAddress[address]; ok || address == "" {
		return refs, nil
	}
	var refs []connectors.Ref
	for _, kind := range k.t.rule.Policy.Among {
		c, _ := k.p.Left.Capability(kind)
		for _, f := range c.Search {
			if f != connectors.FieldEmail && f != connectors.FieldEmail2 && f != connectors.FieldEmail3 {
				continue
			}
			hits, err := k.p.Left.Search(ctx, kind, connectors.Query{Field: f, Text: address})
			if err != nil {
				return nil, err
			}
			for _, h := range hits {
				if r := (connectors.Ref{Role: connectors.RoleContact, Kind: kind, ID: h.ID}); !slices.Contains(refs, r) {
					refs = append(refs, r)
				}
			}
		}
	}
	k.byAddress[address] = refs
	return refs, nil
}

// refer finds, and where the policy says so makes, the records of the CRM that a
// record refers to which is about to be created there.
func (k *kindRound) refer(ctx context.Context, s Side, u *unit) ([]connectors.Ref, error) {
	p, src := k.t.rule.Policy, u.views[1].rec
	if p == nil || s != Left || src == nil {
		return nil, nil
	}
	var refs []connectors.Ref
	switch {
	case src.Contact != nil && p.Company != nil:
		r, err := k.company(ctx, src.Contact.Company)
		if final(err) {
			u.lacks, err = err, nil
		}
		if err != nil {
			return nil, err
		}
		refs = append(refs, r...)
	case src.Appointment != nil && p.Guests != nil:
		if err := k.guests(ctx, u); err != nil {
			return nil, err
		}
		for _, x := range src.Appointment.Invited() {
			rs, err := k.who(ctx, x.Address)
			if err != nil {
				return nil, err
			}
			if len(rs) == 1 {
				refs = append(refs, connectors.Ref{Role: connectors.RoleParticipant, Kind: rs[0].Kind, ID: rs[0].ID})
			}
		}
	case u.saving != nil:
		refs = u.saving.Refs
	}
	return slices.DeleteFunc(slices.Clone(refs), func(r connectors.Ref) bool { return !slices.Contains(k.t.caps[0].Refs[r.Role], r.Kind) }), nil
}

// guests creates in the CRM those who take part in an appointment of the mailbox
// and whom the policy wants there.
func (k *kindRound) guests(ctx context.Context, u *unit) error {
	p := k.t.rule.Policy
	if p == nil || p.Guests == nil || u.raw[1] == nil || u.raw[1].Appointment == nil || u.mask {
		return nil
	}
	var errs []error
	list := p.Guests(u.raw[1], func(address string) bool {
		refs, err := k.who(ctx, address)
		errs = append(errs, err)
		return len(refs) > 0
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, g := range list {
		address := strings.ToLower(strings.TrimSpace(g.Record.Contact.Email))
		if !k.searches(g.Record.Kind, connectors.FieldEmail) {
			continue // who cannot be looked for would be made again and again
		}
		r := g.Record.Clone()
		c, _ := k.p.Left.Capability(r.Kind)
		if g.Company != "" && len(c.Refs[connectors.RoleAccount]) > 0 {
			refs, err := k.company(ctx, g.Company)
			if final(err) {
				u.lacks, err = err, nil
			}
			if err != nil {
				return err
			}
			r.Refs = refs
		}
		id, err := k.ensure(ctx, "guest "+r.Kind.String(), address, r)
		if final(err) {
			u.lacks = err
			continue
		}
		if err != nil {
			return err
		}
		k.byAddress[address] = []connectors.Ref{{Role: connectors.RoleContact, Kind: r.Kind, ID: id}}
	}
	return nil
}

// final reports whether a system will not take a record however often it is asked.
func final(err error) bool {
	return errors.Is(err, connectors.ErrInvalid) || errors.Is(err, connectors.ErrForbidden) || errors.Is(err, connectors.ErrUnsupported)
}

func (k *kindRound) searches(kind connectors.Kind, f connectors.Field) bool {
	c, ok := k.p.Left.Capability(kind)
	return ok && c.Create && c.Searches(f)
}

// company finds the account of a name, or makes it, as the policy says.
func (k *kindRound) company(ctx context.Context, name string) ([]connectors.Ref, error) {
	p := k.t.rule.Policy
	if p.Company == nil || name == "" || !k.searches(connectors.KindAccount, connectors.FieldName) {
		return nil, nil
	}
	var all []connectors.Hit
	for _, part := range []bool{false, true} {
		hits, err := k.p.Left.Search(ctx, connectors.KindAccount, connectors.Query{Field: connectors.FieldName, Text: name, Part: part})
		if err != nil {
			return nil, err
		}
		for _, h := range hits {
			if !slices.ContainsFunc(all, func(x connectors.Hit) bool { return x.ID == h.ID }) {
				all = append(all, h)
			}
		}
	}
	c := p.Company(name, all)
	if c.ID == "" && c.Create != nil {
		var err error
		if c.ID, err = k.ensure(ctx, "company", strings.ToLower(strings.Join(strings.Fields(name), " ")), c.Create); err != nil {
			return nil, err
		}
	}
	if c.ID == "" {
		return nil, nil
	}
	return []connectors.Ref{{Role: connectors.RoleAccount, Kind: connectors.KindAccount, ID: c.ID}}, nil
}

// ensure makes a record in the CRM that no record of the mailbox is the source
// of, once: its key follows from what it is, the same for all mailboxes of the
// tenant, and it is announced like any create.
func (k *kindRound) ensure(ctx context.Context, what, name string, r *connectors.Record) (string, error) {
	if k.people == nil {
		t, err := k.meetings(ctx)
		if err != nil {
			return "", err
		}
		if t != nil {
			k.people = t.key
		} else if k.people, err = k.st.Key(ctx); err != nil {
			return "", err
		}
	}
	m := hmac.New(sha256.New, k.people)
	m.Write([]byte(what + "\x00" + name))
	key := "lk-" + hex.EncodeToString(m.Sum(nil)[:16])
	find := func() (string, error) {
		found, err := k.p.Left.Find(ctx, r.Kind, []string{key})
		if err != nil || len(found[key]) == 0 {
			return "", err
		}
		return found[key][0].ID, k.commit(ctx, Batch{End: []string{key}})
	}
	if id, err := find(); err != nil || id != "" {
		return id, err
	}
	open, err := k.st.Intents(ctx)
	if err != nil {
		return "", err
	}
	looked := k.e.o.Clock()
	for _, in := range open {
		var b Batch
		if in.Key == key && !k.overdue(in, Left, looked, &b) {
			return "", errors.Join(k.commit(ctx, b), &connectors.Error{Op: "create", Kind: r.Kind, Class: connectors.ErrUnavailable, Detail: "somebody whom it names is being created"})
		}
	}
	if err := k.gate(ctx); err != nil {
		return "", err
	}
	if err := k.st.Commit(ctx, Batch{Begin: []Intent{{Key: key, Kind: r.Kind, Side: theRule}}}); err != nil {
		return "", err
	}
	res, err := k.p.Left.Create(ctx, r.Kind, []connectors.Draft{{Record: r, Key: key}})
	if err != nil {
		return "", err
	}
	switch err := res[0].Err; {
	case err == nil:
		k.report.kind(r.Kind).Created[0]++
		return res[0].ID, k.commit(ctx, Batch{End: []string{key}})
	case errors.Is(err, connectors.ErrUnknownOutcome), errors.Is(err, connectors.ErrExists):
		if id, e := find(); e != nil || id != "" {
			return id, e
		}
		return "", err
	default:
		return "", errors.Join(err, k.commit(ctx, Batch{End: []string{key}}))
	}
}
