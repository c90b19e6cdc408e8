package ews

import (
	"net/http"
	"strings"
	"testing"

	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
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
			x := ewstest.New(&ewstest.Options{User: `acme\ana`, Password: "password of ana", Mailboxes: []string{ana}, PageSize: 3})
			return connectortest.System{
				Plugin:  Plugin(),
				Handler: x,
				Path:    ewstest.Path,
				Scheme:  secrets.Scheme{Kind: secrets.Basic, Username: `acme\ana`},
				Secret:  "password of ana",
				Writes: func(r *http.Request) bool {
					a := r.Header.Get("SOAPAction")
					return strings.Contains(a, "/CreateItem") || strings.Contains(a, "/UpdateItem") || strings.Contains(a, "/DeleteItem")
				},
				Expire: x.Expire,
			}
		},
		DuplicateKeys: true,
	})
}
