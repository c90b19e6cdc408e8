package dav_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/corpus"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/radicale"
)

func radicaleMailbox(t *testing.T) (*radicale.Server, *connectors.Conn) {
	s := radicale.Start(t, map[string]string{user: password})
	return s, connect(t, s.URL, s.Roots, map[string]string{
		dav.OptContacts: fmt.Sprintf(radicale.Contacts, user), dav.OptCalendar: fmt.Sprintf(radicale.Calendar, user)})
}

// The same life of a record as against our own server, on one nobody here wrote.
func TestRadicale(t *testing.T) {
	s, c := radicaleMailbox(t)
	ctx := t.Context()
	for _, r := range []*connectors.Record{richContact(), meeting()} {
		k := r.Kind
		p, err := c.Changes(ctx, k, "", 100)
		require.NoError(t, err)
		require.Empty(t, p.Changes)
		start := p.Cursor

		w, err := c.Create(ctx, k, []connectors.Draft{{Key: "key-1", Record: r}})
		require.NoError(t, err)
		require.NoError(t, w[0].Err)
		id := w[0].ID
		w, err = c.Create(ctx, k, []connectors.Draft{{Key: "key-1", Record: r}})
		require.NoError(t, err)
		require.ErrorIs(t, w[0].Err, connectors.ErrExists)

		got := get(t, c, k, id)
		for _, f := range connectors.Diff(r, got, connectors.Fields(k)) {
			require.Contains(t, []connectors.Field{connectors.FieldUID, connectors.FieldZone}, f)
		}
		p, err = c.Changes(ctx, k, start, 100)
		require.NoError(t, err)
		require.Equal(t, []connectors.Change{{ID: id, Rev: got.Rev}}, p.Changes)
		found, err := c.Find(ctx, k, []string{"key-1", "key-2"})
		require.NoError(t, err)
		require.Len(t, found["key-1"], 1)
		require.Empty(t, found["key-2"])

		f := connectors.FieldNote
		if k == connectors.KindAppointment {
			f = connectors.FieldLocation
		}
		next := got.Clone()
		require.True(t, next.SetText(f, "elsewhere; \\n, 木"))
		edit := connectors.Edit{ID: id, Rev: got.Rev, Record: next, Fields: []connectors.Field{f}}
		w, err = c.Update(ctx, k, []connectors.Edit{edit})
		require.NoError(t, err)
		require.NoError(t, w[0].Err)
		require.Empty(t, connectors.Diff(next, get(t, c, k, id), connectors.Fields(k)))
		w, err = c.Update(ctx, k, []connectors.Edit{edit})
		require.NoError(t, err)
		require.ErrorIs(t, w[0].Err, connectors.ErrPrecondition)
		w, err = c.Delete(ctx, k, []connectors.Target{{ID: id, Rev: got.Rev}})
		require.NoError(t, err)
		require.ErrorIs(t, w[0].Err, connectors.ErrPrecondition)

		ids, err := c.List(ctx, k, "", 100)
		require.NoError(t, err)
		require.Equal(t, []string{id}, ids.IDs)
		now := get(t, c, k, id)
		w, err = c.Delete(ctx, k, []connectors.Target{{ID: id, Rev: now.Rev}})
		require.NoError(t, err)
		require.NoError(t, w[0].Err)
		rs, err := c.Get(ctx, k, []string{id})
		require.NoError(t, err)
		require.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
		q, err := c.Changes(ctx, k, p.Cursor, 100)
		require.NoError(t, err)
		require.Equal(t, []connectors.Change{{ID: id, Gone: true}}, q.Changes)

		_, err = c.Changes(ctx, k, "http://radicale.org/ns/sync/"+strings.Repeat("0", 64), 100)
		require.ErrorIs(t, err, connectors.ErrCursorExpired)
	}
	_ = s
}

// Real cards on the real server: what a person's client stored there survives an
// edit of ours in every line that Radicale itself keeps.
func TestRadicaleKeepsRealDocuments(t *testing.T) {
	s, c := radicaleMailbox(t)
	taken := map[connectors.Kind]int{}
	for _, folder := range []string{"contacts", "events"} {
		for _, f := range corpus.Files(t, folder) {
			kind, dir, objects := connectors.KindContact, radicale.Contacts, dav.SplitContacts(f.Data)
			if folder == "events" {
				kind, dir, objects = connectors.KindAppointment, radicale.Calendar, dav.SplitAppointments(f.Data, time.Unix(1_767_225_600, 0))
			}
			for _, o := range objects {
				if o.Err != nil {
					continue
				}
				path := fmt.Sprintf(dir, user) + o.Name
				if status, _ := s.Do(t, user, "PUT", path, string(o.Data)); status != 201 {
					continue // Radicale wants more of it
				}
				r := get(t, c, kind, o.Name)
				if kind == connectors.KindAppointment && r.Appointment.Recurrence != nil {
					continue
				}
				taken[kind]++
				_, before := s.Do(t, user, "GET", path, "")
				field := connectors.FieldNote
				if kind == connectors.KindAppointment {
					field = connectors.FieldDescription
				}
				edited := r.Clone()
				edited.SetText(field, "written by a test")
				w, err := c.Update(t.Context(), kind, []connectors.Edit{{ID: o.Name, Rev: r.Rev, Record: edited, Fields: []connectors.Field{field}}})
				require.NoError(t, err)
				require.NoError(t, w[0].Err, f.Name)
				require.Empty(t, connectors.Diff(edited, get(t, c, kind, o.Name), connectors.Fields(kind)), f.Name)
				_, after := s.Do(t, user, "GET", path, "")
				for line := range strings.SplitSeq(unfold(before), "\r\n") {
					name, _, _ := strings.Cut(line, ":")
					name, _, _ = strings.Cut(strings.ToUpper(name), ";")
					switch name {
					case "NOTE", "DESCRIPTION", "LAST-MODIFIED", "":
					default:
						require.Contains(t, unfold(after), line, f.Name)
					}
				}
			}
		}
	}
	t.Log("edited on Radicale:", taken)
	require.Greater(t, taken[connectors.KindContact], 8)
	require.Greater(t, taken[connectors.KindAppointment], 8)
}
