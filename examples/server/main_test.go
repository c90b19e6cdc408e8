package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// output is what a program has printed so far.
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

func noEnv(string) string { return "" }

// runOnce runs the program to its end.
func runOnce(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, words output
	code = run(t.Context(), args, &out, &words, noEnv)
	return code, out.String(), words.String()
}

// newData names a data directory that is not there yet.
func newData(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }

// served is a program that serves.
type served struct {
	t       *testing.T
	data    string
	url     string
	out     *output
	words   *output
	roots   *x509.CertPool
	stop    func() int // as Ctrl-C; returns the exit code
	clients []*http.Client
}

// small makes the program begin with a handful of records: a first sync of the
// invented world takes its time on a busy machine.
func small(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for i, name := range []string{"Ohm;Georg", "Volta;Ada", "Ampère;Inès"} {
		write(t, dir, fmt.Sprintf("%d.vcf", i), fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nN:%s;;;\r\nFN:%s\r\nTITLE:Keeper\r\nEMAIL:p%d@circuit.example\r\nEND:VCARD\r\n", name, name, i))
	}
	write(t, dir, "event.ics", "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nUID:2\r\nDTSTART:20270101T100000Z\r\nDTEND:20270101T110000Z\r\nSUMMARY:Experiment\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	return []string{"-import", dir}
}

// serving starts the program and waits for the first complete sync.
func serving(t *testing.T, args ...string) *served {
	t.Helper()
	r := &served{t: t, data: newData(t), out: &output{}, words: &output{}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	args = append([]string{"-data", r.data, "-listen", "localhost:0", "-interval", "1s"}, args...)
	go func() { done <- run(ctx, args, r.out, r.words, noEnv) }()
	r.stop = sync.OnceValue(func() int {
		for _, c := range r.clients {
			c.CloseIdleConnections()
		}
		cancel()
		select {
		case code := <-done:
			return code
		case <-time.After(15 * time.Second):
			t.Error("the server does not stop")
			return -1
		}
	})
	t.Cleanup(func() { r.stop() })
	r.eventually("the first complete sync", func() bool {
		select {
		case code := <-done:
			done <- code
			t.Fatalf("ended with %d: %s%s", code, r.out, r.words)
		default:
		}
		return strings.Contains(r.out.String(), "First complete sync")
	})
	r.url = regexp.MustCompile(`https://localhost:\d+`).FindString(r.out.String())
	pem, err := os.ReadFile(filepath.Join(r.data, authority))
	require.NoError(t, err)
	r.roots = x509.NewCertPool()
	require.True(t, r.roots.AppendCertsFromPEM(pem))
	return r
}

// eventually waits for something that must happen; how long is no part of what
// is tested, only that it ends.
func (r *served) eventually(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(5 * time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited for %s in vain:\n%s%s", what, r.out, r.words)
		}
	}
}

// as returns a browser of somebody who has chosen to be a persona.
func (r *served) as(persona string) *browser {
	r.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(r.t, err)
	c := &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.roots, MinVersion: tls.VersionTLS12}}}
	r.clients = append(r.clients, c)
	v := &browser{r, c}
	status, _ := v.post("/persona", url.Values{"persona": {persona}, "back": {"/"}})
	require.Equal(r.t, http.StatusOK, status)
	return v
}

type browser struct {
	r *served
	c *http.Client
}

func (v *browser) do(req *http.Request) (int, string) {
	v.r.t.Helper()
	resp, err := v.c.Do(req)
	require.NoError(v.r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(v.r.t, err)
	return resp.StatusCode, string(b)
}

func (v *browser) get(path string) (int, string) {
	v.r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, v.r.url+path, nil)
	require.NoError(v.r.t, err)
	return v.do(req)
}

func (v *browser) post(path string, form url.Values) (int, string) {
	v.r.t.Helper()
	req, err := http.NewRequest(http.MethodPost, v.r.url+path, strings.NewReader(form.Encode()))
	require.NoError(v.r.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return v.do(req)
}
