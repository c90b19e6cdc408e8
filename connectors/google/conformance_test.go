package google

import (
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

// The connector keeps the contract of every connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(testing.TB) connectortest.System {
			g := googletest.New(&googletest.Options{Accounts: map[string]string{"token-of-ana": ana}, PageSize: 3})
			return connectortest.System{
				Plugin: Plugin(),
				// Both services at one address: the suite has one.
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if len(r.URL.Path) > 4 && r.URL.Path[:4] == "/v1/" && len(r.URL.Path) > 13 && r.URL.Path[4:14] == "calendars/" {
						r.URL.Path = "/calendar/v3/" + r.URL.Path[4:]
						if r.URL.RawPath != "" {
							r.URL.RawPath = "/calendar/v3/" + r.URL.RawPath[4:]
						}
					}
					g.ServeHTTP(w, r)
				}),
				Path:   "/v1",
				Scheme: secrets.Scheme{Kind: secrets.Bearer},
				Secret: "token-of-ana",
				Expire: g.Expire,
			}
		},
		Shape: func(r *connectors.Record) {
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
