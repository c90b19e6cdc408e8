package profile

import (
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// field is what a profile says of one field.
type field struct {
	carry    Carry
	standard map[connectors.Area]string
	compute  map[connectors.Area]*expression
}

// Fields returns those of the given fields that cross to a side, in their order.
func (r *Rule) Fields(to connectors.Area, of []connectors.Field) []connectors.Field {
	if r == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(of), func(f connectors.Field) bool {
		if to == connectors.CRM && r.direction == ToMailbox || to == connectors.Mailbox && r.direction == ToCRM {
			return true
		}
		x := r.fields[f]
		if x == nil {
			return false
		}
		return x.carry == CarryNever || to == connectors.CRM && x.carry == CarryToMailbox || to == connectors.Mailbox && x.carry == CarryToCRM
	})
}

// Mapped returns what a record of one side says to the other: a copy of it in
// which computed fields are computed, and, for a record that is new there, fields
// that would be empty say what the profile gives them. Mapping what was mapped
// already changes nothing but what is computed anew from it.
func (r *Rule) Mapped(rec *connectors.Record, to connectors.Area, isNew bool, now time.Time) (*connectors.Record, error) {
	out := rec.Clone()
	if r == nil {
		return out, nil
	}
	for _, f := range connectors.Fields(r.kind) {
		x := r.fields[f]
		if x == nil {
			continue
		}
		if e := x.compute[to]; e != nil {
			v, err := e.run(rec, now)
			if err != nil {
				return nil, &FieldError{Field: f, Err: err}
			}
			s, _ := v.(string)
			set(out, f, s)
		}
		if s := x.standard[to]; s != "" && isNew && out.Empty(f) {
			set(out, f, s)
		}
	}
	return out, nil
}

// set makes a record say a text, and the exceptions of a series that had theirs
// from it too.
func set(r *connectors.Record, f connectors.Field, text string) {
	only := connectors.NewRecord(r.Kind)
	if f == connectors.FieldDescription || !only.SetText(f, text) || r.Appointment == nil {
		r.SetText(f, text)
		return
	}
	connectors.CopyField(r, only, f)
}

// FieldError is a field that could not be computed.
type FieldError struct {
	Field connectors.Field
	Err   error
}

// Error reads "profile: field company: …".
func (e *FieldError) Error() string {
	return "profile: field " + string(e.Field) + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FieldError) Unwrap() error { return e.Err }
