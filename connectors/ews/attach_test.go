package ews

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
)

// A mail that is attached to a mail is read as a mail.
//
// feature: F14
func TestAttachedItems(t *testing.T) {
	w := newWorld(t, asAna())
	c := w.open()
	id := w.x.Deliver(ana, "inbox", &ewstest.Mail{Subject: "s", Sent: time.Unix(1e9, 0)})
	w.x.AttachItem(ana, id, "inner", []byte("Subject: inner\r\n\r\nbody"))
	rs, err := c.Get(t.Context(), connectors.KindMail, []string{id})
	require.NoError(t, err)
	require.Len(t, rs[0].Record.Attachments, 1)
	a := rs[0].Record.Attachments[0]
	require.Equal(t, []any{"inner.eml", "message/rfc822", int64(-1)}, []any{a.Name, a.MediaType, a.Size})
	rc, _, err := c.OpenAttachment(t.Context(), connectors.KindMail, id, a.ID)
	require.NoError(t, err)
	b, err := io.ReadAll(rc)
	require.NoError(t, err)
	require.NoError(t, rc.Close())
	require.Equal(t, "Subject: inner\r\n\r\nbody", string(b))
	require.Empty(t, w.x.Unknown())
}

// zeros gives n zero bytes and remembers how much memory was in use meanwhile.
type zeros struct {
	n    int64
	most uint64
}

// Read implements io.Reader.
func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	clear(p[:n])
	if z.n -= int64(n); z.n&(1<<20-1) < int64(n) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		z.most = max(z.most, m.HeapAlloc)
	}
	return n, nil
}

// A file is streamed both ways: what is in memory does not grow with it.
//
// feature: F14
// fault: F50
func TestFilesAreStreamed(t *testing.T) {
	const size = 24 << 20
	w := newWorld(t, asAna())
	var got int64
	w.intercept = func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.Contains(r.Header.Get("SOAPAction"), "/CreateAttachment"):
			got, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(rw, `<Envelope><Body><R><ResponseMessages><M ResponseClass="Success"><ResponseCode>NoError</ResponseCode><Attachments><FileAttachment><AttachmentId Id="f" RootItemId="i" RootItemChangeKey="r"/></FileAttachment></Attachments></M></ResponseMessages></R></Body></Envelope>`)
		case strings.Contains(r.Header.Get("SOAPAction"), "/GetAttachment"):
			out := bufio.NewWriter(rw)
			_, _ = out.WriteString(`<s:Envelope><s:Body><R><ResponseMessages><M ResponseClass="Success"><ResponseCode>NoError</ResponseCode><t:Attachments><t:FileAttachment><t:Content>`)
			_, _ = io.Copy(out, &encoder{in: &zeros{n: size}})
			_, _ = out.WriteString(`</t:Content></t:FileAttachment></t:Attachments></M></ResponseMessages></R></s:Body></s:Envelope>`)
			_ = out.Flush()
		default:
			return false
		}
		return true
	}
	c := w.open()
	r := connectors.NewRecord(connectors.KindTask)
	r.Task.Subject = "s"
	ws, err := c.Create(t.Context(), connectors.KindTask, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	in := &zeros{n: size}
	_, err = c.Attach(t.Context(), connectors.KindTask, connectors.Target{ID: ws[0].ID, Rev: ws[0].Rev}, connectors.Attachment{Name: "a.bin", Size: size}, in)
	require.NoError(t, err)
	require.Greater(t, got, int64(size))
	require.Less(t, in.most, before.HeapAlloc+4<<20, "memory in use while a file was written")

	file := w.x.Attach(ana, ws[0].ID, "a.bin", "", nil)
	rc, _, err := c.OpenAttachment(t.Context(), connectors.KindTask, ws[0].ID, file)
	require.NoError(t, err)
	defer rc.Close()
	var read, most int64
	buf := make([]byte, 64<<10)
	for i := 0; err == nil; i++ {
		var n int
		n, err = rc.Read(buf)
		read += int64(n)
		if i%64 == 0 {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			most = max(most, int64(m.HeapAlloc)) //nolint:gosec // of a test
		}
	}
	require.ErrorIs(t, err, io.EOF)
	require.EqualValues(t, size, read)
	require.Less(t, uint64(most), before.HeapAlloc+4<<20, "memory in use while a file was read") //nolint:gosec // positive
}

// stream reads a content as content does.
func stream(t *testing.T, answer string) ([]byte, error) {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(answer))
	if _, err := toContent(in); err != nil {
		return nil, err
	}
	return io.ReadAll(newFileReader(t.Context(), io.NopCloser(strings.NewReader("")), in))
}

// An answer that was cut, or is another than it should be, is no content.
//
// fault: F33, F52
func TestContentsThatAreNone(t *testing.T) {
	const ok = `<s:Envelope><M ResponseClass="Success"><t:Content>YWJj</t:Content></M></s:Envelope>`
	b, err := stream(t, ok)
	require.NoError(t, err)
	require.Equal(t, "abc", string(b))
	b, err = stream(t, strings.Replace(ok, "YWJj", " YW\r\nJj\n", 1))
	require.NoError(t, err)
	require.Equal(t, "abc", string(b))
	for name, bad := range map[string]string{
		"cut in the content":    ok[:strings.Index(ok, "Jj<")],
		"cut after the content": strings.TrimSuffix(ok, "</M></s:Envelope>"),
		"no base64":             strings.Replace(ok, "YWJj", "YW!j", 1),
		"half a group":          strings.Replace(ok, "YWJj", "YWJ", 1),
		"an error":              strings.Replace(ok, "Success", "Error", 1),
		"a type":                `<!DOCTYPE x [<!ENTITY a "b">]>` + ok,
		"a comment":             "<!-- <t:Content> -->" + ok,
		"nothing before it":     strings.Repeat("<a>", 40_000) + ok,
		"an empty element":      `<s:Envelope><M ResponseClass="Success"><t:Content/></M></s:Envelope>`,
		"nothing":               "",
	} {
		_, err := stream(t, bad)
		require.Error(t, err, name)
		var e *connectors.Error
		require.True(t, errors.As(err, &e) || errors.Is(err, errNoContent) || errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", name, err)
	}
}

// FuzzContent reads answers with contents: none takes more than it holds, none
// ends in a panic, and what comes out was in it as base64.
func FuzzContent(f *testing.F) {
	f.Add([]byte(`<s:Envelope><M ResponseClass="Success"><t:Content>YWJj</t:Content></M></s:Envelope>`))
	f.Add([]byte(`<M ResponseClass="Success"><MimeContent CharacterSet="UTF-8">YW` + "\r\n" + `Jj</MimeContent></Envelope>`))
	f.Add([]byte(`<!-- --><Content>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(bytes.NewReader(b))
		before, err := toContent(in)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(before), maxPreamble)
		out, err := io.ReadAll(newFileReader(t.Context(), io.NopCloser(bytes.NewReader(nil)), in))
		require.LessOrEqual(t, len(out), len(b))
		if err == nil {
			require.Contains(t, string(b), "Envelope>")
		}
	})
}
