package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/radicale"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/gormstate"
)

// cost is what one run took: on the clock, and of the processor on this side of
// the network.
type cost struct{ wall, cpu time.Duration }

// books is a Radicale with two pairs of address books that hold the same.
type books struct {
	b      *testing.B
	server *radicale.Server
	http   *http.Client
	n      int
}

var (
	copied = flag.Int("e2e.copied", 300, "contacts that are copied in the comparison: Radicale looks at all that are there for each new one")
	alike  = flag.Int("e2e.alike", 5000, "contacts that are on both sides in the comparison")
)

const reader, readerPassword = "ana", "a password"

// newBooks fills one address book of each pair, or both.
func newBooks(b *testing.B, n int, both bool) *books {
	s := radicale.Start(b, map[string]string{reader: readerPassword})
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}}
	b.Cleanup(tr.CloseIdleConnections)
	k := &books{b, s, &http.Client{Transport: tr}, n}
	var all strings.Builder
	for i := range n {
		all.WriteString(k.card(i, "1"))
	}
	for _, of := range []string{"theirs", "ours"} {
		k.put(path(of, "from"), all.String())
		if both {
			k.put(path(of, "to"), all.String())
			continue
		}
		status, _ := s.Do(b, reader, "MKCOL", path(of, "to"), `<?xml version="1.0"?><mkcol xmlns="DAV:"><set><prop><resourcetype><collection/><C:addressbook xmlns:C="urn:ietf:params:xml:ns:carddav"/></resourcetype></prop></set></mkcol>`)
		require.Equal(b, http.StatusCreated, status)
	}
	return k
}

func path(of, which string) string { return "/" + reader + "/" + of + "-" + which + "/" }

func (k *books) card(i int, title string) string {
	return fmt.Sprintf("BEGIN:VCARD\r\nVERSION:3.0\r\nUID:person-%d\r\nFN:Given Family %d\r\nN:Family %d;Given;;;\r\nORG:Company %d;Sales\r\nTITLE:%s\r\n"+
		"EMAIL;TYPE=INTERNET:person.%d@customer.example\r\nTEL;TYPE=WORK:+49 30 %d\r\nTEL;TYPE=CELL:+49 170 %d\r\nADR;TYPE=WORK:;;%d Long Street;Berlin;;10115;DE\r\nNOTE:met at the fair\\, wants to hear of news\r\nEND:VCARD\r\n",
		i, i, i, i%1000, title, i, i, i, i)
}

// put stores an address book as a whole, or one card in it.
func (k *books) put(path, body string) {
	r, err := http.NewRequestWithContext(k.b.Context(), http.MethodPut, k.server.URL+path, strings.NewReader(body))
	require.NoError(k.b, err)
	r.SetBasicAuth(reader, readerPassword)
	r.Header.Set("Content-Type", "text/vcard; charset=utf-8")
	resp, err := k.http.Do(r)
	require.NoError(k.b, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(k.b, err)
	require.Equal(k.b, http.StatusCreated, resp.StatusCode, "%s: %s", path, answer)
}

// edit gives every hundredth contact another title, on both pairs. It does so in
// the server's files, as its documentation allows: asking it takes a second each.
func (k *books) edit() {
	for _, of := range []string{"theirs", "ours"} {
		for i := 0; i < k.n; i += 100 {
			file := filepath.Join(k.server.Data, "collection-root", reader, of+"-from", fmt.Sprintf("person-%d.vcf", i))
			old, err := os.ReadFile(file)
			require.NoError(k.b, err)
			require.Contains(k.b, string(old), "TITLE:1")
			require.NoError(k.b, os.WriteFile(file+".new", bytes.Replace(old, []byte("TITLE:1"), []byte("TITLE:2"), 1), 0o600))
			require.NoError(k.b, os.Rename(file+".new", file))
		}
	}
}

// holds counts the contacts in a book with a title.
func (k *books) holds(path, title string) int {
	status, body := k.server.Do(k.b, reader, "GET", path, "")
	require.Equal(k.b, http.StatusOK, status)
	return strings.Count(body, "TITLE:"+title)
}

// theirs returns what runs vdirsyncer once.
func (k *books) theirs() func() cost {
	program, err := exec.LookPath("vdirsyncer")
	if err != nil {
		k.b.Skip("LEFT OUT: vdirsyncer is not installed (Debian package vdirsyncer)")
	}
	dir := k.b.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	require.NoError(k.b, os.WriteFile(cert, k.server.PEM, 0o600))
	config := fmt.Sprintf("[general]\nstatus_path = %q\n[pair p]\na = \"from\"\nb = \"to\"\ncollections = null\n", filepath.Join(dir, "status"))
	for _, which := range []string{"from", "to"} {
		config += fmt.Sprintf("[storage %s]\ntype = \"carddav\"\nurl = %q\nusername = %q\npassword = %q\nverify = %q\n", which, k.server.URL+path("theirs", which), reader, readerPassword, cert)
	}
	file := filepath.Join(dir, "config")
	require.NoError(k.b, os.WriteFile(file, []byte(config), 0o600))
	run := func(verb string) cost {
		cmd := exec.Command(program, "-c", file, verb)
		cmd.Stdin = strings.NewReader("y\ny\n")
		start := time.Now()
		out, err := cmd.CombinedOutput()
		require.NoError(k.b, err, string(out))
		return cost{time.Since(start), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	}
	run("discover")
	return func() cost { return run("sync") }
}

// twin is an address book in the place of the CRM: what is on the left of a pair
// is one by its area only. It works by a connection of its own.
type twin struct{ conn *connectors.Conn }

var _ connectors.Driver = twin{}

// Changes implements connectors.Driver.
func (d twin) Changes(ctx context.Context, _ connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	return d.conn.Changes(ctx, k, cursor, limit)
}

// Get implements connectors.Driver.
func (d twin) Get(ctx context.Context, _ connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	return d.conn.Get(ctx, k, ids)
}

// Find implements connectors.Driver.
func (d twin) Find(ctx context.Context, _ connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	return d.conn.Find(ctx, k, keys)
}

// List implements connectors.Driver.
func (d twin) List(ctx context.Context, _ connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	return d.conn.List(ctx, k, after, limit)
}

// Create implements connectors.Driver.
func (d twin) Create(ctx context.Context, _ connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	return d.conn.Create(ctx, k, ds)
}

// Update implements connectors.Driver.
func (d twin) Update(ctx context.Context, _ connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	return d.conn.Update(ctx, k, es)
}

// Delete implements connectors.Driver.
func (d twin) Delete(ctx context.Context, _ connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	return d.conn.Delete(ctx, k, ts)
}

// ours returns what runs one round of our own, with everything that belongs to
// it: sealed credentials, decisions on record, durable state.
func (k *books) ours() func() cost {
	b := k.b
	az := authztest.New(b, "allow service:sync-worker role:sync-worker tenants/acme", "allow service:connections role:connection tenants/acme",
		"allow service:admin role:tenant-admin tenants/acme", "allow user:idp/ana role:user tenants/acme/users/ana", "allow user:idp/ana role:crm-user tenants/acme/crm")
	keys, err := local.Create(filepath.Join(b.TempDir(), "keyring"), nil)
	require.NoError(b, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, safe.Close()) })
	ref, err := secrets.NewRef(authztest.Resource(b, "tenants/acme/users/ana"), "mailbox")
	require.NoError(b, err)
	g, err := az.Authorize(b.Context(), authz.Request{Principal: authztest.Principal(b, "service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(b, err)
	require.NoError(b, safe.Put(b.Context(), g, ref, []byte(readerPassword), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: reader}}))
	mail, err := dav.Plugin()
	require.NoError(b, err)
	worker, ana := authztest.Principal(b, "service:sync-worker"), authztest.Principal(b, "user:idp/ana")
	open := func(hub *connectors.Hub, plugin, which, resource string) *connectors.Conn {
		ep := connectors.Endpoint{Plugin: plugin, OnBehalfOf: ana, Resource: authztest.Resource(b, resource)}
		if plugin == dav.Name {
			ep.URL, ep.Secret, ep.Roots, ep.Options = k.server.URL, ref, k.server.Roots, map[string]string{dav.OptContacts: path("ours", which)}
		}
		c, err := hub.Open(b.Context(), worker, ep)
		require.NoError(b, err)
		return c
	}
	inner, err := connectors.NewHub(az.Authorizer, safe, mail)
	require.NoError(b, err)
	from := open(inner, dav.Name, "from", "tenants/acme/users/ana/mailbox")
	caps := mail.Capabilities()
	caps.Area = connectors.CRM
	left, err := connectors.NewPlugin("twin", caps, func(connectors.Settings) (connectors.Driver, error) { return twin{from}, nil })
	require.NoError(b, err)
	hub, err := connectors.NewHub(az.Authorizer, safe, left, mail)
	require.NoError(b, err)
	states, err := gormstate.New(b.TempDir(), keys, nil)
	require.NoError(b, err)
	pair := lksync.Pair{ID: "ana", Resource: authztest.Resource(b, "tenants/acme/users/ana/sync"), OnBehalfOf: ana, Rules: []lksync.Rule{{Kind: connectors.KindContact}},
		Left: open(hub, "twin", "", "tenants/acme/crm"), Right: open(hub, dav.Name, "to", "tenants/acme/users/ana/mailbox")}
	engine := lksync.New(az.Authorizer, states, nil)
	return func() cost {
		start, before := time.Now(), used(b)
		r, err := engine.Sync(context.Background(), worker, pair)
		require.NoError(b, err)
		require.Empty(b, r.Held)
		return cost{time.Since(start), used(b) - before}
	}
}

// used is the processor time of this process.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The same contacts between the same two address books of one Radicale, by
// vdirsyncer of Debian and by this module, in one run: all of them into an empty
// book, all of them when both books have them already, then none, then one in a
// hundred. What counts are the ratios.
//
// evidence: I9
func BenchmarkVdirsyncer(b *testing.B) {
	measure := func(b *testing.B, k *books, theirs, ours func() cost, name, title string, want int) {
		t, o := theirs(), ours()
		for _, of := range []string{"theirs", "ours"} {
			require.Equal(b, want, k.holds(path(of, "to"), title), "%s, %s", name, of)
		}
		b.ReportMetric(o.wall.Seconds()/t.wall.Seconds(), name+"-wall-ratio")
		b.ReportMetric(o.cpu.Seconds()/t.cpu.Seconds(), name+"-cpu-ratio")
		fmt.Fprintf(os.Stderr, "%s: vdirsyncer %.2f s, %.3f s of CPU; ours %.2f s, %.3f s of CPU\n", name, t.wall.Seconds(), t.cpu.Seconds(), o.wall.Seconds(), o.cpu.Seconds())
	}
	b.Run("copy", func(b *testing.B) {
		for b.Loop() {
			k := newBooks(b, *copied, false)
			measure(b, k, k.theirs(), k.ours(), "copy", "1", k.n)
			// What of it is the server's: the same requests and nothing else.
			start := time.Now()
			for i := range k.n {
				k.put(path("ours", "to")+fmt.Sprintf("bare-%d.vcf", i), strings.ReplaceAll(k.card(i, "3"), "UID:", "UID:bare-"))
			}
			fmt.Fprintf(os.Stderr, "copy: the requests alone, to a book that is not empty: %.2f s\n", time.Since(start).Seconds())
		}
	})
	b.Run("alike", func(b *testing.B) {
		for b.Loop() {
			k := newBooks(b, *alike, true)
			theirs, ours := k.theirs(), k.ours()
			measure(b, k, theirs, ours, "adopt", "1", k.n)
			measure(b, k, theirs, ours, "no-op", "1", k.n)
			k.edit()
			measure(b, k, theirs, ours, "1%", "2", k.n/100)
		}
	})
}
