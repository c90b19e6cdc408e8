package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/captest"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest/radicale"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/gormstate"
)

// site says where everything is. It goes to child processes as JSON.
type site struct {
	Dir                   string
	CRM, CRMUser, CRMPass string
	Mail                  string
	MailPEM               []byte
	Contacts, Calendar    string // paths of the collections, %s being the user
	MailUsers             map[string]string
	CRMPEM                []byte
	Winner                lksync.Winner
	Deny                  string        // a permission that nobody gets
	Audit                 *authz.Memory `json:"-"`
	Settle, Overlap       time.Duration
}

// house is lockkeeper put together on a site.
type house struct {
	site
	safe     *secrets.Safe
	az       *authz.Authorizer
	hub      *connectors.Hub
	engine   *lksync.Engine
	shared   *gormstate.Tenants
	meetings *watchedMeetings
	refs     map[string]secrets.Ref
	worker   authz.Principal
	ahead    atomic.Int64 // seconds that the engine's clock is ahead, so that no two rounds share one
}

// watchedMeetings notes whether the table of meetings is used.
type watchedMeetings struct {
	lksync.MeetingStore
	used atomic.Bool
}

// MeetingKey implements lksync.MeetingStore; nothing is asked before it.
func (m *watchedMeetings) MeetingKey(ctx context.Context, crm authz.Resource) ([]byte, error) {
	m.used.Store(true)
	return m.MeetingStore.MeetingKey(ctx, crm)
}

// close closes what open opened.
func (h *house) close() error { return errors.Join(h.safe.Close(), h.shared.Close()) }

func (s site) open(ctx context.Context, progress func(lksync.Event)) (*house, error) {
	h := &house{site: s, refs: map[string]secrets.Ref{}}
	var errs []error
	check := func(err error) { errs = append(errs, err) }
	principal := func(name string) authz.Principal { p, err := authz.ParsePrincipal(name); check(err); return p }
	at := func(path string) authz.Resource { r, err := authz.ParseResource(path); check(err); return r }
	allow := func(who, role, on string) authz.Authorization {
		return authz.Authorization{Principal: principal(who), Role: authz.MustRole(role), Resource: at(on), Effect: authz.Allow}
	}
	seed := []authz.Authorization{
		allow("service:sync-worker", "role:sync-worker", "tenants/acme"),
		allow("service:connections", "role:connection", "tenants/acme"),
		allow("service:admin", "role:tenant-admin", "tenants/acme"),
	}
	users := []string{"ana"}
	for u := range s.MailUsers {
		if u != "ana" {
			users = append(users, u)
		}
	}
	for _, u := range users {
		seed = append(seed, allow("user:idp/"+u, "role:user", "tenants/acme/users/"+u), allow("user:idp/"+u, "role:crm-user", "tenants/acme/crm"))
	}
	h.worker = principal("service:sync-worker")
	var err error
	files, options := policy.Files(), &authz.Options{Seed: seed}
	if s.Audit != nil {
		options.Audit = s.Audit
		options.Seed = append(options.Seed, allow("service:vendor", "role:administration", "tenants"), allow("service:custodian", "role:custodian", "tenants/acme"))
	}
	if s.Deny != "" {
		files, err = denying(s.Deny)
		check(err)
		for _, who := range []string{"service:sync-worker", "service:connections", "service:admin", "service:vendor", "service:custodian", "user:idp/ana"} {
			d := allow(who, "role:denied", "tenants")
			d.Effect = authz.Deny
			options.Seed = append(options.Seed, d)
		}
	}
	h.az, err = authz.New(ctx, files, options)
	check(err)
	keys, _, err := local.OpenOrCreate(filepath.Join(s.Dir, "keyring"), nil)
	check(err)
	mail, err := dav.Plugin()
	check(err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if h.safe, err = secrets.New(keys, keys, &secrets.Memory{}, nil); err != nil {
		return nil, err
	}
	if h.hub, err = connectors.NewHub(h.az, h.safe, c4c.Plugin(), mail); err != nil {
		return nil, err
	}
	states, err := gormstate.New(filepath.Join(s.Dir, "states"), keys, nil)
	if err != nil {
		return nil, err
	}
	if h.shared, err = states.Tenants(ctx); err != nil {
		return nil, err
	}
	h.meetings = &watchedMeetings{MeetingStore: h.shared}
	h.engine = lksync.New(h.az, states, &lksync.Options{SweepEvery: time.Nanosecond, Settle: s.Settle, Progress: progress, Meetings: h.meetings, Stops: h.shared,
		Clock: func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load()) * time.Second) }})
	put := func(owner, name, user, password string) error {
		ref, err := secrets.NewRef(at(owner), name)
		if err != nil {
			return err
		}
		h.refs[user] = ref
		if password == "" {
			return nil
		}
		g, err := h.az.Authorize(ctx, authz.Request{Principal: principal("service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
		if err != nil {
			return err
		}
		return h.safe.Put(ctx, g, ref, []byte(password), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}})
	}
	if err := put("tenants/acme", "crm", s.CRMUser, s.CRMPass); err != nil {
		return nil, err
	}
	for _, u := range users {
		if err := put("tenants/acme/users/"+u, "mailbox", u, s.MailUsers[u]); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// pair opens both sides of a user's mailbox for the worker, or for the user.
func (h *house) pair(ctx context.Context, user string, self bool) (lksync.Pair, error) {
	who, err := authz.ParsePrincipal("user:idp/" + user)
	if err != nil {
		return lksync.Pair{}, err
	}
	p := lksync.Pair{ID: lksync.PairID(user), Addresses: []string{user + "@acme.example"}}
	for _, k := range []connectors.Kind{connectors.KindContact, connectors.KindAppointment} {
		p.Rules = append(p.Rules, lksync.Rule{Kind: k, Winner: h.Winner})
	}
	actor, behalf := h.worker, who
	if self {
		actor, behalf = who, authz.Principal{}
	}
	p.OnBehalfOf = behalf
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(h.MailPEM)
	resource := func(path string) authz.Resource {
		r, e := authz.ParseResource(path)
		err = errors.Join(err, e)
		return r
	}
	p.Resource = resource("tenants/acme/users/" + user + "/sync")
	var crmRoots *x509.CertPool
	if len(h.CRMPEM) > 0 {
		crmRoots = x509.NewCertPool()
		crmRoots.AppendCertsFromPEM(h.CRMPEM)
	}
	crm := connectors.Endpoint{Plugin: c4c.Name, URL: h.CRM, Roots: crmRoots, OnBehalfOf: behalf, Resource: resource("tenants/acme/crm"), Secret: h.refs[h.CRMUser],
		Options: map[string]string{c4c.OptionOverlap: h.Overlap.String()}}
	mail := connectors.Endpoint{Plugin: dav.Name, URL: h.Mail, OnBehalfOf: behalf, Resource: resource("tenants/acme/users/" + user + "/mailbox"), Secret: h.refs[user], Roots: roots,
		Options: map[string]string{dav.OptContacts: fmt.Sprintf(h.Contacts, user), dav.OptCalendar: fmt.Sprintf(h.Calendar, user)}}
	if err != nil {
		return p, err
	}
	if p.Left, err = h.hub.Open(ctx, actor, crm); err != nil {
		return p, err
	}
	p.Right, err = h.hub.Open(ctx, actor, mail)
	return p, err
}

// world is a site with both servers running, and a person in front of each.
type world struct {
	*house
	t     *testing.T
	mail  *radicale.Server
	lax   *davtest.Server // in the place of mail: takes every byte
	http  *http.Client
	pairs map[string]lksync.Pair
}

func start(t *testing.T, s site, users ...string) *world {
	t.Helper()
	return startWith(t, s, false, users...)
}

// startWith is start with a mail server that judges nothing, if lax.
func startWith(t *testing.T, s site, lax bool, users ...string) *world {
	t.Helper()
	w := &world{t: t, pairs: map[string]lksync.Pair{}}
	s.Dir, s.MailUsers = t.TempDir(), map[string]string{}
	for _, u := range users {
		s.MailUsers[u] = "password of " + u
	}
	s.CRM, s.CRMUser, s.CRMPass = captest.Start(t)
	var err error
	if lax {
		w.lax, err = davtest.New(&davtest.Options{Users: s.MailUsers})
		require.NoError(t, err)
		w.lax.Start()
		t.Cleanup(w.lax.Close)
		s.Mail, s.MailPEM = w.lax.URL(), w.lax.PEM()
		s.Contacts, s.Calendar = davtest.Path("%s", davtest.Contacts), davtest.Path("%s", davtest.Calendar)
	} else {
		w.mail = radicale.Start(t, s.MailUsers)
		s.Mail, s.MailPEM = w.mail.URL, w.mail.PEM
		s.Contacts, s.Calendar = radicale.Contacts, radicale.Calendar
	}
	tr := &http.Transport{}
	w.http = &http.Client{Transport: tr, Timeout: 30 * time.Second}
	t.Cleanup(tr.CloseIdleConnections)
	w.house, err = s.open(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.close()) })
	for _, u := range users {
		w.pairs[u], err = w.pair(t.Context(), u, false)
		require.NoError(t, err)
	}
	return w
}

// sync runs one round.
func (w *world) sync(user string) lksync.Report {
	w.t.Helper()
	w.ahead.Add(1)
	r, err := w.engine.Sync(w.t.Context(), w.worker, w.pairs[user])
	require.NoError(w.t, err)
	return r
}

// settle syncs all users until a pass over them writes nothing.
func (w *world) settle(users ...string) {
	w.t.Helper()
	for range 8 {
		n := 0
		for _, u := range users {
			n += w.sync(u).Writes()
		}
		if n == 0 {
			return
		}
	}
	w.t.Fatal("no end of writing")
}

// issues returns the open issues of a user by id in the mailbox, or in the CRM.
func (w *world) issues(user string) map[string]lksync.Issue {
	out := map[string]lksync.Issue{}
	who, err := authz.ParsePrincipal("user:idp/" + user)
	require.NoError(w.t, err)
	p := w.pairs[user]
	p.OnBehalfOf = authz.Principal{}
	for q := (lksync.IssueQuery{Names: true}); ; {
		page, err := w.engine.Issues(w.t.Context(), who, p, q)
		require.NoError(w.t, err)
		for _, i := range page.Issues {
			if i.Right != "" {
				out[i.Right] = i
			}
			if i.Left != "" {
				out[i.Left] = i
			}
		}
		if q.After = page.Next; page.Next == 0 {
			return out
		}
	}
}

// all reads a side with nothing but what its connector says.
func all(t *testing.T, c *connectors.Conn, k connectors.Kind) map[string]*connectors.Record {
	t.Helper()
	out := map[string]*connectors.Record{}
	var ids []string
	for after := ""; ; {
		p, err := c.List(t.Context(), k, after, 200)
		require.NoError(t, err)
		ids = append(ids, p.IDs...)
		if after = p.Next; after == "" {
			break
		}
	}
	for len(ids) > 0 {
		n := min(len(ids), 50)
		rs, err := c.Get(t.Context(), k, ids[:n])
		require.NoError(t, err)
		for i, r := range rs {
			out[ids[i]] = r.Record // nil for one that cannot be read
		}
		ids = ids[n:]
	}
	return out
}

func shared(p lksync.Pair, k connectors.Kind) []connectors.Field {
	l, _ := p.Left.Capability(k)
	r, _ := p.Right.Capability(k)
	return connectors.Shared(k, l, r)
}

// crm sends a request to the CRM as a person's own program would.
func (w *world) crm(method, path string, body any) map[string]any {
	w.t.Helper()
	var b []byte
	if body != nil {
		var err error
		b, err = json.Marshal(body)
		require.NoError(w.t, err)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.CRM+path, bytes.NewReader(b))
	require.NoError(w.t, err)
	r.SetBasicAuth(w.CRMUser, w.CRMPass)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	if method != http.MethodGet && method != http.MethodPost {
		r.Header.Set("If-Match", "*")
	}
	resp, err := w.http.Do(r)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.Less(w.t, resp.StatusCode, 300, "%s %s: %s", method, path, answer)
	var out struct {
		D map[string]any `json:"d"`
	}
	_ = json.Unmarshal(answer, &out)
	return out.D
}

// put saves an object in a mailbox as a person's own program would.
func (w *world) put(user, name, data string) int {
	w.t.Helper()
	if w.lax != nil {
		c := davtest.Contacts
		if strings.HasSuffix(name, ".ics") {
			c = davtest.Calendar
		}
		require.NoError(w.t, w.lax.Put(user, c, name, []byte(data)))
		return http.StatusCreated
	}
	dir := radicale.Contacts
	if strings.HasSuffix(name, ".ics") {
		dir = radicale.Calendar
	}
	status, _ := w.mail.Do(w.t, user, http.MethodPut, fmt.Sprintf(dir, user)+name, data)
	return status
}

func (w *world) object(user, name string) string {
	w.t.Helper()
	dir := radicale.Contacts
	if strings.HasSuffix(name, ".ics") {
		dir = radicale.Calendar
	}
	status, body := w.mail.Do(w.t, user, http.MethodGet, fmt.Sprintf(dir, user)+name, "")
	require.Equal(w.t, http.StatusOK, status, name)
	return body
}
