package ews

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

const (
	ana = "ana@acme.example"
	ben = "ben@acme.example"
)

// The connector keeps the contract of every connector, for contacts, appointments,
// tasks and mails, with their files.
//
// feature: F2, F3, F4, F12
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(t testing.TB) connectortest.System {
			x := ewstest.New(&ewstest.Options{User: `acme\ana`, Password: "password of ana", Mailboxes: []string{ana}, PageSize: 3})
			t.Cleanup(func() {
				if u := x.Unknown(); len(u) > 0 {
					t.Errorf("the emulator did not know: %q", u)
				}
			})
			return connectortest.System{
				Plugin:  Plugin(),
				Handler: x,
				Path:    ewstest.Path,
				Scheme:  secrets.Scheme{Kind: secrets.Basic, Username: `acme\ana`},
				Secret:  "password of ana",
				Writes: func(r *http.Request) bool {
					a := r.Header.Get("SOAPAction")
					return strings.Contains(a, "/Create") || strings.Contains(a, "/Update") || strings.Contains(a, "/Delete")
				},
				Expire: x.Expire,
				Add: func(r *connectors.Record) (string, error) {
					m := r.Mail
					if m == nil {
						return "", errors.ErrUnsupported
					}
					return x.Deliver(ana, "inbox", &ewstest.Mail{MessageID: m.MessageID, Subject: m.Subject, Body: m.Body, Sent: m.Date, From: "kim@other.example"}), nil
				},
				Edit: func(k connectors.Kind, id string, _ connectors.Field, text string) error {
					if k != connectors.KindMail {
						return errors.ErrUnsupported
					}
					x.Edit(ana, id, "item:Subject", text)
					return nil
				},
				Remove: func(k connectors.Kind, id string) error {
					if k != connectors.KindMail {
						return errors.ErrUnsupported
					}
					x.Discard(ana, id)
					return nil
				},
				Attach: func(_ connectors.Kind, id, name, mediaType string, content []byte) error {
					x.Attach(ana, id, name, mediaType, content)
					return nil
				},
			}
		},
		Shape: func(r *connectors.Record) {
			if r.Task == nil { // percent and status are one thing to the system
				return
			}
			switch r.Task.Status {
			case connectors.Completed:
				r.Task.Percent = 100
			case connectors.NotStarted:
				r.Task.Percent = 0
			default:
				r.Task.Percent = min(r.Task.Percent, 99)
			}
		},
		DuplicateKeys: true,
	})
}
