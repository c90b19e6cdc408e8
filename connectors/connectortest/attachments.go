package connectortest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// references: a record refers to others of its system, and to nothing that is
// not there.
func references(c *kase) {
	c.need("references", len(c.c.Refs) > 0)
	c.need("way to create records", c.c.Create)
	var refs []connectors.Ref
	other := map[connectors.Kind]connectors.Capability{}
	for role, kinds := range c.c.Refs {
		for _, k := range kinds {
			v, ok := c.sys.Plugin.Capabilities().Kinds[k]
			require.True(c, ok, "refers to a kind that is not offered")
			other[k] = v
			if v.Create {
				o := &kase{T: c.T, h: c.h, sys: c.sys, k: k, c: v, area: c.area, conn: c.conn, other: c.other}
				refs = append(refs, connectors.Ref{Role: role, Kind: k, ID: o.add(c, o.plain(len(refs)))})
				break
			}
		}
	}
	c.need("record to refer to", len(refs) > 0)
	r := c.plain(1)
	r.Refs = refs
	w := c.create(c, r)
	got := c.get(c, w.ID)
	assert.True(c, connectors.Same(r, got, connectors.FieldRefs), "references came back changed: %v, were %v", got.Refs, refs)
	assert.NotEmpty(c, fmt.Sprint(got.Refs[0].Role))

	bad := c.plain(2)
	bad.Refs = []connectors.Ref{{Role: refs[0].Role, Kind: refs[0].Kind, ID: "no-such-record"}}
	_, err := c.tryCreate(c, c.conn, bad, c.key())
	assert.ErrorIs(c, err, connectors.ErrInvalid, "a reference to nothing")
	bad.Refs = []connectors.Ref{{Role: 77, Kind: refs[0].Kind, ID: refs[0].ID}}
	_, err = c.tryCreate(c, c.conn, bad, c.key())
	assert.ErrorIs(c, err, connectors.ErrInvalid, "a reference of no role")
	assert.Len(c, c.ids(c, 0), 1+sameKind(refs, c.k))

	if !c.c.Update {
		return
	}
	next := got.Clone()
	next.Refs = refs[:1]
	require.NoError(c, c.tryUpdate(c, w.ID, got.Rev, next, connectors.FieldRefs))
	now := c.get(c, w.ID)
	assert.True(c, connectors.Same(next, now, connectors.FieldRefs))
	assert.Empty(c, connectors.Diff(got, now, connectors.Fields(c.k)), "fields changed with the references")
	require.NoError(c, c.tryUpdate(c, w.ID, now.Rev, c.plain(3), c.field()))
	assert.True(c, connectors.Same(next, c.get(c, w.ID), connectors.FieldRefs), "references went with another field")
}

func sameKind(refs []connectors.Ref, k connectors.Kind) (n int) {
	for _, r := range refs {
		if r.Kind == k {
			n++
		}
	}
	return n
}

// bytesOf is a content of a length, the same for the same seed.
func bytesOf(seed uint64, n int) []byte {
	out := make([]byte, n)
	r := rand.New(rand.NewChaCha8([32]byte{byte(seed)}))
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func (c *kase) attach(t check, id, name string, content []byte) connectors.Attachment {
	t.Helper()
	if c.c.Attachments.Write {
		out, err := c.conn.Attach(c.Context(), c.k, connectors.Target{ID: id, Rev: c.get(t, id).Rev},
			connectors.Attachment{Name: name, MediaType: "application/octet-stream", Size: int64(len(content))}, bytes.NewReader(content))
		require.NoError(t, c.clean(t, err))
		return out.Attachment
	}
	c.need("way to attach", c.sys.Attach != nil)
	require.NoError(t, c.sys.Attach(c.k, id, name, "application/octet-stream", content))
	as := c.get(t, id).Attachments
	return *as[len(as)-1]
}

func (c *kase) content(t check, id, attachment string) ([]byte, connectors.Attachment, error) {
	t.Helper()
	rc, a, err := c.conn.OpenAttachment(c.Context(), c.k, id, attachment)
	if c.clean(t, err) != nil {
		return nil, a, err
	}
	b, err := io.ReadAll(rc)
	require.NoError(t, rc.Close())
	return b, a, c.clean(t, err)
}

// attachments: what was attached is read, byte by byte, and is announced with
// its record; a change of it is a change of the record.
func attachments(c *kase) {
	c.need("attachments", c.c.Attachments.Read)
	id := c.add(c, c.plain(1))
	assert.Empty(c, c.get(c, id).Attachments)
	contents := map[string][]byte{}
	for name, b := range map[string][]byte{"empty.txt": {}, canary + " ä.bin": bytesOf(1, 1000), "große Datei (1).dat": bytesOf(2, 300_000), "line\u00a0ends.txt": []byte("\r\n\n\x00\xff")} {
		before := c.get(c, id)
		a := c.attach(c, id, name, b)
		contents[a.ID] = b
		after := c.get(c, id)
		require.Len(c, after.Attachments, len(contents))
		assert.NotEqual(c, before.Rev, after.Rev, "the record's revision stayed when something was attached")
		assert.Empty(c, connectors.Diff(before, after, connectors.Fields(c.k)))
	}
	for _, a := range c.get(c, id).Attachments {
		want, ok := contents[a.ID]
		require.True(c, ok)
		got, said, err := c.content(c, id, a.ID)
		require.NoError(c, err)
		assert.Equal(c, sha256.Sum256(want), sha256.Sum256(got), "content came back changed")
		assert.Equal(c, a.Name, said.Name)
		if a.Size >= 0 {
			assert.Equal(c, int64(len(want)), a.Size)
		}
	}
	// What is no attachment of the record is not there.
	stranger := c.add(c, c.plain(2))
	for _, x := range []string{"no-such-file", "../" + id, "%00", strings.Repeat("a", connectors.MaxID)} {
		_, _, err := c.content(c, id, x)
		assert.Error(c, err, "%q", x)
	}
	for a := range contents {
		_, _, err := c.content(c, stranger, a)
		assert.Error(c, err, "an attachment of another record")
	}
	for _, x := range []string{"", strings.Repeat("a", connectors.MaxID+1)} {
		n := c.requests()
		_, _, err := c.content(c, id, x)
		assert.ErrorIs(c, err, connectors.ErrInvalid)
		assert.Equal(c, n, c.requests(), "a request for an id that is none")
	}
	if !c.c.Attachments.Delete {
		return
	}
	for a := range contents {
		rev := c.get(c, id).Rev
		_, err := c.conn.Detach(c.Context(), c.k, connectors.Target{ID: id, Rev: "stale"}, a)
		assert.Error(c, c.clean(c, err), "detached from a revision that nobody has")
		_, err = c.conn.Detach(c.Context(), c.k, connectors.Target{ID: id, Rev: rev}, a)
		require.NoError(c, c.clean(c, err))
		_, _, err = c.content(c, id, a)
		assert.ErrorIs(c, err, connectors.ErrNotFound)
		_, err = c.conn.Detach(c.Context(), c.k, connectors.Target{ID: id, Rev: rev}, a)
		assert.NoError(c, c.clean(c, err), "what is gone already")
	}
	assert.Empty(c, c.get(c, id).Attachments)
}

// failing reads some bytes and fails, with words that nobody may hear.
type failing struct{ n int }

// Read implements io.Reader.
func (f *failing) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, errors.New(canary)
	}
	n := min(f.n, len(p))
	f.n -= n
	return n, nil
}

// attachmentsThatDoNotFit: what is too large, of a type that is refused, under a
// name that is a path, or of another length than announced leaves nothing.
func attachmentsThatDoNotFit(c *kase) {
	c.need("way to attach", c.c.Attachments.Write)
	id := c.add(c, c.plain(1))
	rev := c.get(c, id).Rev
	try := func(a connectors.Attachment, content io.Reader) error {
		_, err := c.conn.Attach(c.Context(), c.k, connectors.Target{ID: id, Rev: rev}, a, content)
		return c.clean(c, err)
	}
	n := c.requests()
	for _, name := range []string{"", ".", "..", "a/b.txt", `a\b.txt`, "/etc/passwd", "a\x00b", "a\nb", " a", strings.Repeat("a", 256)} {
		assert.ErrorIs(c, try(connectors.Attachment{Name: name, Size: 1}, strings.NewReader("x")), connectors.ErrInvalid, "name %q", name)
	}
	for _, ext := range c.c.Attachments.Refused {
		assert.ErrorIs(c, try(connectors.Attachment{Name: "a" + strings.ToUpper(ext) + " .", Size: 1}, strings.NewReader("x")), connectors.ErrInvalid, ext)
	}
	size := c.c.Attachments.Size
	if size == 0 {
		size = connectors.MaxAttachmentSize
	}
	assert.ErrorIs(c, try(connectors.Attachment{Name: "a.txt", Size: size + 1}, &failing{}), connectors.ErrInvalid, "too large")
	assert.ErrorIs(c, try(connectors.Attachment{Name: "a.txt", Size: -1}, &failing{}), connectors.ErrInvalid, "of no size")
	assert.ErrorIs(c, try(connectors.Attachment{Name: "a.txt", Size: 1, MediaType: "\r\nX: 1"}, &failing{}), connectors.ErrInvalid, "of no type")
	assert.ErrorIs(c, try(connectors.Attachment{Name: "a.txt", Size: 1}, nil), connectors.ErrInvalid, "without content")
	assert.Equal(c, n, c.requests(), "a request for what cannot be attached")

	assert.Error(c, try(connectors.Attachment{Name: "a.txt", Size: 100}, strings.NewReader("short")), "shorter than announced")
	assert.Error(c, try(connectors.Attachment{Name: "a.txt", Size: 2}, strings.NewReader("long")), "longer than announced")
	assert.Error(c, try(connectors.Attachment{Name: "a.txt", Size: 100_000}, &failing{n: 50_000}), "broken off")
	now := c.get(c, id)
	assert.Empty(c, now.Attachments)
	assert.Equal(c, rev, now.Rev)
	_, err := c.conn.Attach(c.Context(), c.k, connectors.Target{ID: id, Rev: "stale"}, connectors.Attachment{Name: "a.txt", Size: 1}, strings.NewReader("x"))
	assert.Error(c, c.clean(c, err), "attached to a revision that nobody has")
	assert.Empty(c, c.get(c, id).Attachments)
}

// attachmentsUnderWay: whoever gives up, or loses the permission, gets no more
// of a content; each verb needs its permission and no other.
func attachmentsUnderWay(c *kase) {
	c.need("attachments", c.c.Attachments.Read)
	id := c.add(c, c.plain(1))
	a := c.attach(c, id, "a.bin", bytesOf(3, 200_000))
	buf := make([]byte, 1000)

	ctx, cancel := context.WithCancel(c.Context())
	rc, _, err := c.conn.OpenAttachment(ctx, c.k, id, a.ID)
	require.NoError(c, c.clean(c, err))
	_, err = io.ReadFull(rc, buf)
	require.NoError(c, err)
	cancel()
	_, err = io.Copy(io.Discard, rc)
	assert.ErrorIs(c, c.clean(c, err), context.Canceled)
	_ = rc.Close()

	rc, _, err = c.conn.OpenAttachment(c.Context(), c.k, id, a.ID)
	require.NoError(c, c.clean(c, err))
	require.NoError(c, rc.Close())
	_, err = rc.Read(buf)
	assert.Error(c, err, "read after it was closed")

	area := c.area.String() + ".attachments."
	target := func() connectors.Target { return connectors.Target{ID: id, Rev: c.get(c, id).Rev} }
	verbs := map[string]func(conn *connectors.Conn, t connectors.Target) error{
		area + "read": func(conn *connectors.Conn, t connectors.Target) error {
			rc, _, err := conn.OpenAttachment(c.Context(), c.k, t.ID, a.ID)
			if err == nil {
				_ = rc.Close()
			}
			return err
		},
		area + "write": func(conn *connectors.Conn, t connectors.Target) error {
			_, err := conn.Attach(c.Context(), c.k, t, connectors.Attachment{Name: "b.bin", Size: 1}, strings.NewReader("x"))
			return err
		},
		area + "delete": func(conn *connectors.Conn, t connectors.Target) error {
			_, err := conn.Detach(c.Context(), c.k, t, "no-such-file")
			return err
		},
	}
	can := map[string]bool{area + "read": true, area + "write": c.c.Attachments.Write, area + "delete": c.c.Attachments.Delete}
	for missing := range verbs {
		c.Run("without "+missing, func(t *testing.T) {
			o := newCase(t, c.h, c.k, ana+" "+missing)
			conn, err := o.dial(ana, "")
			require.NoError(t, err)
			for perm, verb := range verbs {
				tgt, n := connectors.Target{ID: "some-id", Rev: "some-rev"}, o.requests()
				err := o.clean(t, verb(conn, tgt))
				if perm == missing {
					assert.ErrorIs(t, err, authz.ErrDenied, perm)
					assert.Equal(t, n, o.requests())
				} else {
					assert.NotErrorIs(t, err, authz.ErrDenied, perm)
				}
			}
		})
	}
	for perm, verb := range verbs {
		if !can[perm] {
			assert.ErrorIs(c, c.clean(c, verb(c.conn, target())), connectors.ErrUnsupported, perm)
		}
	}

	rc, _, err = c.conn.OpenAttachment(c.Context(), c.k, id, a.ID)
	require.NoError(c, c.clean(c, err))
	_, err = io.ReadFull(rc, buf)
	require.NoError(c, err)
	c.revoke(ana, area+"read")
	_, err = io.Copy(io.Discard, rc)
	assert.ErrorIs(c, c.clean(c, err), authz.ErrDenied)
	_ = rc.Close()
}
