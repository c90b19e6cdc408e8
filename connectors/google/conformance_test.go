package google

import (
	"fmt"
	"mime"
	"net/http"
	"testing"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

const (
	ana = "ana@acme.example"
	ben = "ben@acme.example"
)

// letterOf writes a mail as somebody would send it.
func letterOf(r *connectors.Record) []byte {
	return fmt.Appendf(nil, "From: Eva <eva@x.example>\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s",
		ana, mime.QEncoding.Encode("utf-8", r.Mail.Subject), r.Mail.MessageID, r.Mail.Body)
}

// The connector keeps the contract of every connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(testing.TB) connectortest.System {
			// All services at one address: the suite has one.
			g := googletest.New(&googletest.Options{Accounts: map[string]string{"token-of-ana": ana}, PageSize: 3, OneRoot: "/api"})
			return connectortest.System{
				Plugin:  Plugin(),
				Options: map[string]string{OptVisits: g.AddCalendar(ana, "SAP Visits Calendar")},
				Handler: g,
				Path:    "/api",
				Writes: func(r *http.Request) bool {
					return r.Method != http.MethodGet && r.URL.Path != "/batch/api"
				},
				Theirs: []connectors.Kind{connectors.KindMail},
				Add:    func(r *connectors.Record) (string, error) { return g.Deliver(ana, letterOf(r), "INBOX") },
				Edit: func(_ connectors.Kind, id string, _ connectors.Field, text string) error {
					return g.Refile(ana, id, text)
				},
				Remove: func(_ connectors.Kind, id string) error { return g.DiscardMail(ana, id) },
				Attach: func(_ connectors.Kind, id, name, mediaType string, content []byte) error {
					return g.AttachTo(ana, id, name, mediaType, content)
				},
				Scheme: secrets.Scheme{Kind: secrets.Bearer},
				Secret: "token-of-ana",
				Expire: g.Expire,
			}
		},
		Shape: func(r *connectors.Record) {
			if x := r.Task; x != nil { // done or not, and nothing between
				if x.Status == connectors.Completed || x.Status == connectors.Dropped {
					x.Status = connectors.Completed
				} else {
					x.Status = connectors.NotStarted
				}
			}
			if c := r.Contact; c != nil { // the mailbox keeps no gaps between addresses
				list := []string{}
				for _, a := range []string{c.Email, c.Email2, c.Email3} {
					if a != "" {
						list = append(list, a)
					}
				}
				list = append(list, "", "", "")
				c.Email, c.Email2, c.Email3 = list[0], list[1], list[2]
			}
		},
		DuplicateKeys: true, // of contacts
		Repeats:       true, // of tasks: the time of their last change is their only history
	})
}
