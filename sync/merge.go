package sync

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Digests are keyed digests of fields, digestSize bytes for each field that both
// sides share, in the order of connectors.Fields, behind a check of which fields
// those are.
type Digests []byte

const digestSize = 6

// of returns the digest of a field, nil if it is not known.
func (d Digests) of(f connectors.Field, shared []connectors.Field) []byte {
	if len(d) != digestSize*(len(shared)+1) || !slices.Equal([]byte(d[:digestSize]), shape(shared)) {
		return nil
	}
	if i := slices.Index(shared, f); i >= 0 {
		return d[digestSize*(i+1) : digestSize*(i+2)]
	}
	return nil
}

// shape is a check of which fields are digested.
func shape(shared []connectors.Field) []byte {
	var b strings.Builder
	for _, f := range shared {
		b.WriteString(string(f) + "\n")
	}
	sum := sha256.Sum256([]byte(b.String()))
	return sum[:digestSize]
}

// digester returns what digests fields under a key.
func digester(key []byte) func(*connectors.Record, connectors.Field) []byte {
	return func(r *connectors.Record, f connectors.Field) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(r.Kind.String() + "\x00" + string(f) + "\x00" + meaning(r, f)))
		return m.Sum(nil)[:digestSize]
	}
}

// digests digests all shared fields of a record.
func digests(r *connectors.Record, t terms) Digests {
	out := shape(t.shared)
	for _, f := range t.shared {
		out = append(out, t.digest(r, f)...)
	}
	return out
}

// check is a 16-bit check over the fields of a draft, keyed by its create key.
func check(key string, r *connectors.Record, fields []connectors.Field) uint16 {
	m := hmac.New(sha256.New, []byte(key))
	for _, f := range fields {
		m.Write([]byte(string(f) + "\x00" + meaning(r, f) + "\x00"))
	}
	return binary.BigEndian.Uint16(m.Sum(nil))
}

// meaning writes what a field says so that what connectors.Same calls the same is
// written alike, as far as that goes: a spelling that it does not know counts as
// a change, which is the safe side.
func meaning(r *connectors.Record, f connectors.Field) string {
	a := r.Appointment
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(t.Unix(), 10)
	}
	if a != nil {
		switch f {
		case connectors.FieldTime:
			return at(a.Start) + " " + at(a.End) + " " + strconv.FormatBool(a.AllDay)
		case connectors.FieldRecurrence:
			if a.Recurrence == nil {
				return ""
			}
			return strings.Join(slices.Concat(a.Recurrence.Rules, []string{"\x01"}, a.Recurrence.Dates, []string{"\x01"}, a.Recurrence.Exceptions), "\n") +
				strconv.Itoa(a.Recurrence.Overrides)
		case connectors.FieldSensitivity:
			return strconv.Itoa(int(a.Sensitivity))
		case connectors.FieldAvailability:
			return strconv.Itoa(int(a.Availability))
		case connectors.FieldStatus:
			return strconv.Itoa(int(a.Status))
		case connectors.FieldOrganizer:
			return strings.ToLower(a.Organizer.Address)
		case connectors.FieldAttendees:
			var ps []string
			for _, p := range a.Attendees {
				ps = append(ps, strings.ToLower(strings.TrimSpace(p.Address)))
			}
			slices.Sort(ps)
			return strings.Join(slices.Compact(ps), "\n")
		}
	}
	switch f {
	case connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3:
		return strings.ToLower(connectors.NormalizeText(f, r.Text(f)))
	}
	return connectors.NormalizeText(f, r.Text(f))
}
