package connectors_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

const bird = "kanarienvogel"

// telling returns a record of a kind all of whose content is a canary.
func telling(k connectors.Kind) *connectors.Record {
	r := connectors.NewRecord(k)
	r.ID, r.Rev = "id-1", "r1"
	for _, f := range connectors.Fields(k) {
		r.SetText(f, bird)
	}
	if a := r.Appointment; a != nil {
		a.Organizer = connectors.Party{Address: bird, Name: bird}
		a.Attendees = []connectors.Party{{Address: bird, Name: bird}}
		a.Recurrence = &connectors.Recurrence{Rules: []string{bird}, Exceptions: []connectors.Occurrence{{Appointment: &connectors.Appointment{Subject: bird}}}}
		a.Start = time.Unix(0, 0)
	}
	if m := r.Mail; m != nil {
		m.From, m.To, m.Cc = connectors.Party{Address: bird, Name: bird}, []connectors.Party{{Address: bird}}, []connectors.Party{{Name: bird}}
		m.InReplyTo, m.References = []string{bird}, []string{bird}
	}
	r.Marks = &connectors.Marks{Categories: []string{bird}, Folder: bird}
	r.Attachments = []*connectors.Attachment{{ID: "f", Name: bird, MediaType: bird}}
	return r
}

// forms are all the things that hold content, and what holds them.
func forms() []any {
	var out []any
	for _, k := range connectors.Kinds() {
		r := telling(k)
		out = append(out, r, *r, []connectors.Record{*r}, []*connectors.Record{r}, map[string]*connectors.Record{"x": r},
			connectors.Change{ID: "x", Record: r}, connectors.Page{Changes: []connectors.Change{{Record: r}}}, connectors.Result{Record: r},
			connectors.Draft{Record: r, Key: "k"}, connectors.Edit{ID: "x", Record: r}, struct{ R *connectors.Record }{r}, struct{ R connectors.Record }{*r})
		out = append(out, r.Attachments, r.Attachments[0], connectors.Attached{Attachment: *r.Attachments[0]}, *r.Attachments[0], r.Marks, *r.Marks)
		switch {
		case r.Contact != nil:
			out = append(out, r.Contact, *r.Contact, []any{*r.Contact})
		case r.Account != nil:
			out = append(out, r.Account, *r.Account)
		case r.Task != nil:
			out = append(out, r.Task, *r.Task)
		case r.Mail != nil:
			out = append(out, r.Mail, *r.Mail, r.Mail.From, r.Mail.To)
		default:
			a := r.Appointment
			out = append(out, a.Recurrence.Exceptions, a.Recurrence.Exceptions[0])
			out = append(out, a, *a, a.Organizer, &a.Organizer, a.Attendees, map[string]connectors.Party{"x": a.Organizer}, a.Recurrence, *a.Recurrence,
				struct{ R *connectors.Recurrence }{a.Recurrence})
		}
	}
	return out
}

func silent(t *testing.T, out string, how string, v any) {
	t.Helper()
	assert.NotContains(t, strings.ToLower(out), bird, "%s of %T", how, v)
	assert.NotContains(t, strings.ToLower(out), fmt.Sprintf("%x", bird), "%s of %T", how, v)
}

// evidence: P2
func TestContentIsNotFormatted(t *testing.T) {
	for _, v := range forms() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%e", "%U", "%c", "% x", "%#q", "%20v", "%!"} {
			silent(t, fmt.Sprintf(verb, v), verb, v)
		}
		silent(t, fmt.Sprint(v), "Sprint", v)
		silent(t, fmt.Errorf("%w: %v", errors.New("x"), v).Error(), "Errorf", v)
	}
	// Formatters are not asked about %w, see go vet; a record shows no content there either.
	wrap := "%w"
	silent(t, fmt.Errorf(wrap, telling(connectors.KindContact)).Error(), wrap, nil)
	assert.Equal(t, `contacts "id-1" rev "r1"`, fmt.Sprint(telling(connectors.KindContact)))
}

// evidence: P2
func TestContentIsNotMarshalled(t *testing.T) {
	for _, v := range forms() {
		b, err := json.Marshal(v)
		assert.Error(t, err, "json of %T", v)
		silent(t, string(b), "json", v)
		var buf bytes.Buffer
		_ = gob.NewEncoder(&buf).Encode(v)
		silent(t, buf.String(), "gob", v)
		b, _ = xml.Marshal(v)
		silent(t, string(b), "xml", v)
	}
	_, err := json.Marshal(telling(connectors.KindContact))
	require.ErrorIs(t, err, connectors.ErrContent)
}

// evidence: P2
func TestContentIsNotLogged(t *testing.T) {
	for name, h := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		for _, v := range forms() {
			var b bytes.Buffer
			l := slog.New(h(&b))
			l.Info("x", "v", v)
			l.With("v", v).Info("x")
			l.Info("x", slog.Group("g", "v", v))
			l.Info("x", "v", slog.AnyValue(v))
			silent(t, b.String(), name+" log", v)
		}
	}
}

// An error says what it is made of and nothing else, and is found by class and
// by cause.
func TestErrors(t *testing.T) {
	cause := errors.New("cause")
	e := &connectors.Error{Plugin: "c4c", Op: "create", Kind: connectors.KindContact, ID: "00163E", Field: connectors.FieldCompany,
		Class: connectors.ErrPrecondition, Detail: "detail", Status: 412, Cause: cause}
	assert.EqualError(t, e, `connectors: c4c create contacts "00163E": field company: changed meanwhile: detail (HTTP 412): cause`)
	assert.ErrorIs(t, e, connectors.ErrPrecondition)
	assert.ErrorIs(t, e, cause)
	assert.NotErrorIs(t, e, connectors.ErrInvalid)
	assert.EqualError(t, &connectors.Error{}, "connectors:")
	assert.Empty(t, (&connectors.Error{}).Unwrap())
}
