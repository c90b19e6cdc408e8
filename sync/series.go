package sync

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Parts of a series that are digested apart, so that exceptions of different
// occurrences are merged.
const (
	ruleField      connectors.Field = "recurrence/rules"
	startField     connectors.Field = "recurrence/start"
	exceptionField connectors.Field = "recurrence/exception"
)

// mostApart is how many exceptions of a series are remembered apart. Of one that has
// more only the whole is.
const mostApart = 64

// ruleMeaning writes when a series takes place.
func ruleMeaning(r *connectors.Recurrence) string {
	if r == nil {
		return ""
	}
	var rules []string
	for _, rule := range r.Rules {
		rules = append(rules, connectors.NormalizeRule(rule))
	}
	slices.Sort(rules)
	var dates []int64
	for _, d := range r.Dates {
		dates = append(dates, d.Unix())
	}
	slices.Sort(dates)
	said := strings.Join(slices.Compact(rules), "\n")
	for _, d := range slices.Compact(dates) {
		said += "\n" + strconv.FormatInt(d, 10)
	}
	return said
}

// alone is a series with one of its exceptions only.
func alone(r *connectors.Record, o connectors.Occurrence) *connectors.Record {
	one, a := *r, *r.Appointment
	a.Recurrence = &connectors.Recurrence{Exceptions: []connectors.Occurrence{o}}
	one.Appointment = &a
	return &one
}

// exceptionMeaning writes the original start of the first exception of a series, or
// what it says beside its series.
func exceptionMeaning(r *connectors.Record, start bool, know []connectors.Field) string {
	o := r.Appointment.Recurrence.Exceptions[0]
	if start {
		return strconv.FormatInt(o.Original.Unix(), 10) + ";"
	}
	if o.Cancelled {
		return "cancelled;"
	}
	said := ""
	x := &connectors.Record{Kind: r.Kind, Appointment: o.Appointment}
	for _, f := range r.Appointment.Own(o) {
		if slices.Contains(know, f) {
			said += string(f) + "\x00" + meaning(x, f, nil) + "\x00"
		}
	}
	return said
}

// seriesDigests digests the parts of a series, nil if it is none or has too many.
func seriesDigests(r *connectors.Record, t terms) []byte {
	if r.Appointment == nil || r.Appointment.Recurrence == nil {
		return nil
	}
	xs := r.Appointment.Exceptions(t.shared)
	if len(xs) > mostApart {
		return nil
	}
	out := t.digest(r, ruleField)
	for _, o := range xs {
		one := alone(r, o)
		out = append(append(out, t.digest(one, startField)...), t.digest(one, exceptionField)...)
	}
	return out
}

// was is what is remembered of the parts of a series.
type was struct {
	known      bool
	rules      []byte
	exceptions map[string][]byte // by the digest of the original start
}

func (d Digests) series(shared []connectors.Field) was {
	if _, counted := d.guests(); counted {
		d = d[:len(d)-2]
	}
	head := digestSize * (len(shared) + 1)
	if len(d) <= head || (len(d)-head)%(2*digestSize) != digestSize {
		return was{}
	}
	tail := d[head:]
	out := was{known: true, rules: tail[:digestSize], exceptions: map[string][]byte{}}
	for tail = tail[digestSize:]; len(tail) > 0; tail = tail[2*digestSize:] {
		out.exceptions[string(tail[:digestSize])] = tail[digestSize : 2*digestSize]
	}
	return out
}

// repeats reports whether either record is a series.
func repeats(left, right *connectors.Record) bool {
	return left.Appointment != nil && (left.Appointment.Recurrence != nil || right.Appointment.Recurrence != nil)
}

// join puts together a series that both sides changed, occurrence by occurrence: an
// exception that one side has and the other has not is taken over, unless it is
// remembered, for then the other took it back; of two for one occurrence the one
// that moved stands. It returns nil where that cannot be told, or where one side's
// rules leave no place for an exception of the other.
func (t terms) join(l *Link, left, right *connectors.Record) *connectors.Record {
	if left.Appointment == nil || left.Appointment.Recurrence == nil || right.Appointment.Recurrence == nil {
		return nil
	}
	// Both as exceptions of the left series, so that they can stand together.
	theirs := left.Clone()
	connectors.CopyFields(theirs, right, []connectors.Field{connectors.FieldRecurrence}, t.shared)
	var base was
	if l != nil && t.digest != nil && l.Base.of(connectors.FieldRecurrence, t.shared) != nil {
		base = l.Base.series(t.shared)
	}
	out := left.Clone()
	a, b := out.Appointment, theirs.Appointment
	a.Recurrence.Exceptions = nil
	apart := ruleMeaning(a.Recurrence) != ruleMeaning(b.Recurrence)
	if apart {
		switch {
		case !base.known:
			return nil
		case bytes.Equal(base.rules, t.digest(left, ruleField)):
			a.Recurrence.Rules, a.Recurrence.Dates, a.Zone = b.Recurrence.Rules, b.Recurrence.Dates, b.Zone
		case !bytes.Equal(base.rules, t.digest(theirs, ruleField)):
			return nil // both changed them
		}
	}
	mine, other := byStart(left, t.shared), byStart(theirs, t.shared)
	for _, at := range slices.Sorted(maps.Keys(union(mine, other))) {
		keep, ok := t.either(mine[at], other[at], base)
		if !ok {
			return nil
		}
		if keep != nil {
			a.Recurrence.Exceptions = append(a.Recurrence.Exceptions, keep.Appointment.Recurrence.Exceptions[0])
		}
	}
	if apart {
		if strays, err := a.Strays(); err != nil || strays > 0 {
			return nil
		}
	}
	return out
}

// byStart lists the exceptions of a series, each alone, by their original starts.
func byStart(r *connectors.Record, know []connectors.Field) map[int64]*connectors.Record {
	out := map[int64]*connectors.Record{}
	for _, o := range r.Appointment.Exceptions(know) {
		out[o.Original.Unix()] = alone(r, o)
	}
	return out
}

func union(a, b map[int64]*connectors.Record) map[int64]*connectors.Record {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// either chooses between two exceptions of one occurrence, nil being none.
func (t terms) either(mine, other *connectors.Record, base was) (keep *connectors.Record, ok bool) {
	if mine != nil && other != nil && !slices.Contains(connectors.Diff(mine, other, t.shared), connectors.FieldRecurrence) {
		return mine, true
	}
	if base.known {
		at, said := mine, [2][]byte{}
		if at == nil {
			at = other
		}
		for i, r := range []*connectors.Record{mine, other} {
			if r != nil {
				said[i] = t.digest(r, exceptionField)
			}
		}
		switch was := base.exceptions[string(t.digest(at, startField))]; {
		case bytes.Equal(was, said[0]):
			return other, true
		case bytes.Equal(was, said[1]):
			return mine, true
		}
	} else if mine == nil || other == nil {
		if mine == nil {
			mine = other
		}
		return mine, true
	}
	switch t.rule.Winner {
	case LeftWins:
		return mine, true
	case RightWins:
		return other, true
	}
	return nil, false
}

// copies makes a record say in fields what the other side says, or of a series what
// both put together say.
func (st step) copies(want, src *connectors.Record, fields, know []connectors.Field) {
	if st.joint == nil {
		connectors.CopyFields(want, src, fields, know)
		return
	}
	rest := slices.DeleteFunc(slices.Clone(fields), func(f connectors.Field) bool { return f == connectors.FieldRecurrence })
	connectors.CopyFields(want, src, rest, know)
	if len(rest) < len(fields) {
		connectors.CopyFields(want, st.joint, []connectors.Field{connectors.FieldRecurrence}, know)
	}
}
