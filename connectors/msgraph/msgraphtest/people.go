package msgraphtest

import (
	"encoding/json"
	"strings"
)

// What people do in their mailboxes, and mail servers.

func (s *Server) box(address string) (*mailbox, error) {
	if b := s.boxes[strings.ToLower(address)]; b != nil {
		return b, nil
	}
	return nil, notFound()
}

// Folder makes a folder of contacts, events, tasks or messages as a mailbox's
// owner would, and returns its id.
func (s *Server) Folder(mailbox, kind, name string) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return "", err
	}
	return s.addFolder(b, kind, name, "").id, nil
}

// Rename gives a folder another name, as the language of its user does.
func (s *Server) Rename(mailbox, kind, folder, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return err
	}
	f := b.folder(kind, folder)
	if f == nil {
		return notFound()
	}
	f.name = name
	return nil
}

// Put makes an item in a folder, or in the standard one if folder is "". The
// content is JSON as the service writes it; of messages, internetMessageHeaders
// too, and extended properties. It returns the item's id.
func (s *Server) Put(mailbox, kind, folder string, content []byte) (id string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return "", err
	}
	f := b.standard(kind)
	if folder != "" {
		f = b.folder(kind, folder)
	}
	var in object
	if err := json.Unmarshal(content, &in); err != nil || f == nil {
		return "", bad("BadRequest")
	}
	ext, _ := in["singleValueExtendedProperties"].([]any)
	headers, _ := in["internetMessageHeaders"].([]any)
	delete(in, "singleValueExtendedProperties")
	delete(in, "internetMessageHeaders")
	props := defaults(kind)
	if err := merge(kind, props, in, true); err != nil {
		return "", err
	}
	e, err := s.insert(&f.collection, props, ext)
	if err != nil {
		return "", err
	}
	e.headers = headers
	s.tell(b, f, "created")
	return e.id, nil
}

// Change gives properties of an item other values, as its owner would.
func (s *Server) Change(mailbox, kind, id string, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return err
	}
	f, e := b.item(kind, id)
	var in object
	if err := json.Unmarshal(content, &in); err != nil || e == nil {
		return notFound()
	}
	props := clone(e.props)
	if err := merge(kind, props, in, false); err != nil {
		return err
	}
	e.props = props
	s.touch(e)
	s.tell(b, f, "updated")
	return nil
}

// Move puts an item into another folder of its sort, as its owner would.
func (s *Server) Move(mailbox, kind, id, folder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return err
	}
	f, e := b.item(kind, id)
	to := b.folder(kind, folder)
	if e == nil || to == nil {
		return notFound()
	}
	if f != to {
		s.move(f, to, e)
	}
	s.tell(b, to, "updated")
	return nil
}

// Remove deletes an item for good, as its owner would.
func (s *Server) Remove(mailbox, kind, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return err
	}
	f, e := b.item(kind, id)
	if e == nil {
		return notFound()
	}
	s.touch(e)
	e.gone = true
	s.tell(b, f, "deleted")
	return nil
}
