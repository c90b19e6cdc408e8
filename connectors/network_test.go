package connectors_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// No address in a configuration leads to what only this machine can reach, however
// it is written, and no name that comes to mean such an address.
//
// guards: G12
func TestG12EndpointsStayOutside(t *testing.T) {
	w := world(t)
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme"), "x")
	require.NoError(t, err)
	names := map[string][]string{
		"crm.example":  {"93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"},
		"evil.example": {"93.184.215.14", "10.0.0.7"}, "metadata.example": {"169.254.169.254"}, "mapped.example": {"::ffff:127.0.0.1"},
		"mail.corp.example": {"10.1.2.3"},
	}
	lookup := func(_ context.Context, host string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range names[host] {
			out = append(out, netip.MustParseAddr(a))
		}
		if out == nil {
			return nil, errors.New("no such host")
		}
		return out, nil
	}
	h, err := connectors.NewHub(w.Authorizer, newSafe(t), plugin(t, &fake{}))
	require.NoError(t, err)
	open := func(u string) (*connectors.Conn, error) {
		return h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t), URL: u, Secret: ref})
	}
	for _, u := range []string{"https://169.254.169.254/latest", "https://[fe80::1]/", "https://0.0.0.0/", "https://[::ffff:169.254.169.254]/"} {
		_, err := open(u)
		assert.ErrorIs(t, err, authz.ErrDenied, "%s, even where nothing is confined", u)
	}
	_, err = open("https://10.1.2.3/ews")
	require.NoError(t, err)

	h.Confine(connectors.Network{Inside: []string{"Mail.Corp.Example"}, Lookup: lookup})
	for _, u := range []string{"https://10.1.2.3/", "https://127.0.0.1/", "http://localhost/", "https://[::1]/", "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/",
		"https://[fd00::1]/", "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://evil.example/", "https://metadata.example/", "https://mapped.example/", "https://nowhere.example/"} {
		_, err := open(u)
		assert.Error(t, err, u)
	}
	_, err = open("https://mail.corp.example/ews")
	require.NoError(t, err, "listed")
	c, err := open("https://crm.example/")
	require.NoError(t, err)
	names["crm.example"] = []string{"127.0.0.1"} // the name means another address now
	for verb, err := range all(t.Context(), c) {
		assert.ErrorIs(t, err, authz.ErrDenied, verb)
	}
	_, err = h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t), URL: "https://mail.corp.example/", Secret: ref,
		Elsewhere: map[connectors.Kind]string{kind: "https://192.168.0.9/"}})
	assert.ErrorIs(t, err, authz.ErrDenied, "nor where a kind is kept elsewhere")
}
