package dav_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/radicale"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// The connector keeps the contract of every connector.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		New: func(t testing.TB) connectortest.System {
			s, err := davtest.New(&davtest.Options{Users: map[string]string{user: password}})
			require.NoError(t, err)
			plugin, err := dav.Plugin()
			require.NoError(t, err)
			return connectortest.System{
				Plugin: plugin, Options: options(), Handler: s.Handler(),
				Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}, Secret: password,
				Expire: s.ExpireTokens,
			}
		},
	})
}

// And it keeps it against Radicale, through a proxy where the suite can stand in
// between. Each case has a user of its own.
func TestConformanceRadicale(t *testing.T) {
	users, n := map[string]string{}, 0
	for i := range 160 {
		users[fmt.Sprintf("user%03d", i)] = password
	}
	s := radicale.Start(t, users)
	target, err := url.Parse(s.URL)
	require.NoError(t, err)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorLog: log.New(io.Discard, "", 0), ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
	connectortest.Run(t, connectortest.Harness{
		New: func(t testing.TB) connectortest.System {
			require.Less(t, n, len(users))
			u := fmt.Sprintf("user%03d", n)
			n++
			plugin, err := dav.Plugin()
			require.NoError(t, err)
			return connectortest.System{
				Plugin: plugin, Handler: proxy, Scheme: secrets.Scheme{Kind: secrets.Basic, Username: u}, Secret: password,
				Options: map[string]string{dav.OptContacts: fmt.Sprintf(radicale.Contacts, u), dav.OptCalendar: fmt.Sprintf(radicale.Calendar, u)},
			}
		},
	})
}
