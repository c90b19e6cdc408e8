package google

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
)

const secretText = "nobody may read this before it is wanted"

// letterWith is a mail with a text, some further lines of its header, and a name.
func letterWith(id, more, text string) []byte {
	return fmt.Appendf(nil, "From: =?utf-8?q?J=C3=B6rg?= <joerg@x.example>\r\nTo: %s, \"Doe, Jane\" <jane@y.example>\r\nCc: team@y.example\r\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\r\nMessage-ID: <%s>\r\n"+
		"In-Reply-To: <p1@x>\r\nReferences: <p0@x>\r\n <p1@x>\r\nImportance: high\r\n%s\r\n%s", ana, id, more, text)
}

func (w *world) deliver(raw []byte, labels ...string) string {
	w.Helper()
	id, err := w.g.Deliver(ana, raw, labels...)
	require.NoError(w, err)
	return id
}

// all reads changes to the end.
func (w *world) all(k connectors.Kind, cursor string) ([]connectors.Change, string) {
	w.Helper()
	var out []connectors.Change
	for range 200 {
		p, err := w.conn.Changes(w.Context(), k, cursor, 0)
		require.NoError(w, err)
		out = append(out, p.Changes...)
		if cursor = p.Cursor; !p.More {
			return out, cursor
		}
	}
	require.Fail(w, "no end")
	return nil, ""
}

// feature: F2, F3; evidence: I5, of a mail nothing but its header leaves Google until
// somebody wants it.
func TestTextsStayUntilTheyAreWanted(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id := w.deliver(letterWith("m1@x", "Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\nContent-Type: text/plain\r\n\r\n"+secretText+
		"\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"nobody.pdf\"\r\n\r\nnobody\r\n--b--\r\n"), inbox)
	w.deliver(letterWith("m2@x", "", secretText), inbox)
	cs, _ := w.all(connectors.KindMail, "")
	require.Len(t, cs, 2)
	_, said := w.asked()
	for _, s := range said {
		assert.NotContains(t, s, "nobody")
		assert.NotContains(t, s, "snippet")
		assert.NotContains(t, s, "bm9ib2R5") // in base64
	}
	rs, err := w.conn.Get(t.Context(), connectors.KindMail, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	r := rs[0].Record
	require.Equal(t, secretText, r.Mail.Body)
	require.Len(t, r.Attachments, 1)
	require.Equal(t, "nobody.pdf", r.Attachments[0].Name)
	rc, _, err := w.conn.OpenAttachment(t.Context(), connectors.KindMail, id, r.Attachments[0].ID)
	require.NoError(t, err)
	b, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	require.Equal(t, "nobody", string(b))
}

// feature: F3, what deciding about a mail needs of it.
func TestHeads(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	w.deliver(letterWith("m1@x", "Auto-Submitted: auto-generated; x=y\r\nList-Id: Dev <dev.x>\r\nSensitivity: Private\r\nContent-Type: text/plain; charset=utf-8\r\n", "x"), inbox, "Visit")
	cs, _ := w.all(connectors.KindMail, "")
	require.Len(t, cs, 1)
	require.True(t, cs[0].Head)
	r := cs[0].Record
	assert.Equal(t, connectors.Mail{MessageID: "m1@x", InReplyTo: []string{"p1@x"}, References: []string{"p0@x", "p1@x"}, From: connectors.Party{Address: "joerg@x.example", Name: "Jörg"},
		To: []connectors.Party{{Address: ana}, {Address: "jane@y.example", Name: "Doe, Jane"}}, Cc: []connectors.Party{{Address: "team@y.example"}}, Date: r.Mail.Date, Subject: "Grüße",
		Direction: connectors.Inbound, AutoSubmitted: "auto-generated", ListID: "Dev <dev.x>", ContentType: "text/plain", Priority: connectors.High, Sensitivity: connectors.Private}, *r.Mail)
	assert.WithinDuration(t, time.Now(), r.Mail.Date, time.Minute)
	assert.Equal(t, "m1@x", r.Key)
	assert.Equal(t, connectors.Marks{Folder: "Inbox", Categories: []string{"Visit"}}, *r.Marks)
	found, err := w.conn.Find(t.Context(), connectors.KindMail, []string{"m1@x", "m2@x", "{in:inbox}"})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, r.ID, found["m1@x"][0].ID)
}

// feature: F3, invitations and receipts are told apart by what their header and their
// structure say; a calendar among the files of a mail makes no invitation of it.
func TestAutomaticMails(t *testing.T) {
	part := func(media, more string) string { return "--b\r\nContent-Type: " + media + "\r\n" + more + "\r\nx\r\n" }
	for name, c := range map[string]struct{ more, text, want string }{
		"person":            {"Content-Type: multipart/alternative; boundary=b\r\n", part("text/plain", "") + part("text/html", "") + "--b--", ""},
		"invitation":        {"Content-Type: multipart/alternative; boundary=b\r\n", part("text/plain", "") + part("text/calendar; method=REQUEST", "") + "--b--", "invitation"},
		"within a mixture":  {"Content-Type: multipart/mixed; boundary=a\r\n", "--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" + part("text/plain", "") + part("text/calendar", "") + "--b--\r\n--a--", "invitation"},
		"calendar as file":  {"Content-Type: multipart/mixed; boundary=b\r\n", part("text/plain", "") + part("text/calendar", "Content-Disposition: attachment; filename=a.ics\r\n") + "--b--", ""},
		"delivery failure":  {"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n", part("text/plain", "") + "--b--", "report"},
		"read receipt":      {"Content-Type: multipart/report; report-type=\"disposition-notification\"; boundary=b\r\n", part("text/plain", "") + "--b--", "report"},
		"out of the office": {"Auto-Submitted: auto-replied\r\n", "x", "automatic reply"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, googletest.Options{})
			id := w.deliver(letterWith("m@x", c.more, c.text), inbox)
			cs, _ := w.all(connectors.KindMail, "")
			require.Len(t, cs, 1)
			require.Equal(t, c.want, cs[0].Record.Mail.Automatic())
			rs, err := w.conn.Get(t.Context(), connectors.KindMail, []string{id})
			require.NoError(t, err)
			require.Equal(t, c.want, rs[0].Record.Mail.Automatic())
		})
	}
}

// feature: F3, only Inbox, Sent and the label of the options are looked at.
func TestWhereMailsAreLookedAt(t *testing.T) {
	w := newWorld(t, googletest.Options{}, OptMailLabel, "CRM/To save")
	where := map[string]string{}
	for name, labels := range map[string][]string{"Inbox": {inbox, "UNREAD"}, "Sent": {sent}, "CRM/To save": {"CRM/To save"}, "archive": nil, "other": {"Other"}, "bin": {inbox, "TRASH"}, "draft": {"DRAFT"}, "junk": {"SPAM"}} {
		where[w.deliver(letterWith("m@x", "", "x"), labels...)] = name
	}
	see := func() map[string]connectors.Direction {
		out := map[string]connectors.Direction{}
		cs, _ := w.all(connectors.KindMail, "")
		for _, ch := range cs {
			require.Equal(t, where[ch.ID], ch.Record.Folder())
			out[ch.Record.Folder()] = ch.Record.Mail.Direction
		}
		return out
	}
	require.Equal(t, map[string]connectors.Direction{"Inbox": connectors.Inbound, "Sent": connectors.Outbound, "CRM/To save": connectors.Inbound}, see())
	ids, err := w.conn.List(t.Context(), connectors.KindMail, "", 0)
	require.NoError(t, err)
	require.Len(t, ids.IDs, 3)
}

// That a mail was read or starred asks for no second look at it; that it was filed
// does, and the bin is the end of it, until it comes back.
func TestWhatHappensToMails(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id := w.deliver(letterWith("m@x", "", "x"), inbox, "UNREAD")
	cs, cursor := w.all(connectors.KindMail, "")
	require.Len(t, cs, 1)
	rev := cs[0].Rev
	change := func(verb string, body any) []connectors.Change {
		w.other("POST", "/gmail/v1/users/me/messages/"+id+"/"+verb, body)
		w.asked()
		var cs []connectors.Change
		cs, cursor = w.all(connectors.KindMail, cursor)
		return cs
	}
	require.Empty(t, change("modify", map[string]any{"removeLabelIds": []any{"UNREAD"}, "addLabelIds": []any{"STARRED"}}))
	asks, _ := w.asked()
	require.Len(t, asks, 1, "one request where nothing happened: %v", asks)
	label := w.other("POST", "/gmail/v1/users/me/labels", map[string]any{"name": "SAP E-Mails"})["id"]
	cs = change("modify", map[string]any{"addLabelIds": []any{label}})
	require.Len(t, cs, 1)
	require.NotEqual(t, rev, cs[0].Rev)
	require.Equal(t, "SAP E-Mails", cs[0].Record.Folder(), "a label that is new was read")
	cs = change("trash", map[string]any{})
	require.Len(t, cs, 1)
	require.True(t, cs[0].Gone)
	rs, err := w.conn.Get(t.Context(), connectors.KindMail, []string{id})
	require.NoError(t, err)
	require.ErrorIs(t, rs[0].Err, connectors.ErrNotFound)
	cs = change("untrash", map[string]any{})
	require.Len(t, cs, 1)
	require.False(t, cs[0].Gone)
	// Archived: no longer looked at, and not gone.
	require.Empty(t, change("modify", map[string]any{"removeLabelIds": []any{inbox, label}}))
}

// fault: F36, a history that ended begins anew; nothing is called gone.
func TestMailHistoryEnds(t *testing.T) {
	w := newWorld(t, googletest.Options{PageSize: 3})
	for i := range 7 {
		w.deliver(letterWith(fmt.Sprintf("m%d@x", i), "", "x"), inbox)
	}
	cs, cursor := w.all(connectors.KindMail, "")
	require.Len(t, cs, 7)
	require.NoError(t, w.g.DiscardMail(ana, cs[0].ID))
	w.g.Expire()
	_, err := w.conn.Changes(t.Context(), connectors.KindMail, cursor, 0)
	require.ErrorIs(t, err, connectors.ErrCursorExpired)
	var e *connectors.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, http.StatusNotFound, e.Status)
	cs, _ = w.all(connectors.KindMail, "")
	require.Len(t, cs, 6)
	for _, ch := range cs {
		require.False(t, ch.Gone)
	}
}

// Texts as mailers of the world write them.
func TestTexts(t *testing.T) {
	long := strings.Repeat("long ", 100)
	for name, c := range map[string]struct {
		more string
		text string
		want string
	}{
		"plain":         {"", "Hello\r\nEva", "Hello\nEva"},
		"latin":         {"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n", "Gr=FC=DFe", "Grüße"},
		"japanese":      {"Content-Type: text/plain; charset=ISO-2022-JP\r\n", "\x1b$B%F%9%H\x1b(B", "テスト"},
		"unknown set":   {"Content-Type: text/plain; charset=x-none\r\nContent-Transfer-Encoding: quoted-printable\r\n", "a=FFb", "a\uFFFDb"},
		"html":          {"Content-Type: text/html\r\n", "<p>One</p><script>no()</script><p>Two", "One\n\nTwo"},
		"alternative":   {"Content-Type: multipart/alternative; boundary=b\r\n", "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b--", "plain"},
		"html only":     {"Content-Type: multipart/alternative; boundary=b\r\n", "--b\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b--", "html"},
		"related":       {"Content-Type: multipart/related; boundary=b\r\n", "--b\r\nContent-Type: text/html\r\n\r\n<b>html</b>\r\n--b\r\nContent-Type: text/plain\r\n\r\nfoot\r\n--b--", "html"},
		"text as file":  {"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\none\r\n--b\r\nContent-Type: text/plain; name=a.txt\r\n\r\nfile\r\n--b\r\n\r\ntwo\r\n--b--", "one\ntwo"},
		"quoted mail":   {"Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner\r\n--b--", "one"},
		"comes apart":   {"", long, strings.TrimSpace(long)},
		"broken header": {"Content-Type: ;;;\r\n", "x", "x"},
		"no boundary":   {"Content-Type: multipart/mixed\r\n", "x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, googletest.Options{Inline: 400})
			id := w.deliver(letterWith("m@x", c.more, c.text), inbox)
			rs, err := w.conn.Get(t.Context(), connectors.KindMail, []string{id})
			require.NoError(t, err)
			require.NoError(t, rs[0].Err)
			require.Equal(t, c.want, rs[0].Record.Mail.Body)
		})
	}
}

// A mail that cannot be read takes no other with it. fault: F41
func TestOneMailThatCannotBeRead(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	var ids []string
	for i := range 4 {
		ids = append(ids, w.deliver(letterWith(fmt.Sprintf("m%d@x", i), "", "x"), inbox))
	}
	w.meet(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, ids[1]) { // alone
			rw.WriteHeader(http.StatusForbidden)
			return true
		}
		if strings.HasPrefix(r.URL.Path, "/batch") { // together they are too much
			_, _ = rw.Write([]byte("no batch"))
			return true
		}
		return false
	})
	rs, err := w.conn.Get(t.Context(), connectors.KindMail, ids)
	require.NoError(t, err)
	for i, r := range rs {
		if i == 1 {
			require.ErrorIs(t, r.Err, connectors.ErrForbidden)
		} else {
			require.NoError(t, r.Err)
		}
	}
}

// Mails are only read: whatever is tried, nothing is sent.
func TestMailsAreNotWritten(t *testing.T) {
	w := newWorld(t, googletest.Options{})
	id := w.deliver(letterWith("m@x", "", "x"), inbox)
	ws, err := w.conn.Delete(t.Context(), connectors.KindMail, []connectors.Target{{ID: id, Rev: "r"}})
	require.NoError(t, err)
	require.ErrorIs(t, ws[0].Err, connectors.ErrUnsupported)
	_, err = w.conn.Attach(t.Context(), connectors.KindMail, connectors.Target{ID: id, Rev: "r"}, connectors.Attachment{Name: "a", Size: 1}, strings.NewReader("a"))
	require.ErrorIs(t, err, connectors.ErrUnsupported)
	asks, _ := w.asked()
	require.Empty(t, asks)
}

// The least number of requests: of 1,000 new mails, a page of history and two batches
// for each hundred.
func TestRequestsForAThousandMails(t *testing.T) {
	w := newWorld(t, googletest.Options{PageSize: 500})
	_, cursor := w.all(connectors.KindMail, "")
	for i := range 1000 {
		w.deliver(letterWith(fmt.Sprintf("m%d@x", i), "", "x"), inbox)
	}
	w.asked()
	cs, cursor := w.all(connectors.KindMail, cursor)
	require.Len(t, cs, 1000)
	asks, _ := w.asked()
	require.LessOrEqual(t, len(asks), 30)
	_, _ = w.all(connectors.KindMail, cursor)
	asks, _ = w.asked()
	require.Len(t, asks, 1, "idle")
}

// fuzz: whatever a mailbox answers, a mail is read or refused.
func FuzzMail(f *testing.F) {
	f.Add([]byte(`{"id":"1a","labelIds":["INBOX","Label_1"],"internalDate":"1700000000000","payload":{"mimeType":"multipart/alternative","headers":[{"name":"Subject","value":"=?utf-8?q?a?="},{"name":"From","value":"a <a@b>, ,<"},{"name":"Content-Type","value":"text/plain; charset=utf-16"}],"parts":[{"partId":"0","mimeType":"text/plain","body":{"data":"YQ"}},{"partId":"1","mimeType":"text/html","filename":"f","body":{"attachmentId":"x","size":3}}]}}`))
	m := mails{o: &mailOptions{label: "SAP E-Mails"}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var l letter
		if json.Unmarshal(b, &l) != nil || l.Payload == nil {
			return
		}
		r, err := m.record(l, map[string]string{"Label_1": "one"}, true)
		if err != nil {
			return
		}
		for _, field := range connectors.Fields(connectors.KindMail) {
			require.Equal(t, connectors.NormalizeText(field, r.Text(field)), r.Text(field), field)
		}
		require.LessOrEqual(t, len(r.Attachments), connectors.MaxAttachments)
	})
}

// fuzz: an answer to a batch is taken apart or refused.
func FuzzBatch(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Type: application/http\r\nContent-ID: <response-item0>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}\r\n--b--\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := http.Header{"Content-Type": {"multipart/mixed; boundary=b"}}
		as, err := parts(response(&http.Response{Header: h, StatusCode: 200}, b), 1)
		if err == nil {
			require.Len(t, as, 1)
		} else {
			require.ErrorIs(t, err, connectors.ErrMalformed)
		}
	})
}
