package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/lockkeeper/lockkeeper/connectors"
)

var _ connectors.Attacher = driver{}

// AddFile attaches a file as a user would; it returns the attachment's id, ""
// if there is no such record.
func (s *System) AddFile(k connectors.Kind, id, name, mediaType string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.kinds[k].items[id]
	if it == nil || it.gone {
		return ""
	}
	return s.attach(it, connectors.Attachment{Name: name, MediaType: mediaType, Size: int64(len(content))}, bytes.Clone(content)).ID
}

func (s *System) attach(it *item, a connectors.Attachment, content []byte) connectors.Attachment {
	s.serial++
	a.ID, a.Rev = fmt.Sprintf("file-%06d", s.serial), "1"
	if it.files == nil {
		it.files = map[string][]byte{}
	}
	it.files[a.ID] = content
	r := it.rec.Clone()
	r.Attachments = append(r.Attachments, &a)
	s.put(r)
	return a
}

// file returns a record and the place of one of its attachments, -1 if it has
// none of that id.
func (d driver) file(k connectors.Kind, id, attachment string) (*item, int) {
	it := d.s.kinds[k].items[id]
	if it == nil || it.gone {
		return nil, -1
	}
	return it, slices.IndexFunc(it.rec.Attachments, func(a *connectors.Attachment) bool { return a.ID == attachment })
}

// OpenAttachment implements connectors.Attacher.
func (d driver) OpenAttachment(ctx context.Context, c connectors.Call, k connectors.Kind, id, attachment string) (io.ReadCloser, connectors.Attachment, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "open", k, []string{id})
	if err != nil {
		return nil, connectors.Attachment{}, err
	}
	it, at := d.file(k, id, attachment)
	switch {
	case f != nil:
		return nil, connectors.Attachment{}, &connectors.Error{Class: f.Err, ID: id}
	case at < 0:
		return nil, connectors.Attachment{}, &connectors.Error{Class: connectors.ErrNotFound, ID: id}
	}
	return &reader{ctx, bytes.NewReader(it.files[attachment])}, *it.rec.Attachments[at], nil
}

// reader ends with its context, as one over a network does.
type reader struct {
	ctx context.Context
	r   *bytes.Reader
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, &connectors.Error{Class: connectors.ErrUnavailable, Cause: err}
	}
	return r.r.Read(p)
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }

// Attach implements connectors.Attacher.
func (d driver) Attach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, a connectors.Attachment, content io.Reader) (connectors.Attached, error) {
	b, err := io.ReadAll(content) // the system keeps it; a driver with a network streams
	if err != nil {
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: connectors.ErrUnavailable}
	}
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "attach", k, []string{t.ID})
	if err != nil {
		return connectors.Attached{}, err
	}
	it, _ := d.file(k, t.ID, "")
	switch {
	case it == nil:
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: connectors.ErrNotFound}
	case it.rec.Rev != t.Rev:
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: connectors.ErrPrecondition}
	}
	a = d.s.attach(it, a, b)
	if f != nil {
		return connectors.Attached{}, &connectors.Error{ID: t.ID, Class: f.Err}
	}
	return connectors.Attached{Attachment: a, Rev: d.s.kinds[k].items[t.ID].rec.Rev}, nil
}

// Detach implements connectors.Attacher.
func (d driver) Detach(ctx context.Context, c connectors.Call, k connectors.Kind, t connectors.Target, attachment string) (connectors.Written, error) {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	f, err := d.enter(ctx, c, "detach", k, []string{t.ID})
	if err != nil {
		return connectors.Written{}, err
	}
	it, at := d.file(k, t.ID, attachment)
	rev := ""
	switch {
	case it == nil || at < 0: // gone already
	case it.rec.Rev != t.Rev:
		return connectors.Written{}, &connectors.Error{ID: t.ID, Class: connectors.ErrPrecondition}
	default:
		delete(it.files, attachment)
		r := it.rec.Clone()
		r.Attachments = slices.Delete(r.Attachments, at, at+1)
		d.s.put(r)
		rev = r.Rev
	}
	if f != nil {
		return connectors.Written{}, &connectors.Error{ID: t.ID, Class: f.Err}
	}
	return connectors.Written{ID: t.ID, Rev: rev}, nil
}

// RemoveFile detaches a file as a user would; it reports whether there was one.
func (s *System) RemoveFile(k connectors.Kind, id, attachment string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, at := driver{s}.file(k, id, attachment)
	if at < 0 {
		return false
	}
	delete(it.files, attachment)
	r := it.rec.Clone()
	r.Attachments = slices.Delete(r.Attachments, at, at+1)
	s.put(r)
	return true
}

// ChangeFile replaces what a file holds, as a user who edits it in place; it
// reports whether there is one.
func (s *System) ChangeFile(k connectors.Kind, id, attachment string, content []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, at := driver{s}.file(k, id, attachment)
	if at < 0 {
		return false
	}
	it.files[attachment] = bytes.Clone(content)
	r := it.rec.Clone()
	s.serial++
	r.Attachments[at].Size, r.Attachments[at].Rev = int64(len(content)), fmt.Sprintf("%d", s.serial)
	s.put(r)
	return true
}
