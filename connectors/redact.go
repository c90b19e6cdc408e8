package connectors

import (
	"errors"
	"fmt"
	"log/slog"
)

// ErrContent is what marshalling a record returns: content is never written
// anywhere by accident.
var ErrContent = errors.New("connectors: the content of a record is not marshalled")

// Format prints kind, id and revision, whatever the verb.
func (r Record) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%s %q rev %q", r.Kind, r.ID, r.Rev) }

// LogValue logs kind, id and revision.
func (r Record) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", r.Kind.String()), slog.String("id", r.ID), slog.String("rev", r.Rev))
}

// MarshalText returns ErrContent; encoding/json and log handlers ask it first.
func (r Record) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (r Record) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (c Contact) Format(f fmt.State, _ rune) { fmt.Fprint(f, "contact") }

// LogValue logs no content.
func (c Contact) LogValue() slog.Value { return slog.StringValue("contact") }

// MarshalText returns ErrContent.
func (c Contact) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (c Contact) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (a Account) Format(f fmt.State, _ rune) { fmt.Fprint(f, "account") }

// LogValue logs no content.
func (a Account) LogValue() slog.Value { return slog.StringValue("account") }

// MarshalText returns ErrContent.
func (a Account) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (a Account) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (a Appointment) Format(f fmt.State, _ rune) { fmt.Fprint(f, "appointment") }

// LogValue logs no content.
func (a Appointment) LogValue() slog.Value { return slog.StringValue("appointment") }

// MarshalText returns ErrContent.
func (a Appointment) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (a Appointment) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (p Party) Format(f fmt.State, _ rune) { fmt.Fprint(f, "party") }

// LogValue logs no content.
func (p Party) LogValue() slog.Value { return slog.StringValue("party") }

// MarshalText returns ErrContent.
func (p Party) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (p Party) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (r Recurrence) Format(f fmt.State, _ rune) { fmt.Fprint(f, "recurrence") }

// LogValue logs no content.
func (r Recurrence) LogValue() slog.Value { return slog.StringValue("recurrence") }

// MarshalText returns ErrContent.
func (r Recurrence) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (r Recurrence) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (o Occurrence) Format(f fmt.State, _ rune) { fmt.Fprint(f, "occurrence") }

// LogValue logs no content.
func (o Occurrence) LogValue() slog.Value { return slog.StringValue("occurrence") }

// MarshalText returns ErrContent.
func (o Occurrence) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (o Occurrence) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (t Task) Format(f fmt.State, _ rune) { fmt.Fprint(f, "task") }

// LogValue logs no content.
func (t Task) LogValue() slog.Value { return slog.StringValue("task") }

// MarshalText returns ErrContent.
func (t Task) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (t Task) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (m Mail) Format(f fmt.State, _ rune) { fmt.Fprint(f, "mail") }

// LogValue logs no content.
func (m Mail) LogValue() slog.Value { return slog.StringValue("mail") }

// MarshalText returns ErrContent.
func (m Mail) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (m Mail) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints id and size.
func (a Attachment) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "attachment %q of %d bytes", a.ID, a.Size)
}

// LogValue logs id and size.
func (a Attachment) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", a.ID), slog.Int64("size", a.Size))
}

// MarshalText returns ErrContent.
func (a Attachment) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (a Attachment) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints no content.
func (m Marks) Format(f fmt.State, _ rune) { fmt.Fprint(f, "marks") }

// LogValue logs no content.
func (m Marks) LogValue() slog.Value { return slog.StringValue("marks") }

// MarshalText returns ErrContent.
func (m Marks) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (m Marks) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints the field.
func (q Query) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "query for %s", q.Field) }

// LogValue logs the field.
func (q Query) LogValue() slog.Value { return slog.StringValue("query for " + string(q.Field)) }

// MarshalText returns ErrContent.
func (q Query) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (q Query) GobEncode() ([]byte, error) { return nil, ErrContent }

// Format prints the id.
func (h Hit) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "hit %q", h.ID) }

// LogValue logs the id.
func (h Hit) LogValue() slog.Value { return slog.StringValue(h.ID) }

// MarshalText returns ErrContent.
func (h Hit) MarshalText() ([]byte, error) { return nil, ErrContent }

// GobEncode returns ErrContent.
func (h Hit) GobEncode() ([]byte, error) { return nil, ErrContent }
