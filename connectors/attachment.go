package connectors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"slices"
	"strings"
	"sync"
)

// Attachment says what is attached to a record. The content never comes along:
// it is read with Conn.OpenAttachment.
//
// Formatting an Attachment shows its id and size and never its name;
// marshalling one is an error.
type Attachment struct {
	ID        string // the system's own id of it, at most MaxID bytes; unique within the record
	Name      string // file name without a path
	MediaType string // as the system says, "" if it does not
	Size      int64  // bytes; -1 if the system does not say
	Rev       string // revision of the content, opaque; "" if the system has none
}

// MaxAttachmentName is the longest file name, in bytes.
const MaxAttachmentName = 255

// MaxAttachmentSize is the largest content that any connection carries, in
// bytes, whatever a system takes.
const MaxAttachmentSize = 150 << 20

// AttachmentCapability says what a system can do with the attachments of one
// kind. The zero value offers none.
type AttachmentCapability struct {
	Read   bool
	Write  bool  // attach
	Delete bool  // detach
	Size   int64 // largest it takes, in bytes; zero: MaxAttachmentSize

	// Extensions that it refuses, lower case with the dot, as in ".exe".
	Refused []string
}

// largest is the size limit that holds.
func (c AttachmentCapability) largest() int64 {
	if c.Size <= 0 || c.Size > MaxAttachmentSize {
		return MaxAttachmentSize
	}
	return c.Size
}

// Fit checks an attachment against what a system takes. Its error is an *Error
// of class ErrInvalid and never shows the name.
func (c AttachmentCapability) Fit(a Attachment) error {
	bad := func(format string, v ...any) error {
		return &Error{Op: "check", Class: ErrInvalid, Detail: "attachment: " + fmt.Sprintf(format, v...)}
	}
	name := a.Name
	switch {
	case a.Size < 0:
		return bad("size unknown")
	case a.Size > c.largest():
		return bad("%d bytes where %d fit", a.Size, c.largest())
	case name == "" || len(name) > MaxAttachmentName:
		return bad("no name or one too long")
	case strings.ContainsAny(name, "/\\") || name != path.Base(name) || name == "." || name == ".." ||
		name != NormalizeText(FieldName, name):
		return bad("name is a path or has characters that no file name has")
	case slices.Contains(c.Refused, Extension(name)):
		return bad("the system refuses files of that type")
	}
	if a.MediaType != "" {
		if _, _, err := mime.ParseMediaType(a.MediaType); err != nil {
			return bad("media type cannot be read")
		}
	}
	return nil
}

// Extension is that of a file name, lower case with the dot, "" if there is none.
func Extension(name string) string { return strings.ToLower(path.Ext(strings.TrimRight(name, ". "))) }

// Attacher is what a Driver implements beside its other verbs when its
// capabilities offer attachments of some kind. Content is streamed: a method
// holds no more of it in memory than a buffer's worth, 1 MiB at most.
type Attacher interface {
	// OpenAttachment reads the content of one attachment. The call lives until
	// the reader is closed. What is gone is ErrNotFound.
	OpenAttachment(ctx context.Context, c Call, k Kind, id, attachment string) (io.ReadCloser, Attachment, error)

	// Attach adds one to a record that still has the given revision, else
	// ErrPrecondition; an empty revision is refused. The reader gives exactly
	// a.Size bytes or fails; one that fails leaves nothing attached.
	Attach(ctx context.Context, c Call, k Kind, t Target, a Attachment, content io.Reader) (Attached, error)

	// Detach removes one from a record. What is gone already is a success.
	Detach(ctx context.Context, c Call, k Kind, t Target, attachment string) (Written, error)
}

// Attached is the outcome of attaching: what is attached now, and the record's
// new revision, "" where the system does not say.
type Attached struct {
	Attachment Attachment
	Rev        string
}

// OpenAttachment reads the content of an attachment of a record. It needs
// attachments.read on the container of the kind. Whoever gets a reader closes
// it; until then the permission is tested again with each request that reading
// needs. A content larger than the system's limit fails with ErrMalformed
// instead of going on.
func (c *Conn) OpenAttachment(ctx context.Context, k Kind, id, attachment string) (io.ReadCloser, Attachment, error) {
	call, d, err := c.beginAttach(ctx, "open attachment", k, readAttachment, func(a AttachmentCapability) bool { return a.Read })
	if err != nil {
		return nil, Attachment{}, err
	}
	if err := errors.Join(named(id), named(attachment)); err != nil {
		call.end()
		return nil, Attachment{}, c.invalid("open attachment", k, "empty or over-long id")
	}
	rc, a, err := d.OpenAttachment(ctx, call, k, id, attachment)
	if err != nil {
		call.end()
		return nil, Attachment{}, c.wrap("open attachment", k, err)
	}
	v, _ := c.Capability(k)
	if rc == nil || saneAttachment(a) != nil || a.Size > v.Attachments.largest() {
		if rc != nil {
			_ = rc.Close()
		}
		call.end()
		return nil, Attachment{}, c.malformed("open attachment", k, "attachment without content, name or id, or too large")
	}
	return &opened{c: c, k: k, call: call, rc: rc, left: v.Attachments.largest(), size: a.Size}, a, nil
}

// Attach adds an attachment to a record. It needs attachments.write. The content
// is read once and streamed; it has to be of exactly a.Size bytes. a.ID and
// a.Rev do not count. When the outcome is unknown, reading the record tells by
// name and size whether it is attached.
func (c *Conn) Attach(ctx context.Context, k Kind, t Target, a Attachment, content io.Reader) (Attached, error) {
	const op = "attach"
	call, d, err := c.beginAttach(ctx, op, k, writeAttachment, func(a AttachmentCapability) bool { return a.Write })
	if err != nil {
		return Attached{}, err
	}
	defer call.end()
	if named(t.ID) != nil || t.Rev == "" || content == nil {
		return Attached{}, c.invalid(op, k, "no id, revision or content")
	}
	v, _ := c.Capability(k)
	if err := v.Attachments.Fit(a); err != nil {
		return Attached{}, c.wrap(op, k, err)
	}
	in := &exact{r: content, left: a.Size, alive: call.Err}
	out, err := d.Attach(ctx, call, k, t, a, in)
	switch {
	case err != nil:
		if in.err != nil { // the content's fault, not the system's
			err = &Error{ID: t.ID, Class: ErrInvalid, Detail: "the content could not be read as long as it was said to be"}
		}
		return Attached{}, c.wrap(op, k, err)
	case in.left != 0 || saneAttachment(out.Attachment) != nil || len(out.Rev) > MaxRev:
		return Attached{}, &Error{Plugin: c.plugin.name, Op: op, Kind: k, ID: t.ID, Class: ErrUnknownOutcome, Detail: "the answer does not fit what was sent"}
	}
	return out, nil
}

// Detach removes an attachment from a record that still has the given revision.
// It needs attachments.delete. What is gone already is a success.
func (c *Conn) Detach(ctx context.Context, k Kind, t Target, attachment string) (Written, error) {
	const op = "detach"
	call, d, err := c.beginAttach(ctx, op, k, removeAttachment, func(a AttachmentCapability) bool { return a.Delete })
	if err != nil {
		return Written{}, err
	}
	defer call.end()
	if named(t.ID) != nil || named(attachment) != nil || t.Rev == "" {
		return Written{}, c.invalid(op, k, "no id, revision or attachment")
	}
	w, err := d.Detach(ctx, call, k, t, attachment)
	if err == nil {
		err = w.Err
	}
	if err != nil {
		return Written{}, c.wrap(op, k, err)
	}
	if len(w.Rev) > MaxRev || len(w.ID) > MaxID {
		return Written{}, c.malformed(op, k, "over-long id or revision")
	}
	return w, nil
}

// beginAttach authorizes one verb on attachments, as begin does.
func (c *Conn) beginAttach(ctx context.Context, op string, k Kind, a access, can func(AttachmentCapability) bool) (Call, Attacher, error) {
	call, err := c.begin(ctx, op, k, a)
	if err != nil {
		return Call{}, nil, err
	}
	v, _ := c.Capability(k)
	d, ok := c.driver.(Attacher)
	if !ok || !can(v.Attachments) {
		call.end()
		return Call{}, nil, &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnsupported}
	}
	return call, d, nil
}

func (c *Conn) invalid(op string, k Kind, detail string) error {
	return &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrInvalid, Detail: detail}
}

// saneAttachment refuses what no system should hand out.
func saneAttachment(a Attachment) error {
	if a.ID == "" || len(a.ID) > MaxID || len(a.Rev) > MaxRev || len(a.Name) > 4*MaxAttachmentName || len(a.MediaType) > 1024 || a.Size < -1 {
		return &Error{Class: ErrMalformed}
	}
	return nil
}

// opened is content under way. Its call lives until it is closed.
type opened struct {
	c    *Conn
	k    Kind
	call Call
	rc   io.ReadCloser
	left int64 // of what any content may have
	size int64 // as announced, -1 if not
	read int64

	once sync.Once
	err  error
}

// Read implements io.Reader.
func (o *opened) Read(p []byte) (int, error) {
	if err := o.call.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > o.left+1 {
		p = p[:o.left+1]
	}
	n, err := o.rc.Read(p)
	o.left, o.read = o.left-int64(n), o.read+int64(n)
	switch {
	case o.left < 0 || o.size >= 0 && o.read > o.size:
		return 0, o.c.malformed("open attachment", o.k, "content larger than it may be")
	case err == io.EOF && o.size >= 0 && o.read < o.size:
		return n, o.c.malformed("open attachment", o.k, "content shorter than announced")
	case err != nil && err != io.EOF:
		var e *Error
		if !errors.As(err, &e) {
			err = &Error{Class: ErrUnavailable, Detail: "content broke off", Cause: gaveUp(err)}
		}
		return n, o.c.wrap("open attachment", o.k, err)
	}
	return n, err
}

// gaveUp keeps of an error only whether somebody gave up: what else a transport
// says may hold an address.
func gaveUp(err error) error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			return known
		}
	}
	return io.ErrUnexpectedEOF
}

// Close implements io.Closer. Closing twice is fine.
func (o *opened) Close() error {
	o.once.Do(func() {
		o.err = o.rc.Close()
		o.call.end()
	})
	return o.err
}

// exact gives as many bytes as were announced, or fails.
type exact struct {
	r     io.Reader
	left  int64
	alive func() error
	err   error
}

// Read implements io.Reader.
func (e *exact) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if err := e.alive(); err != nil {
		return 0, err
	}
	if e.left == 0 {
		// One byte more would be another content than announced.
		var one [1]byte
		n, err := io.ReadFull(e.r, one[:])
		switch {
		case n > 0:
			e.err = errors.New("content longer than announced")
		case err == io.EOF:
			return 0, io.EOF
		default:
			e.err = errors.New("content cannot be read")
		}
		return 0, e.err
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		e.err = io.ErrUnexpectedEOF
		return n, e.err
	}
	if err != nil && err != io.EOF {
		e.err = errors.New("content cannot be read")
		return n, e.err
	}
	return n, nil
}
