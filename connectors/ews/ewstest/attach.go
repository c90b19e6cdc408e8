package ewstest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"time"
)

// file is an attachment.
type file struct {
	id        string
	name      string
	mediaType string
	content   []byte
	item      bool // another item
	modified  time.Time
}

// Attach adds a file to an item as its owner does; it returns the attachment's id,
// "" if there is no such item.
func (s *Server) Attach(mailbox, id, name, mediaType string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.box(mailbox).find(id)
	if e == nil {
		return ""
	}
	return s.attach(e, &file{name: name, mediaType: mediaType, content: bytes.Clone(content)}).id
}

// AttachItem adds a mail to an item, as people who forward one do.
func (s *Server) AttachItem(mailbox, id, subject string, mime []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.box(mailbox).find(id)
	if e == nil {
		return ""
	}
	return s.attach(e, &file{name: subject, content: bytes.Clone(mime), item: true}).id
}

func (s *Server) attach(e *entry, f *file) *file {
	s.serial++
	f.id, f.modified = opaque("file", s.serial)+"ATTACH", s.o.Now().UTC().Truncate(time.Second)
	e.files = append(e.files, f)
	s.touch(e)
	return f
}

// show writes an attachment, with its content or without.
func (f *file) show(content bool) string {
	out := `<t:AttachmentId Id="` + esc(f.id) + `"/><t:Name>` + esc(f.name) + `</t:Name>`
	if f.mediaType != "" {
		out += `<t:ContentType>` + esc(f.mediaType) + `</t:ContentType>`
	}
	// The size that is said counts properties too.
	out += fmt.Sprintf(`<t:Size>%d</t:Size><t:LastModifiedTime>%s</t:LastModifiedTime><t:IsInline>false</t:IsInline>`, len(f.content)+302, f.modified.Format(time.RFC3339))
	data := base64.StdEncoding.EncodeToString(f.content)
	switch {
	case f.item && content:
		return "<t:ItemAttachment>" + out + `<t:Message><t:MimeContent CharacterSet="UTF-8">` + data + "</t:MimeContent></t:Message></t:ItemAttachment>"
	case f.item:
		return "<t:ItemAttachment>" + out + "</t:ItemAttachment>"
	case content && len(f.content) > 0:
		out += `<t:Content>` + data + `</t:Content>`
	}
	return "<t:FileAttachment>" + out + "</t:FileAttachment>"
}

// holder finds an attachment and the item that it is attached to.
func (m *mailbox) holder(id string) (*entry, int) {
	for _, f := range m.folders {
		for _, e := range f.entries {
			for i, a := range e.files {
				if a.id == id && !e.gone {
					return e, i
				}
			}
		}
	}
	return nil, -1
}

func (s *Server) getAttachment(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "AttachmentIds", func(id *node) (string, *problem) {
		e, at := box.holder(id.attr("Id"))
		if e == nil {
			return wrong(op, &problem{code: "ErrorItemNotFound"}), nil
		}
		return right(op, "<m:Attachments>"+e.files[at].show(true)+"</m:Attachments>"), nil
	})
}

func (s *Server) createAttachment(box *mailbox, op *node) ([]string, *problem) {
	to, list := op.at("ParentItemId"), op.at("Attachments")
	if to == nil || list == nil || len(list.Nodes) == 0 {
		return nil, schemaProblem()
	}
	e := box.find(to.attr("Id"))
	var out []string
	for i := range list.Nodes {
		n := &list.Nodes[i]
		if n.name() != "FileAttachment" || n.text("Name") == "" || n.at("Content") == nil {
			return nil, schemaProblem()
		}
		b, err := base64.StdEncoding.DecodeString(n.text("Content"))
		switch {
		case err != nil:
			return nil, schemaProblem()
		case e == nil:
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
		default:
			f := s.attach(e, &file{name: n.text("Name"), mediaType: n.text("ContentType"), content: b})
			out = append(out, right(op, `<m:Attachments><t:FileAttachment><t:AttachmentId Id="`+esc(f.id)+`" RootItemId="`+esc(e.id)+`" RootItemChangeKey="`+esc(e.changeKey())+`"/></t:FileAttachment></m:Attachments>`))
		}
	}
	return out, nil
}

func (s *Server) deleteAttachment(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "AttachmentIds", func(id *node) (string, *problem) {
		e, at := box.holder(id.attr("Id"))
		if e == nil {
			return wrong(op, &problem{code: "ErrorItemNotFound"}), nil
		}
		e.files = append(e.files[:at:at], e.files[at+1:]...)
		s.touch(e)
		return right(op, `<m:RootItemId RootItemId="`+esc(e.id)+`" RootItemChangeKey="`+esc(e.changeKey())+`"/>`), nil
	})
}
