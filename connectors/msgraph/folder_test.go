package msgraph

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Folders are followed by the names that users see, an item that moves between
// them is not deleted, and one that its user makes later is followed then.
//
// feature: F2, F11, F12
func TestFoldersByName(t *testing.T) {
	for k, c := range map[connectors.Kind]struct{ kind, option, standard, content string }{
		connectors.KindContact:     {"contacts", OptContacts, "contacts", `{"surname":"Ito"}`},
		connectors.KindAppointment: {"events", OptCalendars, "calendar", string(marshal(map[string]any{"subject": "Plan", "start": at(today()), "end": at(today().Add(time.Hour))}))},
		connectors.KindTask:        {"tasks", OptTasks, "defaultList", `{"title":"Call"}`},
		connectors.KindMail:        {"messages", OptMails, "inbox", `{"subject":"Hello","internetMessageHeaders":[{"name":"To","value":"x"}]}`},
	} {
		t.Run(k.String(), func(t *testing.T) {
			w := newWorld(t, map[string]string{c.option: c.standard + ", SAP Things"})
			first, err := w.g.Put(ana, c.kind, "", []byte(c.content))
			require.NoError(t, err)
			cs, cursor, err := w.all(k, "")
			require.NoError(t, err)
			require.Len(t, cs, 1)

			sap, err := w.g.Folder(ana, c.kind, "SAP Things")
			require.NoError(t, err)
			other, err := w.g.Folder(ana, c.kind, "Other")
			require.NoError(t, err)
			w.conn = w.open(ana, 0) // what is known of folders is believed for minutes
			second, err := w.g.Put(ana, c.kind, sap, []byte(c.content))
			require.NoError(t, err)
			cs, cursor, err = w.all(k, cursor)
			require.NoError(t, err)
			require.Len(t, cs, 1)
			require.Equal(t, second, cs[0].ID)
			rs, err := w.conn.Get(t.Context(), k, []string{first, second})
			require.NoError(t, err)
			require.NoError(t, rs[0].Err)
			require.NoError(t, rs[1].Err)
			if k != connectors.KindAppointment { // which lie in a calendar and not in a folder
				require.Equal(t, "SAP Things", rs[1].Record.Folder())
				require.NotEqual(t, "SAP Things", rs[0].Record.Folder())
			}
			ids, err := w.conn.List(t.Context(), k, "", 0)
			require.NoError(t, err)
			for after := ids.Next; after != ""; {
				more, err := w.conn.List(t.Context(), k, after, 0)
				require.NoError(t, err)
				ids.IDs, after = append(ids.IDs, more.IDs...), more.Next
			}
			require.ElementsMatch(t, []string{first, second}, ids.IDs)

			// It moves to the other folder that is followed, to one that is not, and goes.
			for _, to := range []string{sap, other} {
				require.NoError(t, w.g.Move(ana, c.kind, first, to))
				if cs, cursor, err = w.all(k, cursor); k == connectors.KindAppointment && to == other {
					continue
				}
				require.NoError(t, err)
				require.NotEmpty(t, cs)
				for _, x := range cs {
					require.Equal(t, first, x.ID)
					require.False(t, x.Gone, "moved and called gone")
				}
			}
			require.NoError(t, w.g.Remove(ana, c.kind, second))
			cs, _, err = w.all(k, cursor)
			require.NoError(t, err)
			require.NotEmpty(t, cs)
			require.True(t, cs[len(cs)-1].Gone)
			require.Equal(t, second, cs[len(cs)-1].ID)
			require.Empty(t, w.g.Unknown())
		})
	}
	w := newWorld(t, map[string]string{OptTasks: "Nothing of that name"})
	_, _, err := w.all(connectors.KindTask, "")
	require.ErrorIs(t, err, connectors.ErrForbidden)
}

// Of a mail nothing but its head is read until somebody wants it.
//
// feature: F3, F26
func TestBodiesAreReadOfWantedMailsOnly(t *testing.T) {
	w := newWorld(t, nil)
	require.NoError(t, w.g.Rename(ana, "messages", "inbox", "Posteingang"))
	_, err := w.g.Put(ana, "messages", "", []byte(`{"subject":"Hello","body":{"contentType":"html","content":"<p>Dear Ana</p><p>secret</p>"},"from":{"emailAddress":{"address":"Ben@x.example","name":"Ben"}},
		"toRecipients":[{"emailAddress":{"address":"ana@acme.example"}}],"internetMessageId":"<m1@x.example>","sentDateTime":"2026-03-01T08:00:00Z","internetMessageHeaders":
		[{"name":"in-reply-to","value":"<m0@x.example>"},{"name":"References","value":"<a@x>\r\n <m0@x.example>"},{"name":"Content-Type","value":"multipart/report; report-type=\"Delivery-Status\"; boundary=x"}]}`))
	require.NoError(t, err)
	sent, err := w.g.Put(ana, "messages", "sentitems", []byte(`{"subject":"Mine","from":{"emailAddress":{"address":"ANA@acme.example"}}}`))
	require.NoError(t, err)
	_, err = w.g.Put(ana, "messages", "", []byte(`{"subject":"Not ready","isDraft":true}`))
	require.NoError(t, err)
	away, err := w.g.Put(ana, "messages", "", []byte(`{"subject":"Away","singleValueExtendedProperties":[{"id":"String 0x001a","value":"IPM.Note.Rules.OofTemplate.Microsoft"}]}`))
	require.NoError(t, err)
	invited, err := w.g.Put(ana, "messages", "", []byte(`{"subject":"Invited","@odata.type":"#microsoft.graph.eventMessageRequest"}`))
	require.NoError(t, err)
	var asked atomic.Bool
	w.meet = func(_ http.ResponseWriter, r *http.Request) bool {
		b, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(b))
		if strings.Contains(r.URL.RawQuery+string(b), "%2Cbody") {
			asked.Store(true)
		}
		return false
	}
	cs, _, err := w.all(connectors.KindMail, "")
	require.NoError(t, err)
	require.Len(t, cs, 4, "and no draft")
	by := map[string]*connectors.Record{}
	for _, c := range cs {
		require.True(t, c.Head)
		by[c.Record.Mail.Subject] = c.Record
	}
	m := by["Hello"].Mail
	require.Equal(t, connectors.Inbound, m.Direction)
	require.Equal(t, []string{"m0@x.example"}, m.InReplyTo)
	require.Equal(t, []string{"a@x", "m0@x.example"}, m.References)
	require.Equal(t, "report", m.Automatic())
	require.Equal(t, "m1@x.example", m.MessageID)
	require.Equal(t, "Inbox", by["Hello"].Folder())
	require.Equal(t, connectors.Outbound, by["Mine"].Mail.Direction)
	require.Equal(t, "Sent Items", by["Mine"].Folder())
	require.Equal(t, "automatic reply", by["Away"].Mail.Automatic())
	require.Equal(t, "invitation", by["Invited"].Mail.Automatic())
	require.Empty(t, by["Mine"].Mail.Automatic())
	require.False(t, asked.Load(), "a body was asked for")
	rs, err := w.conn.Get(t.Context(), connectors.KindMail, []string{by["Hello"].ID, sent, away, invited})
	require.NoError(t, err)
	require.True(t, asked.Load())
	require.Equal(t, "Dear Ana\n\nsecret", rs[0].Record.Mail.Body)
	found, err := w.conn.Find(t.Context(), connectors.KindMail, []string{"m1@x.example", "M1@x.example", "x' or 1 eq 1"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, by["Hello"].ID, found["m1@x.example"][0].ID)
	require.Empty(t, w.g.Unknown())
}

// A day that somebody chose in To Do is that day, wherever they were.
func TestDaysOfTasks(t *testing.T) {
	for in, want := range map[string]string{"2026-03-12T00:00:00": "2026-03-12", "2026-03-11T23:00:00": "2026-03-12", "2026-03-12T05:00:00": "2026-03-12", "2026-03-12T10:00:00": "2026-03-12",
		"2026-03-11T11:00:00": "2026-03-12", "2026-03-11T15:00:00.0000000": "2026-03-12", "2028-02-28T22:00:00": "2028-02-29"} {
		r, err := readTask([]byte(`{"id":"x","title":"t","dueDateTime":{"dateTime":"` + in + `","timeZone":"UTC"}}`))
		require.NoError(t, err)
		require.Equal(t, want, r.Task.Due, in)
	}
}

// What nobody documents to be filtered by is not believed: the key is compared.
func TestTasksAreFoundByTheirKeyOnly(t *testing.T) {
	w := newWorld(t, nil)
	r := connectors.NewRecord(connectors.KindTask)
	r.Task.Subject = "Call"
	var ds []connectors.Draft
	for _, k := range strings.Fields("a b c d e") {
		ds = append(ds, connectors.Draft{Record: r.Clone(), Key: k})
	}
	ws, err := w.conn.Create(t.Context(), connectors.KindTask, ds)
	require.NoError(t, err)
	found, err := w.conn.Find(t.Context(), connectors.KindTask, []string{"b", "x"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, ws[1].ID, found["b"][0].ID)
}
