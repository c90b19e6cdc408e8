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
