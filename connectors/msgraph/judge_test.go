package msgraph

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
)

// Microsoft's own client finds in the emulator what it finds in Graph, and asks
// for nothing that the emulator does not know.
func TestMicrosoftsClientJudgesTheEmulator(t *testing.T) {
	lock, err := os.ReadFile("msgraphtest/jsclient/package-lock.json")
	require.NoError(t, err)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	modules := filepath.Join(cache, "lockkeeper", "graphclient-"+hex.EncodeToString(sum[:8]))
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(modules, "ready")); missing != nil || err != nil {
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatal("Microsoft's client is missing: run connectors/msgraph/msgraphtest/jsclient/install.sh")
		}
		t.Skip("left out Microsoft's client as a judge: run connectors/msgraph/msgraphtest/jsclient/install.sh")
	}
	// Upload sessions are at another host, to which the client sends no token.
	uploads, large := "", "a.txt 5"
	var g *msgraphtest.Server
	if l, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		up := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.ServeHTTP(w, r) }), ReadHeaderTimeout: time.Minute}}
		up.StartTLS()
		defer up.Close()
		uploads, large = l.Addr().String(), "a.txt 5 large.bin 3670016"
	}
	g = msgraphtest.New(&msgraphtest.Options{Token: "token-of-ana", Mailboxes: []string{ana}, PageSize: 3, Now: today, UploadHost: uploads})
	srv := httptest.NewTLSServer(g)
	defer srv.Close()
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	script, err := os.ReadFile("msgraphtest/jsclient/judge.js")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "judge.js"), script, 0o600))
	require.NoError(t, os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")))
	mail, err := g.Put(ana, "messages", "", []byte(`{"subject":"Hello","internetMessageId":"<m1@x.example>","from":{"emailAddress":{"address":"b@x.example"}},
		"internetMessageHeaders":[{"name":"Received","value":"x"}]}`))
	require.NoError(t, err)
	_, err = g.Attach(ana, "messages", mail, "f.txt", "text/plain", []byte("content"))
	require.NoError(t, err)
	for kind, name := range map[string]string{"contacts": "SAP Contacts", "events": "Second"} {
		_, err = g.Folder(ana, kind, name)
		require.NoError(t, err)
	}
	g.Throttle(1) // it waits and goes on
	cmd := exec.CommandContext(t.Context(), node, "judge.js", srv.URL+"/", "token-of-ana", ana, uploads)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+ca)
	var stderr errs
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr)
	var saw map[string]any
	require.NoError(t, json.Unmarshal(out, &saw))
	require.Equal(t, map[string]any{
		"listed": "S0 S1 S2 S3 S4 S5 S6", "delta": 7.0, "changed": "Changed", "stale": "412 ErrorIrresolvableConflict", "news": "Changed removed",
		"start": "2026-03-10T09:00 UTC", "twice": "409", "view": "Plan", "batch": "200 404",
		"keyed": "Call k1", "todo": "completed high 2026-03-12: Call removed", "mail": "Inbox: Hello Received 1 f.txt 7 content",
		"files": large, "folders": "SAP Contacts Second Elsewhere",
	}, saw)
	require.Empty(t, g.Unknown())
}

type errs []byte

func (e *errs) Write(b []byte) (int, error) { *e = append(*e, b...); return len(b), nil }
