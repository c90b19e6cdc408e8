package c4c

import (
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// A mail has one property for two things: the message id, by which other
// software that saves mails knows that one is there, and the create key. Ours
// are written "<message id> key", and the key alone where there is no message
// id. Others write a message id with or without its angle brackets.

// joinMessage is what a mail carries.
func joinMessage(message, key string) string {
	if _, ambiguous := cutKey(key); message == "" && !ambiguous {
		return key
	}
	return "<" + message + "> " + key
}

// cutMessage divides what a mail carries into message id and key.
func cutMessage(s string) (message, key string) {
	if m, ok := cutKey(s); ok {
		return m, s[len(m)+3:]
	}
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") && strings.Contains(s, "@") {
		return s[1 : len(s)-1], ""
	}
	if strings.Contains(s, "@") {
		return s, ""
	}
	return "", s
}

func cutKey(s string) (message string, ok bool) {
	if !strings.HasPrefix(s, "<") {
		return "", false
	}
	message, _, ok = strings.Cut(s[1:], "> ")
	return message, ok
}

// keyFilters are the spellings under which a record may carry a key.
func (s shape) keyFilters(key string) []string {
	if s.kind == connectors.KindMail {
		return []string{key, "*> " + key}
	}
	return []string{key}
}

// carry is what a new record carries so that it is found again.
func (s shape) carry(d connectors.Draft) string {
	if s.kind == connectors.KindMail {
		return joinMessage(d.Record.Mail.MessageID, d.Key)
	}
	return d.Key
}

// carried is the create key of a record, "" if it is not one of ours.
func (s shape) carried(e entity) (string, error) {
	v, err := e.text(s.key)
	if err != nil {
		return "", err
	}
	if s.kind == connectors.KindMail {
		_, v = cutMessage(v)
	}
	if s.system == "" {
		return v, nil
	}
	system, err := e.text(s.system)
	if system != externalSystem {
		return "", err
	}
	return v, err
}

// keys names the properties that carry the create key.
func (s shape) keys() string {
	if s.system == "" {
		return s.key
	}
	return s.key + "," + s.system
}
