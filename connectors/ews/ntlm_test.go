package ews

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/secrets"
)

func ntlm(user string) func(string) secrets.Scheme {
	return func(host string) secrets.Scheme {
		return secrets.Scheme{Kind: secrets.NTLM, Username: user, Host: host,
			Legacy: secrets.Legacy{By: "user:idp/ada", At: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), Reason: "Exchange 2010 until it is replaced"}}
	}
}

// A server that takes nothing but NTLM is read and written; one password too
// many is no connection to anything.
//
// feature: F38
// evidence: P17
func TestNTLM(t *testing.T) {
	w := newWorldBy(t, asAna(), ewstest.Options{User: `ACME\svc`, NTLM: true}, ntlm(`ACME\svc`))
	c := w.open()
	r := connectors.NewRecord(connectors.KindContact)
	r.Contact.FamilyName = "Ito"
	ws, err := c.Create(t.Context(), connectors.KindContact, []connectors.Draft{{Record: r, Key: "k"}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	got, err := c.Get(t.Context(), connectors.KindContact, []string{ws[0].ID})
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Equal(t, "Ito", got[0].Record.Contact.FamilyName)
	require.Empty(t, w.x.Unknown())

	wrong := newWorldBy(t, asAna(), ewstest.Options{User: `ACME\kim`, NTLM: true}, ntlm(`ACME\svc`))
	_, err = wrong.open().List(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrUnauthorized)
	basic := newWorldBy(t, asAna(), ewstest.Options{User: "svc", NTLM: true}, func(string) secrets.Scheme { return secrets.Scheme{Kind: secrets.Basic, Username: "svc"} })
	_, err = basic.open().List(t.Context(), connectors.KindContact, "", 10)
	require.ErrorIs(t, err, connectors.ErrUnauthorized)
}

// curl signs in to the emulator by NTLM, with the right password only.
func TestCurlJudgesTheSignIn(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal("curl is missing: run make deps")
		}
		t.Skip("left out curl as a judge: it is not installed")
	}
	x := ewstest.New(&ewstest.Options{User: `ACME\svc`, Password: "password of svc", NTLM: true, Mailboxes: []string{ana}})
	srv := httptest.NewUnstartedServer(x)
	srv.Config.ConnContext = x.ConnContext
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	ask := func(user string) string {
		cmd := exec.CommandContext(t.Context(), curl, "--silent", "--show-error", "--cacert", ca, "--ntlm", "--config", "-",
			"--data", "<none/>", "--write-out", "%{http_code}", "--output", os.DevNull, srv.URL+ewstest.Path)
		cmd.Stdin = strings.NewReader("user = \"" + strings.ReplaceAll(user, `\`, `\\`) + "\"\n")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Equal(t, "500", ask(`ACME\svc:password of svc`), "signed in, and what was asked is no envelope")
	require.Equal(t, "401", ask(`ACME\svc:another`))
	require.Equal(t, "401", ask(`OTHER\svc:password of svc`))
}
