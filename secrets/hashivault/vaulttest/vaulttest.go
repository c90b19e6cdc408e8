// Package vaulttest runs a HashiCorp Vault for tests: a real one, over TLS, in
// a process of its own, so that sealing and killing it are real. It is thrown
// away afterwards. Building the server takes some minutes once per machine; it
// wants the go command, a checkout of this repository and a unix system.
package vaulttest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ErrAbsent means that the server was not built on this machine.
var ErrAbsent = errors.New("a real Vault is not built here (make deps builds it, once)")

// Options of a Server. The nil Options keep everything in memory.
type Options struct {
	Files bool // keep what it stores in files, so that it survives Kill; a little slower
}

// Server is a running Vault, initialised and unsealed. Safe for concurrent use,
// but for Kill, Restart and Restore.
type Server struct {
	program, dir string
	files        bool
	ca           *authority
	client       *http.Client
	made         atomic.Int64

	key, root string // to unseal, and the token of whoever may do everything

	mu    sync.Mutex
	addr  string // host:port
	leash io.WriteCloser
	gone  chan struct{}
	cmd   *exec.Cmd
	out   *output
}

// output is what a server printed.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Start starts a server that ends with the test. Where none is built the test is
// left out, or where LOCKKEEPER_REQUIRE is "servers" it is built. A server takes
// about a second: start one for many tests and give each its own Mount.
func Start(t testing.TB, o *Options) *Server {
	t.Helper()
	s, err := Open(t.Context(), o)
	if errors.Is(err, ErrAbsent) {
		t.Skip("LEFT OUT: " + err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Open starts a server, for a TestMain. Close it. It is ErrAbsent where none is
// built and none required.
func Open(ctx context.Context, o *Options) (_ *Server, err error) {
	s := &Server{files: o != nil && o.Files}
	if s.program, err = program(ctx); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "vault"); err != nil {
		return nil, fmt.Errorf("vaulttest: %w", err)
	}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	if s.ca, err = newAuthority(); err != nil {
		return nil, err
	}
	cert, key, err := s.ca.issue()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(s.file("cert.pem"), cert, 0o600), os.WriteFile(s.file("key.pem"), key, 0o600), os.Mkdir(s.file("data"), 0o700)); err != nil {
		return nil, fmt.Errorf("vaulttest: %w", err)
	}
	s.client = &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots(), MinVersion: tls.VersionTLS12}}}
	s.addr = "127.0.0.1:0"
	if err := s.serve(); err != nil {
		return nil, err
	}
	var made struct {
		Keys []string
		Root string `json:"root_token"`
	}
	if err := s.ask(ctx, "", http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made); err != nil {
		return nil, err
	}
	if len(made.Keys) != 1 {
		return nil, errors.New("vaulttest: init: no key")
	}
	s.key, s.root = made.Keys[0], made.Root
	return s, s.unseal(ctx)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// serve starts the process. It ends when its standard input does: with Close,
// Kill, or the end of this process, however that comes.
func (s *Server) serve() error {
	args := []string{"-listen", s.addr, "-cert", s.file("cert.pem"), "-key", s.file("key.pem")}
	if s.files {
		args = append(args, "-storage", s.file("data"))
	}
	cmd := exec.Command(s.program, args...)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir, "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &output{}
	cmd.Stderr = out
	leash, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("vaulttest: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("vaulttest: %w", err)
	}
	defer r.Close()
	cmd.Stdout = w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return fmt.Errorf("vaulttest: %w", err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	s.mu.Lock()
	s.cmd, s.leash, s.gone, s.out = cmd, leash, gone, out
	s.mu.Unlock()
	line, err := bufio.NewReader(r).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		<-gone
		return fmt.Errorf("vaulttest: the server ended: %s%s", line, out)
	}
	s.mu.Lock()
	s.addr = addr
	s.mu.Unlock()
	return nil
}

// URL is where the server is, https://127.0.0.1:PORT. It stays the same.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return "https://" + s.addr
}

// CA is the certificate of the authority that issued the server's, as PEM.
func (s *Server) CA() []byte { return bytes.Clone(s.ca.pem) }

// Roots is a pool with the same certificate.
func (s *Server) Roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(s.ca.cert)
	return p
}

// Root is the token of whoever may do everything.
func (s *Server) Root() string { return s.root }

// Log is what the server printed since it was last started.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

// Call sends one request, below /v1/, with a token.
func (s *Server) Call(ctx context.Context, token, method, path string, body any) (status int, answer []byte, err error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, fmt.Errorf("vaulttest: %w", err)
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL()+"/v1/"+path, r)
	if err != nil {
		return 0, nil, fmt.Errorf("vaulttest: %w", err)
	}
	req.Header.Set("X-Vault-Request", "true")
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("vaulttest: %w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

func (s *Server) ask(ctx context.Context, token, method, path string, body, out any) error {
	status, answer, err := s.Call(ctx, token, method, path, body)
	if err != nil {
		return err
	}
	if status >= 300 {
		return fmt.Errorf("vaulttest: %s %s: %d: %s", method, path, status, answer)
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// Do sends a request as root that must succeed, and returns the "data" of the
// answer, or the whole of it where it has none.
func (s *Server) Do(t testing.TB, method, path string, body any) map[string]any {
	t.Helper()
	var out map[string]any
	if err := s.ask(context.WithoutCancel(t.Context()), s.root, method, path, body, &out); err != nil {
		t.Fatal(err)
	}
	if data, ok := out["data"].(map[string]any); ok {
		return data
	}
	return out
}

// Mount enables a secrets engine ("transit", "kv" in version 2, "kv-v1") under a
// name of its own and returns that.
func (s *Server) Mount(t testing.TB, kind string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", kind, s.made.Add(1))
	body := map[string]any{"type": kind}
	switch kind {
	case "kv":
		body["options"] = map[string]string{"version": "2"}
	case "kv-v1":
		body["type"] = "kv"
	}
	s.Do(t, http.MethodPost, "sys/mounts/"+name, body)
	for end := time.Now().Add(time.Minute); kind == "kv"; time.Sleep(10 * time.Millisecond) { // it needs a moment to become version 2
		status, answer, err := s.Call(t.Context(), s.root, http.MethodGet, name+"/config", nil)
		if err == nil && status == http.StatusOK {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("vaulttest: mount: %d %s %v", status, answer, err)
		}
	}
	return name
}

// Auth enables an auth method ("approle", "jwt", "kubernetes") under a name of
// its own and returns that.
func (s *Server) Auth(t testing.TB, kind string) string {
	t.Helper()
	name := fmt.Sprintf("%s-%d", kind, s.made.Add(1))
	s.Do(t, http.MethodPost, "sys/auth/"+name, map[string]any{"type": kind})
	return name
}

// Policy stores a policy, in HCL, under a name of its own and returns that.
func (s *Server) Policy(t testing.TB, hcl string) string {
	t.Helper()
	name := fmt.Sprintf("policy-%d", s.made.Add(1))
	s.Do(t, http.MethodPut, "sys/policies/acl/"+name, map[string]any{"policy": hcl})
	return name
}

// Token makes a token with a policy. More of the request's fields are in extra;
// nil is none.
func (s *Server) Token(t testing.TB, policy string, extra map[string]any) string {
	t.Helper()
	body := map[string]any{"policies": []string{policy}, "no_parent": true}
	for k, v := range extra {
		body[k] = v
	}
	var out struct {
		Auth struct {
			Token string `json:"client_token"`
		}
	}
	if err := s.ask(t.Context(), s.root, http.MethodPost, "auth/token/create", body, &out); err != nil {
		t.Fatal(err)
	}
	return out.Auth.Token
}

// Audit makes the server write every request and answer to a file, as they are,
// and returns its path.
func (s *Server) Audit(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("audit-%d", s.made.Add(1))
	s.Do(t, http.MethodPut, "sys/audit/"+name, map[string]any{"type": "file", "options": map[string]string{"file_path": s.file(name), "log_raw": "true"}})
	return s.file(name)
}

// Seal seals the server. It answers 503 from then on.
func (s *Server) Seal(t testing.TB) {
	t.Helper()
	s.Do(t, http.MethodPut, "sys/seal", nil)
}

// Unseal opens it again, and waits until it serves.
func (s *Server) Unseal(t testing.TB) {
	t.Helper()
	if err := s.unseal(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) unseal(ctx context.Context) error {
	if err := s.ask(ctx, "", http.MethodPut, "sys/unseal", map[string]any{"key": s.key}, nil); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := s.ask(ctx, "", http.MethodGet, "sys/health", nil, nil)
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// Kill ends the process at once, as kill -9 does. With Files what was stored is
// still there after Restart; without, nothing is.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		<-s.gone
		_ = s.leash.Close()
		s.cmd = nil
	}
}

// Restart starts the process again at the same address, sealed, as it starts.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Kill()
	s.client.CloseIdleConnections()
	if err := s.serve(); err != nil {
		t.Fatal(err)
	}
}

// Snapshot copies what a server with Files has stored. Nothing may be writing.
func (s *Server) Snapshot(t testing.TB) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "snapshot")
	if err := os.CopyFS(to, os.DirFS(s.file("data"))); err != nil {
		t.Fatal(err)
	}
	return to
}

// Restore puts a copy in the place of what is stored, and starts the server on
// it, unsealed.
func (s *Server) Restore(t testing.TB, snapshot string) {
	t.Helper()
	s.Kill()
	if err := errors.Join(os.RemoveAll(s.file("data")), os.CopyFS(s.file("data"), os.DirFS(snapshot))); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	s.Unseal(t)
}

// Close ends the server and removes all it wrote.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.cmd != nil {
		_ = s.leash.Close()
		select {
		case <-s.gone:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
			<-s.gone
		}
		s.cmd = nil
	}
	s.mu.Unlock()
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
	return os.RemoveAll(s.dir)
}
