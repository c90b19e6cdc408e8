package sync

import (
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Policy is what a profile says of the records of one kind, beyond the values of
// a Rule. Its functions ask nobody, change nothing that they are handed, and
// answer the same question the same way; the engine calls them from one goroutine.
// A function that is nil restricts nothing. Package profile makes policies.
type Policy struct {
	// Version stands for everything that the policy says. When it is another
	// than at the last round that was finished, all records are looked at anew.
	Version string
	// Slides says that what is left out today may be in tomorrow without
	// anybody changing it, as where a window ends ahead. All records are listed
	// again every Options.SweepEvery then.
	Slides bool

	// Wants says whether a record that was read on a side takes part. Of what
	// does not, nothing is ever deleted for that: a link is let go.
	Wants func(on Side, r *connectors.Record, now time.Time) Verdict
	// Carries returns those of the fields that cross to a side.
	Carries func(to Side, of []connectors.Field) []connectors.Field
	// Says returns what a record of the other side says to a side: computed
	// fields computed and, if it is new there, empty ones filled in. An error of
	// type *connectors.Error names the field.
	Says func(to Side, r *connectors.Record, isNew bool, now time.Time) (*connectors.Record, error)

	// Fills reports whether Says fills in a field of new records on a side. That
	// it is empty on the other side says nothing later.
	Fills func(to Side, f connectors.Field) bool

	// Mark is the category that a record of the CRM gets in the mailbox, ""
	// for none. Categories do not cross then: they are what users choose by.
	Mark string
	// Remind sets the reminder of what is written to the mailbox. Reminders do
	// not cross then.
	Remind func(r *connectors.Record, now time.Time)

	// Files says whether an attachment crosses, and if not, why. Nil: none does.
	Files func(a connectors.Attachment) (carry bool, why string)

	// Save decides about a mail that is new in the mailbox, by its head alone.
	Save func(r *connectors.Record, c Correspondence) Saving
	// Among are the kinds of the CRM that are searched for an address.
	Among []connectors.Kind
	// Guests lists whom to create in the CRM of those who take part in an
	// appointment that comes from the mailbox.
	Guests func(r *connectors.Record, known func(address string) bool) []Guest
	// Company finds the account of a contact that is new in the CRM, by the name
	// of its company.
	Company func(name string, candidates []connectors.Hit) CompanyChoice
}

// Verdict says whether a record takes part. The zero Verdict says that it does.
type Verdict struct {
	Out bool
	Why string // why not, in words without content

	Blocked  bool // whatever of it was not read yet is not read at all
	Unmarked bool // only the mark is missing by which users choose
}

// Correspondence is what deciding about mails needs to know of the CRM.
type Correspondence struct {
	Known func(address string) []connectors.Ref // the records that have an address
	Saved func(messageIDs []string) bool        // whether one of these mails is there
}

// Saving is what becomes of a mail.
type Saving struct {
	Save bool
	Why  string
	Refs []connectors.Ref // the records that it is about
}

// Guest is a contact or a lead to create, and the name of the account that it
// belongs to, "" for none.
type Guest struct {
	Record  *connectors.Record
	Company string
}

// CompanyChoice is what becomes of the name of a company: the account of that id,
// or else a new one, or none where both are zero.
type CompanyChoice struct {
	ID     string
	Create *connectors.Record
}

// wants asks the policy about what was read on a side.
func (t terms) wants(s Side, r *connectors.Record) Verdict {
	if p := t.rule.Policy; p != nil && p.Wants != nil && r != nil {
		return p.Wants(s, r, t.now)
	}
	return Verdict{}
}

// carries returns those of the fields that the policy lets cross to a side.
func (t terms) carries(s Side, fs []connectors.Field) []connectors.Field {
	if p := t.rule.Policy; p != nil && p.Carries != nil {
		return p.Carries(s, fs)
	}
	return fs
}

// says returns what a record of the other side says to a side.
func (t terms) says(s Side, r *connectors.Record, isNew bool) (*connectors.Record, error) {
	if p := t.rule.Policy; p != nil && p.Says != nil && r != nil {
		return p.Says(s, r, isNew, t.now)
	}
	return r, nil
}

// fills reports whether the policy gives a field of new records a value on a side.
func (t terms) fills(s Side, f connectors.Field) bool {
	p := t.rule.Policy
	return p != nil && p.Fills != nil && p.Fills(s, f)
}

// only returns the side that a field crosses to if it crosses one way, else 0:
// what the other side says of it is not asked for.
func (t terms) only(f connectors.Field) Side {
	if t.rule.Policy == nil || t.rule.Policy.Carries == nil {
		return 0
	}
	one := []connectors.Field{f}
	l, r := len(t.carries(Left, one)) > 0, len(t.carries(Right, one)) > 0
	switch {
	case l && !r && t.rule.Direction != ToRight:
		return Left
	case r && !l && t.rule.Direction != ToLeft:
		return Right
	}
	return 0
}

// crossing returns the fields that are compared and carried at all.
func (t terms) crossing(fs []connectors.Field) []connectors.Field {
	p := t.rule.Policy
	if p == nil {
		return fs
	}
	var out []connectors.Field
	for _, f := range fs {
		one := []connectors.Field{f}
		switch {
		case f == connectors.FieldCategories && p.Mark != "", f == connectors.FieldReminder && p.Remind != nil:
		case len(t.carries(Left, one))+len(t.carries(Right, one)) > 0:
			out = append(out, f)
		}
	}
	return out
}

// marks reports whether what comes from the CRM can carry the policy's mark in
// the mailbox.
func (t terms) marks() bool {
	l, ok := t.caps[1].Fields[connectors.FieldCategories]
	return t.rule.Policy != nil && t.rule.Policy.Mark != "" && ok && !l.ReadOnly
}

// reminds sets a reminder on what is written to the mailbox; it reports whether
// the record says another one than before.
func (t terms) reminds(r *connectors.Record) bool {
	l, ok := t.caps[1].Fields[connectors.FieldReminder]
	if p := t.rule.Policy; p == nil || p.Remind == nil || !ok || l.ReadOnly {
		return false
	}
	was := r.Clone()
	t.rule.Policy.Remind(r, t.now)
	return !connectors.Same(was, r, connectors.FieldReminder)
}
