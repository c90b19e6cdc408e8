package msgraph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

const ana = "ana@acme.example"

func today() time.Time { return time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC) }

// The connector keeps the contract of every connector, for what its users write
// and for mails, which it only reads.
//
// feature: F3, F5, F11, F12, F14
func TestConformance(t *testing.T) {
	system := func(g *msgraphtest.Server, kinds ...connectors.Kind) connectortest.System {
		return connectortest.System{
			Plugin:  plugin(today, kinds...),
			Handler: g,
			Path:    "/v1.0/users/" + ana,
			Scheme:  secrets.Scheme{Kind: secrets.Bearer},
			Secret:  "token-of-ana",
			Expire:  g.Expire,
		}
	}
	fresh := func(headers bool) *msgraphtest.Server {
		return msgraphtest.New(&msgraphtest.Options{Token: "token-of-ana", Mailboxes: []string{ana}, PageSize: 3, HeadersInDelta: headers})
	}
	t.Run("written", func(t *testing.T) {
		connectortest.Run(t, connectortest.Harness{
			New: func(testing.TB) connectortest.System {
				return system(fresh(false), connectors.KindContact, connectors.KindAppointment, connectors.KindTask)
			},
			Shape:         shaped,
			DuplicateKeys: true, // of contacts and tasks
		})
	})
	for _, headers := range []bool{false, true} {
		t.Run(fmt.Sprint("mails, headers in changes ", headers), func(t *testing.T) {
			connectortest.Run(t, connectortest.Harness{New: func(testing.TB) connectortest.System {
				g := fresh(headers)
				sys := system(g, connectors.KindMail)
				sys.Add = func(r *connectors.Record) (string, error) { return g.Put(ana, "messages", "", messageJSON(r)) }
				sys.Edit = func(_ connectors.Kind, id string, f connectors.Field, text string) error {
					name := map[connectors.Field]string{connectors.FieldSubject: "subject"}[f]
					return g.Change(ana, "messages", id, marshal(map[string]any{name: text}))
				}
				sys.Remove = func(_ connectors.Kind, id string) error { return g.Remove(ana, "messages", id) }
				sys.Attach = func(_ connectors.Kind, id, name, mediaType string, content []byte) error {
					_, err := g.Attach(ana, "messages", id, name, mediaType, content)
					return err
				}
				return sys
			}})
		})
	}
}

// shaped makes a record one that a mailbox of Graph's can hold.
func shaped(r *connectors.Record) {
	if a := r.Appointment; a != nil && a.Start.After(today().AddDate(0, 0, 600)) && a.Start.Year() < 2030 {
		a.Start, a.End = a.Start.AddDate(0, 0, -600), a.End.AddDate(0, 0, -600) // into the range that is followed
	}
	if c := r.Contact; c != nil { // the mailbox keeps no gaps between addresses
		list := slices.DeleteFunc([]string{c.Email, c.Email2, c.Email3}, func(a string) bool { return a == "" })
		list = append(list, "", "", "")
		c.Email, c.Email2, c.Email3 = list[0], list[1], list[2]
	}
	if x := r.Task; x != nil && x.Status == connectors.Dropped {
		x.Status = connectors.Deferred
	}
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a test's own
	}
	return b
}

// messageJSON is a mail as the service has it.
func messageJSON(r *connectors.Record) []byte {
	m := r.Mail
	who := func(ps []connectors.Party) []any {
		out := []any{}
		for _, p := range ps {
			out = append(out, map[string]any{"emailAddress": map[string]any{"name": p.Name, "address": p.Address}})
		}
		return out
	}
	v := map[string]any{"subject": m.Subject, "body": body{"text", m.Body}, "internetMessageId": "<" + m.MessageID + ">", "toRecipients": who(m.To), "ccRecipients": who(m.Cc),
		"sentDateTime": m.Date.UTC().Format(time.RFC3339), "importance": priorities()[m.Priority], "sensitivity": sensitivities()[m.Sensitivity], "categories": written(r.Categories())}
	if m.From.Address != "" {
		v["from"] = who([]connectors.Party{m.From})[0]
	}
	var hs []header
	add := func(name, value string) {
		if value != "" {
			hs = append(hs, header{name, value})
		}
	}
	ids := func(ids []string) string {
		if len(ids) == 0 {
			return ""
		}
		return "<" + strings.Join(ids, ">\r\n <") + ">"
	}
	add("Message-ID", "<"+m.MessageID+">")
	add("In-Reply-To", ids(m.InReplyTo))
	add("References", ids(m.References))
	add("Auto-Submitted", m.AutoSubmitted)
	add("List-Id", m.ListID)
	add("Content-Type", m.ContentType)
	v["internetMessageHeaders"] = hs
	return marshal(v)
}
