//go:build linux

package secrets_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/secrets"
)

var (
	coreIdle  = flag.Duration("secrets.coredump", 0, "measure what the memory of a process shows that has idled so long; 0: do not")
	coreOther = flag.String("secrets.coredump.binary", "", "test binary to measure, such as one built with GOEXPERIMENT=runtimesecret; empty: this one")
)

// coreWork is what a process does with a secret before it idles.
type coreWork struct {
	Scheme secrets.Scheme
	Uses   int
	Origin string
	Roots  []byte // PEM
}

// How many copies of a secret a core dump would have, by what was done with it.
// This asserts only that the measurement sees what is there; SECURITY.md states
// the figures.
func TestCoreDump(t *testing.T) {
	if isChild() {
		idle(t)
		return
	}
	if *coreIdle == 0 {
		t.Skip("LEFT OUT: a measurement; run with -secrets.coredump=60s")
	}
	const refresh = "refresh-Zk4Rq8Wm2Xt6Vb0N-canary"
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "access-" + rand.Text(), "refresh_token": refresh, "token_type": "Bearer", "expires_in": 3600})
		}
	})
	servers := map[string]*httptest.Server{}
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		s := httptest.NewUnstartedServer(handler)
		s.EnableHTTP2 = proto == "HTTP/2"
		s.StartTLS()
		defer s.Close()
		servers[proto] = s
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p8}))
	reversed := key.Primes[0].Bytes() // as a number in memory
	slices.Reverse(reversed)
	password, tok := "pw-"+rand.Text()+"-canary", "tk-"+rand.Text()+"-canary"
	at := func(origin string) secrets.Scheme {
		return secrets.Scheme{TokenURL: origin + "/token", ClientID: "the-client", Issuer: "lockkeeper.example", Subject: "ana@example.com", Audience: "crm.example"}
	}
	type run struct {
		name, value string
		work        coreWork
		forms       map[string][]byte
		cmd         *exec.Cmd
		in          io.WriteCloser
	}
	var runs []*run
	exe := *coreOther
	if exe == "" {
		exe, err = os.Executable()
		require.NoError(t, err)
	}
	for _, kind := range []secrets.Kind{secrets.Basic, secrets.Bearer, secrets.SAMLBearer, secrets.OAuthCode} {
		for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
			for _, uses := range []int{0, 1, 3} {
				if uses == 0 && proto == "HTTP/2" {
					continue
				}
				s := servers[proto]
				r := &run{name: fmt.Sprintf("%-11s put only         ", kind), work: coreWork{Uses: uses, Origin: s.URL, Roots: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}}
				if uses > 0 {
					r.name = fmt.Sprintf("%-11s %d uses, %-8s ", kind, uses, proto)
				}
				r.work.Scheme = at(s.URL)
				switch r.work.Scheme.Kind = kind; kind {
				case secrets.Basic:
					r.work.Scheme.Username = "ana"
					r.value, r.forms = password, map[string][]byte{"plain": []byte(password), "header": []byte(base64.StdEncoding.EncodeToString([]byte("ana:" + password)))}
				case secrets.Bearer:
					r.value, r.forms = tok, map[string][]byte{"plain": []byte(tok)}
				case secrets.SAMLBearer:
					r.work.Scheme.Certificate = selfSigned(t, key)
					text := strings.Split(keyText, "\n")
					r.value, r.forms = keyText, map[string][]byte{"PEM": []byte(text[15]), "prime": key.Primes[0].Bytes()[:64], "prime as a number": reversed[:64]}
				case secrets.OAuthCode:
					r.work.Scheme.Issuer = ""
					r.work.Scheme.AuthURL, r.work.Scheme.RedirectURL = s.URL+"/authorize", "https://app.example/back"
					r.value, r.forms = "client-"+rand.Text()+"-canary", map[string][]byte{"refresh token": []byte(refresh)}
					r.forms["client secret"] = []byte(r.value)
				}
				runs = append(runs, r)
			}
		}
	}
	// All at once, so that the whole lasts as long as one.
	for _, r := range runs {
		r.cmd = exec.CommandContext(t.Context(), exe, "-test.run=^TestCoreDump$")
		work, err := json.Marshal(r.work)
		require.NoError(t, err)
		r.cmd.Env = append(os.Environ(), "SECRETS_TEST_CHILD=1", "SECRETS_TEST_WORK="+string(work))
		r.cmd.Stderr = os.Stderr
		r.in, err = r.cmd.StdinPipe()
		require.NoError(t, err)
		out, err := r.cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, r.cmd.Start())
		_, err = fmt.Fprintf(r.in, "%06d%s", len(r.value), r.value)
		require.NoError(t, err)
		line := ""
		for s := bufio.NewScanner(out); !strings.HasPrefix(line, "idle") && s.Scan(); {
			line = s.Text()
		}
		require.True(t, strings.HasPrefix(line, "idle"), "%s: %s", r.name, line)
		r.name += strings.TrimPrefix(line, "idle")
	}
	time.Sleep(*coreIdle) //nolint:forbidigo // the measurement is of idling
	for _, r := range runs {
		dump := memory(t, r.cmd.Process.Pid)
		require.Contains(t, string(dump), "the-client", "the dump has what the process has")
		text := ""
		for _, form := range []string{"plain", "header", "PEM", "prime", "prime as a number", "client secret", "refresh token"} {
			if b := r.forms[form]; b != nil {
				text += fmt.Sprintf(" %s: %d", form, bytes.Count(dump, b))
			}
		}
		t.Logf("%s%s", r.name, text)
		_ = r.in.Close()
		_ = r.cmd.Wait()
	}
}

// memory reads what of a process's memory is its own, as gcore does.
func memory(t *testing.T, pid int) (out []byte) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	require.NoError(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	require.NoError(t, err)
	defer mem.Close()
	for line := range strings.SplitSeq(string(maps), "\n") {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from) // what is not there reads as nothing
		out = append(out, b[:n]...)
	}
	return out
}

// idle is the process that is looked into: it never has the secret but where it
// puts it, and the server is elsewhere.
func idle(t *testing.T) {
	var work coreWork
	require.NoError(t, json.Unmarshal([]byte(os.Getenv("SECRETS_TEST_WORK")), &work))
	var head [6]byte
	_, err := io.ReadFull(os.Stdin, head[:])
	require.NoError(t, err)
	n := 0
	_, err = fmt.Sscanf(string(head[:]), "%d", &n)
	require.NoError(t, err)
	value := make([]byte, n)
	_, err = io.ReadFull(os.Stdin, value)
	require.NoError(t, err)
	w := newWorld(t)
	ref := newRef(t, "tenants/acme", "crm")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(work.Roots))
	write := w.grant(t, "user:idp/admin", "secrets.write", ref.Resource())
	require.NoError(t, w.safe.Put(t.Context(), write, ref, value, secrets.PutOptions{Scheme: work.Scheme}))
	func() {
		if work.Uses == 0 {
			return
		}
		if work.Scheme.Kind == secrets.OAuthCode {
			u, err := w.safe.ConsentURL(t.Context(), write, ref, "")
			require.NoError(t, err)
			q, err := url.Parse(u)
			require.NoError(t, err)
			require.NoError(t, w.safe.ExchangeCode(t.Context(), write, ref, url.Values{"state": {q.Query().Get("state")}, "code": {"x"}}, roots))
		}
		client := w.client(t, ref, secrets.ClientPolicy{Origin: work.Origin, Roots: roots})
		for range work.Uses {
			_, err := get(t, client, work.Origin+"/api")
			require.NoError(t, err)
		}
	}()
	for range 3 {
		runtime.GC()
	}
	fmt.Printf("idle erasing=%v\n", secrets.Erases)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it has been looked into
	require.NotEmpty(t, work.Scheme.ClientID)
	runtime.KeepAlive(w)
}

// Builds that erase do what others do.
func TestErasingBuild(t *testing.T) {
	if isChild() || secrets.Erases {
		t.Skip("this is it")
	}
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" || os.Getenv("CI") != "true" && os.Getenv("LOCKKEEPER_REQUIRE") != "servers" {
		t.Skip("LEFT OUT: compiles the standard library again; set LOCKKEEPER_REQUIRE=servers")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-short", "-count=1", "-v", "-run", "^Test(Erases|BasicAndBearer|PutAndUse|TheValueIsCleared|LifeOfASecret|Consent|ErrorsThat.*)$", ".")
	cmd.Env = append(os.Environ(), "GOEXPERIMENT=runtimesecret")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "this build erases", "the experiment was on")
}

func TestErases(t *testing.T) {
	if secrets.Erases {
		t.Log("this build erases")
	}
}
