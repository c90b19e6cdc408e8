package connectortest

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// canary stands in every record the suite writes and in every word that the
// remote side says. No error may hold it.
const canary = "kanarienvogel"

// Who acts in a world.
const (
	ana    = "user:idp/ana" // whose records they are
	ben    = "user:idp/ben" // changes them behind the connector's back
	worker = "service:worker"
	conns  = "service:" + connectors.ConnectionsPrincipal
	admin  = "service:admin"
)

// check is what testing.T and rapid.T have in common.
type check interface {
	require.TestingT
	Helper()
}

// kase is one case for one kind on a system of its own.
type kase struct {
	*testing.T
	h    Harness
	sys  System
	k    connectors.Kind
	c    connectors.Capability
	area connectors.Area

	az      *authz.Authorizer
	audit   *authz.Memory
	allowed map[string]uuid.UUID // "PRINCIPAL PERMISSION" to the authorization
	safe    *secrets.Safe
	hub     *connectors.Hub
	ep      connectors.Endpoint
	server  *server // nil without network
	conn    *connectors.Conn
	other   *connectors.Conn

	mu     sync.Mutex
	opened []*connectors.Conn
	keys   int
}

// permissions of everybody who takes part in a verb.
func permissions(a connectors.Area) []string {
	return []string{"connections.open", a.String() + ".items.read", a.String() + ".items.write", a.String() + ".items.delete",
		a.String() + ".attachments.read", a.String() + ".attachments.write", a.String() + ".attachments.delete", "secrets.use"}
}

func roleOf(permission string) string { return "role:only-" + strings.ReplaceAll(permission, ".", "-") }

// atomicPolicy is the shipped policy and a role for each permission alone, so
// that a case can take away exactly one.
func atomicPolicy(t *testing.T, a connectors.Area) fs.FS {
	out := fstest.MapFS{}
	for _, name := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		b, err := fs.ReadFile(policy.Files(), name)
		require.NoError(t, err)
		if name == "roles.csv" {
			for _, p := range permissions(a) {
				b = fmt.Appendf(b, "\np, %s, %s", roleOf(p), p)
			}
		}
		out[name] = &fstest.MapFile{Data: b}
	}
	return out
}

// newCase makes a world. The permission that is missing, as in
// "PRINCIPAL PERMISSION", is not given; "" gives all.
func newCase(t *testing.T, h Harness, k connectors.Kind, missing string) *kase {
	t.Helper()
	sys := h.New(t)
	if sys.Theirs != nil && !slices.Contains(sys.Theirs, k) {
		sys.Add, sys.Edit, sys.Remove, sys.Attach = nil, nil, nil, nil
	}
	caps := sys.Plugin.Capabilities()
	c := &kase{T: t, h: h, sys: sys, k: k, c: caps.Kinds[k], area: caps.Area, allowed: map[string]uuid.UUID{}, audit: authz.NewMemory(0)}
	where := authztest.Resource(t, "tenants/acme/crm")
	if c.area == connectors.Mailbox {
		where = authztest.Resource(t, "tenants/acme/users/ana/mailbox")
	}
	o := &authz.Options{Audit: c.audit, Seed: []authz.Authorization{{Principal: authztest.Principal(t, admin),
		Role: authz.MustRole("role:tenant-admin"), Resource: authztest.Resource(t, "tenants/acme"), Effect: authz.Allow}}}
	for _, p := range permissions(c.area) {
		who := []string{ana, ben, worker}
		if p == "secrets.use" {
			who = []string{conns}
		}
		for _, w := range who {
			if w+" "+p == missing {
				continue
			}
			id := uuid.New()
			c.allowed[w+" "+p] = id
			o.Seed = append(o.Seed, authz.Authorization{ID: id, Principal: authztest.Principal(t, w), Role: authz.MustRole(roleOf(p)),
				Resource: authztest.Resource(t, "tenants/acme"), Effect: authz.Allow})
		}
	}
	var err error
	c.az, err = authz.New(t.Context(), atomicPolicy(t, c.area), o)
	require.NoError(t, err)

	c.ep = connectors.Endpoint{Plugin: sys.Plugin.Name(), Resource: where, Options: sys.Options}
	if sys.Handler != nil {
		c.serve()
	}
	c.hub, err = connectors.NewHub(c.az, c.safe, sys.Plugin)
	require.NoError(t, err)
	if missing == "" {
		c.conn, c.other = c.open(ana), c.open(ben)
	}
	return c
}

// serve puts the handler on the network and the credential into a safe.
func (c *kase) serve() {
	c.server = &server{next: c.sys.Handler, writes: c.sys.Writes}
	if c.server.writes == nil {
		c.server.writes = writes
	}
	s := httptest.NewUnstartedServer(c.server)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	c.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())

	keys, err := local.Create(filepath.Join(c.TempDir(), "keyring"), nil)
	require.NoError(c, err)
	c.safe, err = secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(c, err)
	c.Cleanup(func() { require.NoError(c, c.safe.Close()) })
	ref, err := secrets.NewRef(authztest.Resource(c, "tenants/acme"), "remote")
	require.NoError(c, err)
	g, err := c.az.Authorize(c.Context(), authz.Request{Principal: authztest.Principal(c, admin),
		Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(c, err)
	require.NoError(c, c.safe.Put(c.Context(), g, ref, []byte(c.sys.Secret), secrets.PutOptions{Scheme: c.sys.Scheme}))
	c.ep.URL, c.ep.Secret, c.ep.Roots = s.URL+c.sys.Path, ref, roots

	// Whatever a case does: a request that arrived was sent within a call and
	// carried the credential.
	c.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		var sent int64
		for _, conn := range c.opened {
			sent += conn.Requests()
		}
		arrived, naked := c.server.counts()
		require.LessOrEqual(c, arrived, sent, "requests that arrived and requests that calls have sent")
		require.Zero(c, naked, "requests without the credential")
	})
}

// dial opens a connection for somebody, perhaps on behalf of somebody else.
func (c *kase) dial(who, behalf string) (*connectors.Conn, error) {
	ep := c.ep
	if behalf != "" {
		ep.OnBehalfOf = authztest.Principal(c, behalf)
	}
	conn, err := c.hub.Open(c.Context(), authztest.Principal(c, who), ep)
	if err == nil {
		c.mu.Lock()
		c.opened = append(c.opened, conn)
		c.mu.Unlock()
	}
	return conn, err
}

func (c *kase) open(who string) *connectors.Conn {
	c.Helper()
	conn, err := c.dial(who, "")
	require.NoError(c, err)
	return conn
}

// revoke takes one permission away from somebody.
func (c *kase) revoke(who, permission string) {
	g, err := c.az.Authorize(context.Background(), authz.Request{Principal: authztest.Principal(c, admin),
		Permission: authz.MustPermission("authz.authorizations.write"), Resource: authztest.Resource(c, "tenants/acme")})
	if err == nil {
		err = c.az.Edit(g).Revoke(context.Background(), c.allowed[who+" "+permission], "test")
	}
	if err != nil {
		c.Errorf("revoke: %v", err)
	}
}

// requests is how many requests have reached the system.
func (c *kase) requests() int64 {
	if c.server == nil {
		return c.sys.Requests()
	}
	n, _ := c.server.counts()
	return n
}

// clean fails on an error that tells what it must not, or that nobody could
// branch on. It returns the error.
func (c *kase) clean(t check, err error) error {
	t.Helper()
	if err == nil {
		return nil
	}
	words := []string{canary}
	if c.sys.Secret != "" {
		words = append(words, c.sys.Secret, base64.StdEncoding.EncodeToString([]byte(c.sys.Scheme.Username+":"+c.sys.Secret)))
	}
	for _, form := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%q", err)} {
		for _, w := range words {
			require.NotContains(t, strings.ToLower(form), strings.ToLower(w), "an error shows content or a credential")
		}
	}
	if errors.Is(err, authz.ErrDenied) {
		return err
	}
	var e *connectors.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, classes(), e.Class, "class of %v", err)
	return err
}

func classes() []error {
	return []error{connectors.ErrNotFound, connectors.ErrPrecondition, connectors.ErrExists, connectors.ErrInvalid, connectors.ErrCursorExpired,
		connectors.ErrUnauthorized, connectors.ErrForbidden, connectors.ErrThrottled, connectors.ErrUnavailable, connectors.ErrUnknownOutcome,
		connectors.ErrMalformed, connectors.ErrUnsupported, connectors.ErrCallOver}
}

// one returns the outcome of a write of one record.
func (c *kase) one(t check, ws []connectors.Written, err error) (connectors.Written, error) {
	t.Helper()
	if c.clean(t, err) != nil {
		return connectors.Written{}, err
	}
	require.Len(t, ws, 1)
	return ws[0], c.clean(t, ws[0].Err)
}

func (c *kase) key() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys++
	key := fmt.Sprintf("key-%d-%s", c.keys, uuid.NewString())
	if n := c.c.KeyRunes; n > 0 && n < len(key) {
		key = key[:n]
	}
	return key
}

func (c *kase) tryCreate(t check, conn *connectors.Conn, r *connectors.Record, key string) (connectors.Written, error) {
	t.Helper()
	ws, err := conn.Create(c.Context(), c.k, []connectors.Draft{{Record: r, Key: key}})
	return c.one(t, ws, err)
}

// create makes a record through the connector.
func (c *kase) create(t check, r *connectors.Record) connectors.Written {
	t.Helper()
	w, err := c.tryCreate(t, c.conn, r, c.key())
	require.NoError(t, err)
	require.NotEmpty(t, w.ID)
	return w
}

func (c *kase) tryGet(t check, id string) (*connectors.Record, error) {
	t.Helper()
	rs, err := c.conn.Get(c.Context(), c.k, []string{id})
	if c.clean(t, err) != nil {
		return nil, err
	}
	require.Len(t, rs, 1)
	return rs[0].Record, c.clean(t, rs[0].Err)
}

func (c *kase) get(t check, id string) *connectors.Record {
	t.Helper()
	r, err := c.tryGet(t, id)
	require.NoError(t, err)
	require.Equal(t, id, r.ID)
	require.NotEmpty(t, r.Rev)
	return r
}

func (c *kase) tryUpdate(t check, id, rev string, r *connectors.Record, fields ...connectors.Field) error {
	t.Helper()
	ws, err := c.conn.Update(c.Context(), c.k, []connectors.Edit{{ID: id, Rev: rev, Record: r, Fields: fields}})
	_, err = c.one(t, ws, err)
	return err
}

func (c *kase) tryDelete(t check, id, rev string) error {
	t.Helper()
	ws, err := c.conn.Delete(c.Context(), c.k, []connectors.Target{{ID: id, Rev: rev}})
	_, err = c.one(t, ws, err)
	return err
}

// writable lists the fields that a caller may set.
func (c *kase) writable() []connectors.Field {
	return slices.DeleteFunc(connectors.Fields(c.k), func(f connectors.Field) bool { l, ok := c.c.Fields[f]; return !ok || l.ReadOnly })
}

// plain is a record that any system takes, with n in its text. What it says is
// a canary.
func (c *kase) plain(n int) *connectors.Record {
	r := connectors.NewRecord(c.k)
	r.SetText(c.field(), fmt.Sprintf("%s %d", canary, n))
	for _, f := range c.writable() {
		if c.c.Fields[f].Required {
			r.SetText(f, fmt.Sprintf("%s %d", canary, n))
		}
	}
	if m := r.Mail; m != nil { // one that came
		m.MessageID, m.Date = fmt.Sprintf("m%d@mail.example", n), time0().AddDate(0, 0, n)
	}
	if a := r.Appointment; a != nil && slices.Contains(c.writable(), connectors.FieldTime) {
		a.Start = time0().AddDate(0, 0, n)
		a.End = a.Start.AddDate(0, 0, 1)
	}
	if c.h.Shape != nil {
		c.h.Shape(r)
	}
	return r
}

// field is the text that cases change.
func (c *kase) field() connectors.Field {
	for _, f := range []connectors.Field{connectors.FieldFamilyName, connectors.FieldName, connectors.FieldSubject} {
		if slices.Contains(c.writable(), f) {
			return f
		}
	}
	if !c.c.Create && c.sys.Add != nil && c.c.Has(connectors.FieldSubject) { // what only others write
		return connectors.FieldSubject
	}
	c.Skip("the kind has no name that can be written")
	return ""
}

// need skips a case that asks for more than the system can do.
func (c *kase) need(what string, can bool) {
	c.Helper()
	if !can {
		c.Skipf("the system has no %s", what)
	}
}

// add makes a record behind the connector's back.
func (c *kase) add(t check, r *connectors.Record) string {
	t.Helper()
	if c.sys.Add != nil {
		if id, err := c.sys.Add(r.Clone()); !errors.Is(err, errors.ErrUnsupported) {
			require.NoError(t, err)
			return id
		}
	}
	c.need("way to add records", c.c.Create)
	w, err := c.tryCreate(t, c.other, r, c.key())
	require.NoError(t, err)
	return w.ID
}

// edit changes the text of a record behind the connector's back.
func (c *kase) edit(t check, id, text string) {
	t.Helper()
	if c.sys.Edit != nil {
		if err := c.sys.Edit(c.k, id, c.field(), text); !errors.Is(err, errors.ErrUnsupported) {
			require.NoError(t, err)
			return
		}
	}
	c.need("way to change records", c.c.Update)
	rs, err := c.other.Get(c.Context(), c.k, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	r := rs[0].Record.Clone()
	r.SetText(c.field(), text)
	ws, err := c.other.Update(c.Context(), c.k, []connectors.Edit{{ID: id, Rev: r.Rev, Record: r, Fields: []connectors.Field{c.field()}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
}

// remove deletes a record behind the connector's back.
func (c *kase) remove(t check, id string) {
	t.Helper()
	if c.sys.Remove != nil {
		if err := c.sys.Remove(c.k, id); !errors.Is(err, errors.ErrUnsupported) {
			require.NoError(t, err)
			return
		}
	}
	c.need("way to delete records", c.c.Delete)
	rs, err := c.other.Get(c.Context(), c.k, []string{id})
	require.NoError(t, err)
	require.NoError(t, rs[0].Err)
	ws, err := c.other.Delete(c.Context(), c.k, []connectors.Target{{ID: id, Rev: rs[0].Record.Rev}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
}

// canRemove reports whether remove would work.
func (c *kase) canRemove() bool { return c.sys.Remove != nil || c.c.Delete }

// maxPages ends a listing that has no end.
const maxPages = 2000

// ids lists everything, a few at a time, and sorts it.
func (c *kase) ids(t check, limit int) []string {
	t.Helper()
	var out []string
	after := ""
	for range maxPages {
		p, err := c.conn.List(c.Context(), c.k, after, limit)
		require.NoError(t, c.clean(t, err))
		for _, id := range p.IDs {
			require.NotContains(t, out, id, "listed twice")
			out = append(out, id)
		}
		if p.Next == "" {
			slices.Sort(out)
			return out
		}
		after = p.Next
	}
	require.Fail(t, "the listing has no end")
	return nil
}

// changes reads pages until there is none ready, calling between after each.
func (c *kase) changes(t check, conn *connectors.Conn, cursor string, limit int, between func()) ([]connectors.Change, string) {
	t.Helper()
	var out []connectors.Change
	for range maxPages {
		p, err := conn.Changes(c.Context(), c.k, cursor, limit)
		require.NoError(t, c.clean(t, err))
		require.NotEmpty(t, p.Cursor)
		out = append(out, p.Changes...)
		if cursor = p.Cursor; !p.More {
			return out, cursor
		}
		if between != nil {
			between()
		}
	}
	require.Fail(t, "the changes have no end")
	return nil, ""
}

// newest keeps the last that was said of each record.
func newest(cs []connectors.Change) map[string]connectors.Change {
	out := map[string]connectors.Change{}
	for _, ch := range cs {
		out[ch.ID] = ch
	}
	return out
}

// server stands before the remote system.
type server struct {
	next   http.Handler
	writes func(r *http.Request) bool

	mu        sync.Mutex
	arrived   int64
	naked     int64
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.arrived++
	if r.Header.Get("Authorization") == "" {
		s.naked++
	}
	f := s.intercept
	s.mu.Unlock()
	if f == nil || !f(w, r) {
		s.next.ServeHTTP(w, r)
	}
}

func (s *server) counts() (arrived, naked int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived, s.naked
}

// meet makes every request from now on meet a function first, which reports
// whether it has dealt with it. Nil ends that.
func (s *server) meet(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// writes reports whether a request may change something.
func writes(r *http.Request) bool {
	return !slices.Contains([]string{"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"}, r.Method)
}

// loseAnswer lets the next write happen and cuts the connection instead of an
// answer. It reports false for a system that cannot do so.
func (c *kase) loseAnswer() bool {
	if c.server == nil {
		if c.sys.LoseAnswer == nil {
			return false
		}
		c.sys.LoseAnswer()
		return true
	}
	var once sync.Once
	c.server.meet(func(w http.ResponseWriter, r *http.Request) bool {
		if !c.server.writes(r) {
			return false
		}
		once.Do(func() {
			c.server.next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		})
		return false
	})
	return true
}
