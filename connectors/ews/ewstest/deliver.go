package ewstest

import (
	"maps"
	"strings"
	"time"
)

// Mail is one that lies in a mailbox.
type Mail struct {
	MessageID             string   // without angle brackets
	From                  string   // "address" or "address\tname"
	To, Cc                []string // the same
	Subject, Body         string
	HTML                  bool
	Sent                  time.Time
	InReplyTo, References []string          // without angle brackets
	Header                map[string]string // more of its fields
	Importance            string
	Sensitivity           string
	Categories            []string
	Class                 string // "" for IPM.Note
	Element               string // "" for Message
}

// Deliver puts a mail into a folder of a mailbox and returns its id, "" if there
// is no such folder.
func (s *Server) Deliver(mailbox, folder string, m *Mail) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	box := s.box(mailbox)
	if box == nil || box.folder(folder) == nil {
		return ""
	}
	bracket := func(ids []string) string {
		if len(ids) == 0 {
			return ""
		}
		return "<" + strings.Join(ids, "> <") + ">"
	}
	props := map[string]string{"item:Subject": m.Subject, "item:Body": m.Body, "item:DateTimeSent": m.Sent.UTC().Format(time.RFC3339), "item:DateTimeReceived": m.Sent.UTC().Format(time.RFC3339),
		"message:From": m.From, "message:ToRecipients": strings.Join(m.To, "\n"), "message:CcRecipients": strings.Join(m.Cc, "\n"), "message:InternetMessageId": bracket([]string{m.MessageID}),
		"item:InReplyTo": bracket(m.InReplyTo), "message:References": bracket(m.References), "item:Categories": strings.Join(m.Categories, "\n"), "message:IsRead": "false",
		"item:Importance": m.Importance, "item:Sensitivity": m.Sensitivity, "item:ItemClass": m.Class}
	maps.DeleteFunc(props, func(_, v string) bool { return v == "" })
	if m.HTML {
		props["html"] = "true"
	}
	for k, v := range m.Header {
		props["item:InternetMessageHeader["+k+"]"] = v
	}
	kind := m.Element
	if kind == "" {
		kind = "Message"
	}
	return s.insert(box.folder(folder), kind, props).id
}
