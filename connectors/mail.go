package connectors

import (
	"mime"
	"slices"
	"strings"
	"time"
)

// Mail is an e-mail that was sent or received, with what deciding about it
// needs of its header (RFC 5322). Mails are made and deleted and never updated.
type Mail struct {
	MessageID  string   // without angle brackets, case-sensitive; the same in every mailbox
	InReplyTo  []string // message ids without angle brackets
	References []string // message ids without angle brackets, oldest first
	From       Party
	To, Cc     []Party
	Date       time.Time
	Subject    string
	Body       string // plain text, lines end in LF
	Direction  Direction

	AutoSubmitted string // value of that field (RFC 3834 section 5), lower case; "" if there is none
	ListID        string // value of List-Id (RFC 2919), "" if there is none
	ContentType   string // media type with its parameters report-type and method, lower case

	Priority    Priority
	Sensitivity Sensitivity
}

// Automatic says why a mail was written by no person: "automatic reply", "list",
// "report" for delivery and read receipts, "invitation" for requests and answers
// of calendars. It is "" for a mail of a person.
func (m *Mail) Automatic() string {
	media, params, err := mime.ParseMediaType(m.ContentType)
	if err != nil {
		media, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(m.ContentType)), ";")
		media = strings.TrimSpace(media)
	}
	switch {
	case media == "multipart/report" || media == "message/disposition-notification" || media == "message/delivery-status":
		return "report"
	case media == "text/calendar" || params["method"] != "":
		return "invitation"
	case m.AutoSubmitted != "" && m.AutoSubmitted != "no":
		return "automatic reply"
	case m.ListID != "":
		return "list"
	}
	return ""
}

// Thread lists the message ids that a mail answers to or quotes, nearest first,
// each once.
func (m *Mail) Thread() []string {
	var out []string
	add := func(id string) {
		if id != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	for _, id := range m.InReplyTo {
		add(id)
	}
	for _, id := range slices.Backward(m.References) {
		add(id)
	}
	return out
}

// Correspondents lists everybody that a mail names, the sender first.
func (m *Mail) Correspondents() []Party {
	var out []Party
	for _, ps := range [][]Party{{m.From}, m.To, m.Cc} {
		for _, p := range ps {
			if p.Address != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

func (m *Mail) clone() *Mail {
	c := *m
	c.InReplyTo, c.References = slices.Clone(m.InReplyTo), slices.Clone(m.References)
	c.To, c.Cc = slices.Clone(m.To), slices.Clone(m.Cc)
	return &c
}
