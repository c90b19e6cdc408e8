package msgraph

import (
	"testing"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

const ana = "ana@acme.example"

func today() time.Time { return time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC) }

// The connector keeps the contract of every connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(testing.TB) connectortest.System {
			g := msgraphtest.New(&msgraphtest.Options{Token: "token-of-ana", Mailboxes: []string{ana}, PageSize: 3})
			return connectortest.System{
				Plugin:  plugin(today),
				Handler: g,
				Path:    "/v1.0/users/" + ana,
				Scheme:  secrets.Scheme{Kind: secrets.Bearer},
				Secret:  "token-of-ana",
				Expire:  g.Expire,
			}
		},
		Shape: func(r *connectors.Record) {
			if a := r.Appointment; a != nil && a.Start.After(today().AddDate(0, 0, 600)) && a.Start.Year() < 2030 {
				a.Start, a.End = a.Start.AddDate(0, 0, -600), a.End.AddDate(0, 0, -600) // into the range that is followed
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
	})
}
