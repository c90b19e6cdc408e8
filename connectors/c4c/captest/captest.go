//go:build unix

package captest

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Path is where the service lives on its host.
const Path = "/sap/c4c/odata/v1/c4codataapi/"

//go:embed package.json package-lock.json server.js srv
var files embed.FS

// startLimit is how long the server may take until it answers.
const startLimit = 90 * time.Second

// Installed returns the directory with the installed server, and whether it is
// there.
func Installed() (string, bool) {
	dir := os.Getenv("LOCKKEEPER_CAPTEST")
	if dir == "" {
		lock, err := files.ReadFile("package-lock.json")
		if err != nil {
			return "", false
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", false
		}
		sum := sha256.Sum256(lock)
		dir = filepath.Join(cache, "lockkeeper", "captest-"+hex.EncodeToString(sum[:8]))
	}
	_, err := os.Stat(filepath.Join(dir, "ready"))
	return dir, err == nil
}

// Start starts a server of its own on loopback, waits until it answers, and
// stops it when the test ends. It returns the address of the service and a user
// who may use it. Without node or the installed server the test is skipped and
// says so; where CI is true it fails.
func Start(t testing.TB) (url, user, password string) {
	t.Helper()
	missing := func(what string) {
		t.Helper()
		if os.Getenv("CI") == "true" || os.Getenv("LOCKKEEPER_REQUIRE") == "servers" {
			t.Fatalf("captest: %s: run connectors/c4c/captest/install.sh", what)
		}
		t.Skipf("captest: left out what needs SAP's OData server: %s: run connectors/c4c/captest/install.sh", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("no node")
	}
	modules, ok := Installed()
	if !ok {
		missing("server not installed")
	}
	dir := t.TempDir()
	if err := unpack(dir); err != nil {
		t.Fatalf("captest: %v", err)
	}
	if err := os.Symlink(filepath.Join(modules, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("captest: %v", err)
	}
	user, password = "eva", rand.Text()
	config, err := json.Marshal(map[string]any{"requires": map[string]any{"auth": map[string]any{"kind": "basic",
		"users": map[string]any{user: map[string]any{"password": password}}}}})
	if err != nil {
		t.Fatalf("captest: %v", err)
	}
	cmd := exec.Command(node, filepath.Join("node_modules", "@sap", "cds", "bin", "serve.js"), "--in-memory", "--port", "0")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CDS_CONFIG="+string(config), "NO_COLOR=1", "NODE_OPTIONS=--max-old-space-size=512")
	// npx and friends start children: the whole group goes at the end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("captest: %v", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		t.Fatalf("captest: start: %v", err)
	}
	out := watch(r)
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		_ = r.Close()
		<-out.done
	})
	select {
	case base := <-out.url:
		url = base + Path
	case <-out.done:
		t.Fatalf("captest: server ended: %s", out.text())
	case <-time.After(startLimit):
		t.Fatalf("captest: server did not start in %v: %s", startLimit, out.text())
	}
	if err := probe(url, user, password); err != "" {
		t.Fatalf("captest: %s: %s", err, out.text())
	}
	return url, user, password
}

func unpack(dir string) error {
	return fs.WalkDir(files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(dir, p), 0o700)
		}
		b, err := files.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, p), b, 0o600)
	})
}

// probe waits until the service answers one reading.
func probe(url, user, password string) string {
	tr := &http.Transport{DisableKeepAlives: true}
	hc := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	last := ""
	for range 50 {
		req, err := http.NewRequest(http.MethodGet, url+"ContactCollection?$top=1&$format=json", nil)
		if err != nil {
			return err.Error()
		}
		req.SetBasicAuth(user, password)
		resp, err := hc.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return ""
			}
			last = "answers " + resp.Status
		} else {
			last = "does not answer"
		}
		time.Sleep(100 * time.Millisecond)
	}
	return last
}

// output is what the server has printed.
type output struct {
	url  chan string
	done chan struct{}
	mu   sync.Mutex
	buf  bytes.Buffer
}

var listening = regexp.MustCompile(`server listening on .*?(http://localhost:[0-9]+)`)

func watch(r io.Reader) *output {
	o := &output{url: make(chan string, 1), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			o.mu.Lock()
			if o.buf.Len() < 64<<10 {
				o.buf.WriteString(sc.Text() + "\n")
			}
			o.mu.Unlock()
			if m := listening.FindStringSubmatch(sc.Text()); m != nil {
				select {
				case o.url <- strings.Replace(m[1], "localhost", "127.0.0.1", 1):
				default:
				}
			}
		}
	}()
	return o
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
