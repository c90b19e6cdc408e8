package ews

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
)

// pages reads all pages of changes.
func pages(t *testing.T, c *connectors.Conn, k connectors.Kind, cursor string, limit int) ([]connectors.Change, string) {
	t.Helper()
	var out []connectors.Change
	for range 1000 {
		p, err := c.Changes(t.Context(), k, cursor, limit)
		require.NoError(t, err)
		out, cursor = append(out, p.Changes...), p.Cursor
		if !p.More {
			return out, cursor
		}
	}
	require.Fail(t, "changes without end")
	return nil, ""
}

// What decides about a mail comes along with the news of it, without its body:
// whoever blocks the sender never sees what was written.
//
// feature: F2, F3, F4
func TestHeadsOfMails(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	day := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	in := w.x.Deliver(ana, "inbox", &ewstest.Mail{MessageID: "m2@other.example", From: "kim@other.example\tKim Ito", To: []string{ana, "x@other.example"}, Cc: []string{ben + "\tBen"}, Subject: "offer",
		Body: "<p>the <b>secret</b> text</p>", HTML: true, Sent: day, InReplyTo: []string{"m1@acme.example"}, References: []string{"m0@acme.example", "m1@acme.example"}, Importance: "High",
		Sensitivity: "Personal", Categories: []string{"SAP", "a;b"}, Header: map[string]string{"List-Id": "Devs <dev.lists.example>", "Content-Type": `multipart/mixed; boundary="x"`}})
	out := w.x.Deliver(ana, "sentitems", &ewstest.Mail{MessageID: "m3@acme.example", From: ana, To: []string{"kim@other.example"}, Subject: "answer", Body: "plain", Sent: day})
	w.x.Deliver(ana, "drafts", &ewstest.Mail{Subject: "not chosen", Sent: day})
	cs, cursor := pages(t, c, connectors.KindMail, "", 10)
	require.Len(t, cs, 2)
	for _, ch := range cs {
		require.True(t, ch.Head)
		require.Empty(t, ch.Record.Mail.Body)
	}
	require.NotContains(t, strings.Join(w.sent, "\n"), `FieldURI="item:Body"`, "a body was asked for before anybody decided")
	m := cs[0].Record
	require.Equal(t, in, m.ID)
	require.Equal(t, "m2@other.example", m.Key)
	assert.Equal(t, connectors.Mail{MessageID: "m2@other.example", InReplyTo: []string{"m1@acme.example"}, References: []string{"m0@acme.example", "m1@acme.example"},
		From: connectors.Party{Address: "kim@other.example", Name: "Kim Ito"}, To: []connectors.Party{{Address: ana, Name: ana}, {Address: "x@other.example", Name: "x@other.example"}},
		Cc: []connectors.Party{{Address: ben, Name: "Ben"}}, Date: day, Subject: "offer", Direction: connectors.Inbound, ListID: "Devs <dev.lists.example>", ContentType: "multipart/mixed",
		Priority: connectors.High, Sensitivity: connectors.Private}, *m.Mail)
	assert.Equal(t, []string{"SAP", "a;b"}, m.Categories())
	assert.Equal(t, "list", m.Mail.Automatic())
	require.Equal(t, out, cs[1].ID)
	assert.Equal(t, connectors.Outbound, cs[1].Record.Mail.Direction)

	rs, err := c.Get(t.Context(), connectors.KindMail, []string{in, out})
	require.NoError(t, err)
	require.Equal(t, "the secret text", rs[0].Record.Mail.Body)
	require.Equal(t, "plain", rs[1].Record.Mail.Body)
	found, err := c.Find(t.Context(), connectors.KindMail, []string{"m3@acme.example", "M3@acme.example", "nobody"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, out, found["m3@acme.example"][0].ID)

	// A mail that moves out of the chosen folders is gone from them; one that
	// moves between them is the same mail under another id.
	moved := w.x.Move(ana, in, "sentitems")
	w.x.Move(ana, out, "drafts")
	cs, _ = pages(t, c, connectors.KindMail, cursor, 10)
	news := map[string]connectors.Change{}
	for _, ch := range cs {
		news[ch.ID] = ch
	}
	require.True(t, news[in].Gone && news[out].Gone)
	require.Equal(t, "m2@other.example", news[moved].Record.Key)
	require.Empty(t, w.x.Unknown())
}

// Mails that no person wrote are told by what the mailbox made of them.
//
// feature: F3
func TestAutomaticMails(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	for _, m := range []*ewstest.Mail{{Subject: "report", Class: "REPORT.IPM.Note.NDR"}, {Subject: "invitation", Element: "MeetingRequest"},
		{Subject: "automatic reply", Header: map[string]string{"Auto-Submitted": "Auto-Replied"}}, {Subject: "", Header: map[string]string{"Content-Type": "nonsense/;;", "Auto-Submitted": "no"}}} {
		w.x.Deliver(ana, "inbox", m)
	}
	cs, _ := pages(t, c, connectors.KindMail, "", 2)
	require.Len(t, cs, 4)
	for _, ch := range cs {
		require.Equal(t, ch.Record.Mail.Subject, ch.Record.Mail.Automatic())
	}
}

// Which folders are read is chosen; what is no folder is refused when the
// connection opens, and one that is not there is the mailbox's answer, never an
// empty list.
//
// fault: F35
func TestChosenFolders(t *testing.T) {
	o := asAna()
	o[OptFolders] = "junkemail , drafts"
	w := newWorld(t, o)
	id := w.x.Deliver(ana, "drafts", &ewstest.Mail{Subject: "s", Sent: time.Unix(1e9, 0)})
	w.x.Deliver(ana, "inbox", &ewstest.Mail{Subject: "s", Sent: time.Unix(1e9, 0)})
	cs, _ := pages(t, w.open(), connectors.KindMail, "", 1)
	require.Len(t, cs, 1)
	require.Equal(t, id, cs[0].ID)
	l, err := w.open().List(t.Context(), connectors.KindMail, "", 10)
	require.NoError(t, err)
	require.Empty(t, l.IDs)
	l, err = w.open().List(t.Context(), connectors.KindMail, l.Next, 10)
	require.NoError(t, err)
	require.Equal(t, []string{id}, l.IDs)

	o[OptFolders] = "AAMkAGU0nowhere"
	gone := newWorld(t, o)
	_, err = gone.open().Changes(t.Context(), connectors.KindMail, "", 1)
	require.ErrorIs(t, err, connectors.ErrForbidden)
	_, err = gone.open().List(t.Context(), connectors.KindMail, "", 1)
	require.ErrorIs(t, err, connectors.ErrForbidden)
	for _, bad := range []string{"", "a,,b", "a,a", "a b", strings.Repeat("x", 600), "ä"} {
		_, err := open(connectors.Settings{URL: gone.address(), Options: map[string]string{OptFolders: bad}})
		require.ErrorContains(t, err, OptFolders, "%q", bad)
	}
}
