package connectors_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
)

// fake is a driver that does as it is told.
type fake struct {
	call    connectors.Call // of the last verb
	during  func(context.Context, connectors.Call)
	page    connectors.Page
	ids     connectors.IDs
	results []connectors.Result
	found   map[string][]connectors.Change
	written []connectors.Written
	err     error
	calls   int
}

func (f *fake) enter(ctx context.Context, c connectors.Call) {
	f.call = c
	f.calls++
	if f.during != nil {
		f.during(ctx, c)
	}
}

func (f *fake) Changes(ctx context.Context, c connectors.Call, _ connectors.Kind, _ string, _ int) (connectors.Page, error) {
	f.enter(ctx, c)
	return f.page, f.err
}

func (f *fake) Get(ctx context.Context, c connectors.Call, _ connectors.Kind, _ []string) ([]connectors.Result, error) {
	f.enter(ctx, c)
	return f.results, f.err
}

func (f *fake) Find(ctx context.Context, c connectors.Call, _ connectors.Kind, _ []string) (map[string][]connectors.Change, error) {
	f.enter(ctx, c)
	return f.found, f.err
}

func (f *fake) List(ctx context.Context, c connectors.Call, _ connectors.Kind, _ string, _ int) (connectors.IDs, error) {
	f.enter(ctx, c)
	return f.ids, f.err
}

func (f *fake) Create(ctx context.Context, c connectors.Call, _ connectors.Kind, _ []connectors.Draft) ([]connectors.Written, error) {
	f.enter(ctx, c)
	return f.written, f.err
}

func (f *fake) Update(ctx context.Context, c connectors.Call, _ connectors.Kind, _ []connectors.Edit) ([]connectors.Written, error) {
	f.enter(ctx, c)
	return f.written, f.err
}

func (f *fake) Delete(ctx context.Context, c connectors.Call, _ connectors.Kind, _ []connectors.Target) ([]connectors.Written, error) {
	f.enter(ctx, c)
	return f.written, f.err
}

const (
	ana  = "user:idp/ana"
	kind = connectors.KindContact
)

func caps() connectors.Capabilities {
	return connectors.Capabilities{Area: connectors.CRM, Kinds: map[connectors.Kind]connectors.Capability{kind: everything(kind)}}
}

func plugin(t testing.TB, f *fake) connectors.Plugin {
	p, err := connectors.NewPlugin("fake", caps(), func(connectors.Settings) (connectors.Driver, error) { return f, nil })
	require.NoError(t, err)
	return p
}

func world(t testing.TB) *authztest.World {
	return authztest.New(t, "allow "+ana+" role:crm-user tenants/acme/crm", "allow service:connections role:connection tenants/acme",
		"allow service:admin role:tenant-admin tenants/acme")
}

func place(t testing.TB) authz.Resource { return authztest.Resource(t, "tenants/acme/crm") }

// offline opens a connection without a network.
func offline(t testing.TB, f *fake) *connectors.Conn {
	h, err := connectors.NewHub(world(t).Authorizer, nil, plugin(t, f))
	require.NoError(t, err)
	c, err := h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t)})
	require.NoError(t, err)
	return c
}

// all runs every verb and returns its errors.
func all(ctx context.Context, c *connectors.Conn) map[string]error {
	r := connectors.NewRecord(kind)
	out := map[string]error{}
	_, out["changes"] = c.Changes(ctx, kind, "", 1)
	_, out["get"] = c.Get(ctx, kind, []string{"x"})
	_, out["find"] = c.Find(ctx, kind, []string{"x"})
	_, out["list"] = c.List(ctx, kind, "", 1)
	_, out["create"] = c.Create(ctx, kind, []connectors.Draft{{Record: r, Key: "k"}})
	_, out["update"] = c.Update(ctx, kind, []connectors.Edit{{ID: "x", Rev: "1", Record: r, Fields: []connectors.Field{connectors.FieldCity}}})
	_, out["delete"] = c.Delete(ctx, kind, []connectors.Target{{ID: "x", Rev: "1"}})
	return out
}

// The zero value of everything refuses and does not panic.
func TestZeroValuesRefuse(t *testing.T) {
	for _, c := range []*connectors.Conn{nil, {}} {
		for verb, err := range all(t.Context(), c) {
			assert.ErrorIs(t, err, authz.ErrDenied, verb)
		}
		assert.Empty(t, c.Plugin())
		assert.Zero(t, c.Area())
		assert.True(t, c.Resource().IsZero())
		assert.True(t, c.OnBehalfOf().IsZero())
		assert.Zero(t, c.Requests())
		_, ok := c.Capability(kind)
		assert.False(t, ok)
	}
	for _, h := range []*connectors.Hub{nil, {}} {
		_, err := h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t)})
		assert.ErrorIs(t, err, authz.ErrDenied)
	}
	_, err := connectors.NewHub(nil, nil)
	assert.ErrorIs(t, err, authz.ErrDenied)
	_, err = connectors.NewHub(world(t).Authorizer, nil, connectors.Plugin{})
	assert.ErrorIs(t, err, authz.ErrDenied)
	assert.Empty(t, connectors.Plugin{}.Name())

	var call connectors.Call
	assert.ErrorIs(t, call.Err(), authz.ErrDenied)
	_, err = call.Client().Post("http://127.0.0.1:1/", "text/plain", strings.NewReader("x"))
	assert.ErrorIs(t, err, authz.ErrDenied)
}

// An endpoint that cannot be meant is refused with the name of what is wrong.
func TestBadEndpoints(t *testing.T) {
	w := world(t)
	f := &fake{}
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme"), "x")
	require.NoError(t, err)
	safe := newSafe(t)
	h, err := connectors.NewHub(w.Authorizer, safe, plugin(t, f))
	require.NoError(t, err)
	who := authztest.Principal(t, ana)
	good := connectors.Endpoint{Plugin: "fake", Resource: place(t), URL: "https://crm.example/path", Secret: ref}
	_, err = h.Open(t.Context(), who, good)
	require.NoError(t, err)
	for _, u := range []string{"http://crm.example/", "ftp://crm.example/", "crm.example", "/path", "https://", "https://" + bird + ":" + bird + "@crm.example/", "https://crm.example/?q=" + bird,
		"https://crm.example/#" + bird, "https://crm example/", "://", "https://crm.example:port/", "http://localhost.evil.example/", "http://127.0.0.1.evil.example/"} {
		ep := good
		ep.URL = u
		_, err := h.Open(t.Context(), who, ep)
		require.ErrorContains(t, err, "url", u)
		assert.NotContains(t, err.Error(), bird)
	}
	for name, change := range map[string]func(*connectors.Endpoint){
		"plugin":         func(ep *connectors.Endpoint) { ep.Plugin = "other" },
		"url and secret": func(ep *connectors.Endpoint) { ep.URL = "" },
		"secret":         func(ep *connectors.Endpoint) { ep.Secret = secrets.Ref{} },
	} {
		ep := good
		change(&ep)
		_, err := h.Open(t.Context(), who, ep)
		assert.ErrorContains(t, err, name)
	}
	for name, change := range map[string]func(*connectors.Endpoint){
		"no resource":       func(ep *connectors.Endpoint) { ep.Resource = authz.Resource{} },
		"another's":         func(ep *connectors.Endpoint) { ep.Resource = authztest.Resource(t, "tenants/other/crm") },
		"the parent":        func(ep *connectors.Endpoint) { ep.Resource = authztest.Resource(t, "tenants/acme") },
		"for somebody else": func(ep *connectors.Endpoint) { ep.OnBehalfOf = authztest.Principal(t, "user:idp/ben") },
	} {
		ep := good
		change(&ep)
		_, err := h.Open(t.Context(), who, ep)
		assert.ErrorIs(t, err, authz.ErrDenied, name)
	}
	_, err = h.Open(t.Context(), authz.Principal{}, good)
	assert.ErrorIs(t, err, authz.ErrDenied)
	bare, err := connectors.NewHub(w.Authorizer, nil, plugin(t, f))
	require.NoError(t, err)
	_, err = bare.Open(t.Context(), who, good)
	assert.ErrorContains(t, err, "safe")
	assert.Zero(t, f.calls)
}

func TestBadPlugins(t *testing.T) {
	open := func(connectors.Settings) (connectors.Driver, error) { return &fake{}, nil }
	for _, name := range []string{"", "A", "1a", "a-b", "a b", strings.Repeat("a", 33)} {
		_, err := connectors.NewPlugin(name, caps(), open)
		assert.ErrorContains(t, err, "name", name)
	}
	c := caps()
	c.Area = 0
	_, err := connectors.NewPlugin("fake", c, open)
	assert.ErrorContains(t, err, "area")
	_, err = connectors.NewPlugin("fake", connectors.Capabilities{Area: connectors.CRM}, open)
	assert.ErrorContains(t, err, "kind")
	_, err = connectors.NewPlugin("fake", caps(), nil)
	assert.ErrorContains(t, err, "open")

	p := plugin(t, &fake{})
	_, err = connectors.NewHub(world(t).Authorizer, nil, p, p)
	assert.ErrorContains(t, err, "twice")
	for name, open := range map[string]func(connectors.Settings) (connectors.Driver, error){
		"option x": func(connectors.Settings) (connectors.Driver, error) { return nil, errors.New("option x") },
		"driver":   func(connectors.Settings) (connectors.Driver, error) { return nil, nil },
	} {
		p, err := connectors.NewPlugin("fake", caps(), open)
		require.NoError(t, err)
		h, err := connectors.NewHub(world(t).Authorizer, nil, p)
		require.NoError(t, err)
		_, err = h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t)})
		assert.ErrorContains(t, err, name)
	}
}

// A driver that answers nonsense harms nobody.
func TestMalformedAnswers(t *testing.T) {
	long := strings.Repeat("x", connectors.MaxID+1)
	record := func(change func(*connectors.Record)) *connectors.Record {
		r := connectors.NewRecord(kind)
		r.ID, r.Rev = "x", "1"
		change(r)
		return r
	}
	far := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	records := map[string]*connectors.Record{
		"other kind":    record(func(r *connectors.Record) { r.Kind = connectors.KindAccount }),
		"other content": record(func(r *connectors.Record) { r.Contact, r.Account = nil, &connectors.Account{} }),
		"far future":    record(func(r *connectors.Record) { r.Modified = far }),
	}
	for name, r := range records {
		c := offline(t, &fake{page: connectors.Page{Cursor: "c", Changes: []connectors.Change{{ID: "x", Rev: "1", Record: r}}}})
		_, err := c.Changes(t.Context(), kind, "", 1)
		assert.ErrorIs(t, err, connectors.ErrMalformed, name)
		rs, err := offline(t, &fake{results: []connectors.Result{{Record: r}}}).Get(t.Context(), kind, []string{"x"})
		require.NoError(t, err)
		assert.ErrorIs(t, rs[0].Err, connectors.ErrMalformed, name)
		assert.Nil(t, rs[0].Record, name)
	}
	for name, f := range map[string]*fake{
		"changes: empty id":      {page: connectors.Page{Cursor: "c", Changes: []connectors.Change{{Rev: "1"}}}},
		"changes: long id":       {page: connectors.Page{Cursor: "c", Changes: []connectors.Change{{ID: long}}}},
		"changes: long revision": {page: connectors.Page{Cursor: "c", Changes: []connectors.Change{{ID: "x", Rev: long}}}},
		"changes: long cursor":   {page: connectors.Page{Cursor: strings.Repeat("x", connectors.MaxCursor+1)}},
		"changes: endless page":  {page: connectors.Page{Cursor: "c", Changes: make([]connectors.Change, 10*connectors.MaxItems+1)}},
		"list: empty id":         {ids: connectors.IDs{IDs: []string{""}}},
		"list: long id":          {ids: connectors.IDs{IDs: []string{long}}},
		"list: endless page":     {ids: connectors.IDs{IDs: make([]string, 10*connectors.MaxItems+1)}},
		"list: long place":       {ids: connectors.IDs{Next: strings.Repeat("x", connectors.MaxCursor+1)}},
		"find: empty id":         {found: map[string][]connectors.Change{"x": {{}}}},
		"get: too few":           {results: []connectors.Result{}},
		"get: too many":          {results: make([]connectors.Result, 2)},
		"get: neither nor":       {results: make([]connectors.Result, 1)},
		"create: too few":        {},
		"update: too few":        {},
		"delete: too many":       {written: make([]connectors.Written, 2)},
	} {
		verb, _, _ := strings.Cut(name, ":")
		assert.ErrorIs(t, all(t.Context(), offline(t, f))[verb], connectors.ErrMalformed, name)
	}
	// A listing that names the same place again would never end.
	c := offline(t, &fake{ids: connectors.IDs{IDs: []string{"a"}, Next: "here"}})
	_, err := c.List(t.Context(), kind, "here", 1)
	assert.ErrorIs(t, err, connectors.ErrMalformed)
	// A record was made whose name nobody can remember: find it by its key.
	c = offline(t, &fake{written: []connectors.Written{{}}})
	ws, err := c.Create(t.Context(), kind, []connectors.Draft{{Record: connectors.NewRecord(kind), Key: "k"}})
	require.NoError(t, err)
	assert.ErrorIs(t, ws[0].Err, connectors.ErrUnknownOutcome)
}

// What a caller cannot mean does not reach the driver.
func TestMalformedQuestions(t *testing.T) {
	f := &fake{}
	c := offline(t, f)
	ctx := t.Context()
	r := connectors.NewRecord(kind)
	other := connectors.NewRecord(connectors.KindAccount)
	fields := []connectors.Field{connectors.FieldCity}
	long := strings.Repeat("x", connectors.MaxID+1)
	invalid := func(err error) { t.Helper(); assert.ErrorIs(t, err, connectors.ErrInvalid) }
	for _, d := range []connectors.Draft{{}, {Record: r}, {Key: "k"}, {Record: other, Key: "k"}, {Record: r, Key: strings.Repeat("k", connectors.MaxKey+1)}} {
		_, err := c.Create(ctx, kind, []connectors.Draft{d})
		invalid(err)
	}
	for _, e := range []connectors.Edit{{}, {ID: "x", Record: r}, {ID: "x", Fields: fields}, {Record: r, Fields: fields}, {ID: long, Record: r, Fields: fields}, {ID: "x", Record: other, Fields: fields}} {
		_, err := c.Update(ctx, kind, []connectors.Edit{e})
		invalid(err)
	}
	for _, id := range []string{"", long} {
		_, err := c.Delete(ctx, kind, []connectors.Target{{ID: "x", Rev: "1"}, {ID: id, Rev: "1"}})
		invalid(err)
		_, err = c.Get(ctx, kind, []string{"x", id})
		invalid(err)
	}
	_, err := c.Get(ctx, kind, make([]string, connectors.MaxItems+1))
	invalid(err)
	_, err = c.Find(ctx, kind, make([]string, connectors.MaxItems+1))
	invalid(err)
	_, err = c.Delete(ctx, kind, make([]connectors.Target, connectors.MaxItems+1))
	invalid(err)
	for _, k := range []connectors.Kind{0, connectors.KindAppointment, 99} {
		_, err := c.List(ctx, k, "", 1)
		assert.ErrorIs(t, err, connectors.ErrUnsupported)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	for verb, err := range all(gone, c) {
		assert.ErrorIs(t, err, context.Canceled, verb)
	}
	assert.Zero(t, f.calls)
}

// A driver's error gets the name of its connector and verb, whatever it claims.
func TestErrorsAreCompleted(t *testing.T) {
	for verb, err := range all(t.Context(), offline(t, &fake{err: &connectors.Error{Plugin: "other", Op: "other", Class: connectors.ErrThrottled}})) {
		var e *connectors.Error
		require.ErrorAs(t, err, &e)
		assert.Equal(t, "fake", e.Plugin)
		assert.Equal(t, verb, e.Op)
		assert.Equal(t, kind, e.Kind)
		assert.ErrorIs(t, err, connectors.ErrThrottled)
	}
	f := &fake{written: []connectors.Written{{ID: "x", Err: &connectors.Error{ID: "x", Class: connectors.ErrExists}}}, results: []connectors.Result{{Err: io.ErrNoProgress}}}
	c := offline(t, f)
	ws, err := c.Delete(t.Context(), kind, []connectors.Target{{ID: "x", Rev: "1"}})
	require.NoError(t, err)
	assert.EqualError(t, ws[0].Err, `connectors: fake delete contacts "x": already exists`)
	rs, err := c.Get(t.Context(), kind, []string{"x"})
	require.NoError(t, err)
	assert.ErrorIs(t, rs[0].Err, io.ErrNoProgress)
	for _, err := range all(t.Context(), offline(t, &fake{err: io.ErrUnexpectedEOF})) {
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
}

func newSafe(t testing.TB) *secrets.Safe {
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	s, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// online opens a connection to a server with a credential.
func online(t testing.TB, w *authztest.World, f *fake, url string) *connectors.Conn {
	safe := newSafe(t)
	ref, err := secrets.NewRef(authztest.Resource(t, "tenants/acme"), "crm")
	require.NoError(t, err)
	g, err := w.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
	require.NoError(t, err)
	require.NoError(t, safe.Put(t.Context(), g, ref, []byte(bird), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Bearer}}))
	h, err := connectors.NewHub(w.Authorizer, safe, plugin(t, f))
	require.NoError(t, err)
	c, err := h.Open(t.Context(), authztest.Principal(t, ana), connectors.Endpoint{Plugin: "fake", Resource: place(t), URL: url, Secret: ref})
	require.NoError(t, err)
	return c
}

func get(ctx context.Context, hc *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := hc.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// A driver that keeps its Call, or the client of one, has nothing.
//
// evidence: P30
func TestCallsEnd(t *testing.T) {
	var arrived atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived.Add(1)
		assert.Equal(t, "Bearer "+bird, r.Header.Get("Authorization"))
	}))
	defer s.Close()
	f := &fake{}
	var kept *http.Client
	f.during = func(ctx context.Context, c connectors.Call) {
		assert.NoError(t, c.Err())
		kept = c.Client()
		assert.NoError(t, get(ctx, kept, s.URL))
	}
	c := online(t, world(t), f, s.URL)
	assert.Zero(t, arrived.Load(), "opening touches no network")
	n := int64(0)
	for verb := range all(t.Context(), c) {
		n++
		_ = verb
	}
	require.Equal(t, n, arrived.Load())
	require.Equal(t, n, c.Requests())
	assert.ErrorIs(t, f.call.Err(), connectors.ErrCallOver)
	assert.ErrorIs(t, f.call.Err(), authz.ErrDenied)
	for _, hc := range []*http.Client{kept, f.call.Client()} {
		err := get(t.Context(), hc, s.URL)
		assert.ErrorIs(t, err, authz.ErrDenied)
		assert.NotContains(t, err.Error(), bird)
	}
	assert.Equal(t, n, arrived.Load(), "a request after the verb returned")
	assert.Equal(t, n, c.Requests())
}

// A connection that was opened does not outlive the permission, not even within
// a verb.
//
// evidence: P18
func TestRevokedMeansNoRequest(t *testing.T) {
	var arrived atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer s.Close()
	w := world(t)
	f := &fake{page: connectors.Page{Cursor: "c"}}
	c := online(t, w, f, s.URL)
	_, err := c.Changes(t.Context(), kind, "", 1)
	require.NoError(t, err)
	f.during = func(ctx context.Context, call connectors.Call) {
		require.NoError(t, get(ctx, call.Client(), s.URL))
		g, err := w.Authorize(ctx, authz.Request{Principal: authztest.Principal(t, "service:admin"),
			Permission: authz.MustPermission("authz.authorizations.write"), Resource: authztest.Resource(t, "tenants/acme")})
		require.NoError(t, err)
		d, err := w.Check(ctx, authz.Request{Principal: authztest.Principal(t, ana), Permission: authz.MustPermission("crm.items.read"), Resource: place(t)})
		require.NoError(t, err)
		require.NoError(t, w.Edit(g).Revoke(ctx, d.Authorization, "test"))
		assert.ErrorIs(t, call.Err(), authz.ErrDenied)
		assert.ErrorIs(t, get(ctx, call.Client(), s.URL), authz.ErrDenied)
	}
	_, _ = c.Changes(t.Context(), kind, "", 1)
	assert.EqualValues(t, 1, arrived.Load())
	calls := f.calls
	for verb, err := range all(t.Context(), c) {
		assert.ErrorIs(t, err, authz.ErrDenied, verb)
	}
	assert.Equal(t, calls, f.calls, "the driver was called for somebody who may not")
}

// A connection without a credential has no network.
func TestNoCredentialNoNetwork(t *testing.T) {
	f := &fake{page: connectors.Page{Cursor: "c"}}
	f.during = func(ctx context.Context, c connectors.Call) {
		assert.ErrorIs(t, get(ctx, c.Client(), "http://127.0.0.1:1/"), authz.ErrDenied)
	}
	_, err := offline(t, f).Changes(t.Context(), kind, "", 1)
	require.NoError(t, err)
	require.Equal(t, 1, f.calls)
}
