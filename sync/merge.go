package sync

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Digests are keyed digests of fields, digestSize bytes for each field that both
// sides share, in the order of connectors.Fields, behind a check of which fields
// those are. Of a series one of its rules follows, and two for each exception: of
// its original start, and of what it says.
type Digests []byte

const digestSize = 6

// of returns the digest of a field, nil if it is not known.
func (d Digests) of(f connectors.Field, shared []connectors.Field) []byte {
	if len(d) < digestSize*(len(shared)+1) || !slices.Equal([]byte(d[:digestSize]), shape(shared)) {
		return nil
	}
	if i := slices.Index(shared, f); i >= 0 {
		return d[digestSize*(i+1) : digestSize*(i+2)]
	}
	return nil
}

// guests is how many guests a mailbox named that could not hold all whom the CRM
// names, behind everything else, and whether that is known.
func (d Digests) guests() (int, bool) {
	if len(d)%digestSize != 2 {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(d[len(d)-2:])), true
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

// digester returns what digests fields under a key, of series in the fields that
// both sides share.
func digester(key []byte, shared []connectors.Field) func(*connectors.Record, connectors.Field) []byte {
	return func(r *connectors.Record, f connectors.Field) []byte {
		said := ""
		switch f {
		case ruleField:
			said = ruleMeaning(r.Appointment.Recurrence)
		case startField, exceptionField:
			said = exceptionMeaning(r, f == startField, shared)
		default:
			said = meaning(r, f, shared)
		}
		m := hmac.New(sha256.New, key)
		m.Write([]byte(r.Kind.String() + "\x00" + string(f) + "\x00" + said))
		return m.Sum(nil)[:digestSize]
	}
}

// digests digests all shared fields of a record.
func digests(r *connectors.Record, t terms) Digests {
	out := shape(t.shared)
	for _, f := range t.shared {
		out = append(out, t.digest(r, f)...)
	}
	if slices.Contains(t.shared, connectors.FieldRecurrence) {
		out = append(out, seriesDigests(r, t)...)
	}
	return out
}

// check is a 16-bit check over the fields of a draft, keyed by its create key.
func check(key string, r *connectors.Record, fields []connectors.Field) uint16 {
	m := hmac.New(sha256.New, []byte(key))
	for _, f := range fields {
		m.Write([]byte(string(f) + "\x00" + meaning(r, f, fields) + "\x00"))
	}
	return binary.BigEndian.Uint16(m.Sum(nil))
}

// meaning writes what a field says so that what connectors.Same calls the same is
// written alike, as far as that goes: a spelling that it does not know counts as
// a change, which is the safe side. Exceptions of series are written in the fields
// that both sides know.
func meaning(r *connectors.Record, f connectors.Field, know []connectors.Field) string {
	switch f {
	case connectors.FieldRecurrence:
		if a := r.Appointment; a != nil && a.Recurrence != nil {
			said := ruleMeaning(a.Recurrence)
			for _, o := range a.Exceptions(know) {
				one := alone(r, o)
				said += exceptionMeaning(one, true, know) + exceptionMeaning(one, false, know)
			}
			return said
		}
	case connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3:
		return strings.ToLower(connectors.NormalizeText(f, r.Text(f)))
	case connectors.FieldAttendees:
		if a := r.Appointment; a != nil {
			var ps []string
			for _, p := range a.Attendees {
				ps = append(ps, strings.ToLower(strings.TrimSpace(p.Address)))
			}
			slices.Sort(ps)
			return strings.Join(slices.Compact(ps), "\n")
		}
	case connectors.FieldOrganizer:
		if a := r.Appointment; a != nil {
			return strings.ToLower(a.Organizer.Address)
		}
	}
	if s := r.Text(f); s != "" {
		return connectors.NormalizeText(f, s)
	}
	only := connectors.NewRecord(r.Kind)
	connectors.CopyField(only, r, f)
	var b strings.Builder
	spell(&b, reflect.ValueOf(*only))
	return b.String()
}

// spell writes a value, whatever its type: times by the second, the rest as it is.
func spell(b *strings.Builder, v reflect.Value) {
	if t, ok := v.Interface().(time.Time); ok {
		if !t.IsZero() {
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		}
		b.WriteByte(';')
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spell(b, v.Elem())
		}
		b.WriteByte(';')
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spell(b, v.Field(i))
			}
		}
	case reflect.Slice:
		b.WriteString(strconv.Itoa(v.Len()) + ":")
		for i := range v.Len() {
			spell(b, v.Index(i))
		}
	case reflect.String:
		b.WriteString(strconv.Itoa(v.Len()) + ":" + v.String())
	case reflect.Bool:
		b.WriteString(strconv.FormatBool(v.Bool()) + ";")
	case reflect.Int, reflect.Int64:
		b.WriteString(strconv.FormatInt(v.Int(), 10) + ";")
	case reflect.Uint8, reflect.Uint64:
		b.WriteString(strconv.FormatUint(v.Uint(), 10) + ";")
	}
}
