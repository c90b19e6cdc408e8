package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/policy"
)

// memory is the record of decisions of a test.
type memory struct{ *authz.Memory }

func (m memory) Records(_ context.Context, after uint64, newestFirst bool) iter.Seq2[authz.AuditRecord, error] {
	return func(yield func(authz.AuditRecord, error) bool) {
		all := m.Memory.Records()
		if !newestFirst {
			for _, r := range all {
				if r.Sequence > after && !yield(r, nil) {
					return
				}
			}
			return
		}
		for i := len(all) - 1; i >= 0; i-- {
			if (after == 0 || all[i].Sequence < after) && !yield(all[i], nil) {
				return
			}
		}
	}
}

// world is an interface over a small installation, and what it takes to ask it.
type world struct {
	t   *testing.T
	az  *authz.Authorizer
	mem *authz.Memory
	url string
}

func (w *world) records() int { return len(w.mem.Records()) }

func principal(t *testing.T, s string) authz.Principal {
	p, err := authz.ParsePrincipal(s)
	require.NoError(t, err)
	return p
}

func at(t *testing.T, s string) authz.Resource {
	r, err := authz.ParseResource(s)
	require.NoError(t, err)
	return r
}

func newWorld(t *testing.T) *world {
	give := func(p, role, on string) authz.Authorization {
		return authz.Authorization{Principal: principal(t, p), Role: authz.MustRole("role:" + role), Resource: at(t, on), Effect: authz.Allow, Reason: "seed"}
	}
	mem := authz.NewMemory(0)
	az, err := authz.New(t.Context(), policy.Files(), &authz.Options{Audit: mem, Seed: []authz.Authorization{
		give("user:i/tara", "tenant-admin", "tenants/acme"), give("user:i/ana", "user", "tenants/acme/users/ana"),
		give("user:i/otto", "tenant-admin", "tenants/other"), give("user:i/ada", "administration", "tenants"),
	}})
	require.NoError(t, err)
	h, err := New(Options{Authorizer: az, Records: memory{mem}, Root: at(t, "tenants"), Who: func(r *http.Request) (authz.Principal, bool) {
		p, err := authz.ParsePrincipal(r.Header.Get("X-Test-Who"))
		return p, err == nil
	}})
	require.NoError(t, err)
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &world{t, az, mem, s.URL}
}

// ask sends a request as somebody and returns the answer, checked for what every
// answer has.
func (w *world) ask(as, verb, path, body string, edit ...func(*http.Request)) (*http.Response, map[string]any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), verb, w.url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("X-Test-Who", as)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(req)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	var v map[string]any
	if verb != http.MethodHead {
		require.NoError(w.t, json.Unmarshal(b, &v), "%s %s: %d %s", verb, path, resp.StatusCode, b)
	}
	assert.NotEmpty(w.t, resp.Header.Get("X-Request-Id"))
	if resp.StatusCode >= 400 && verb != http.MethodHead {
		assert.Equal(w.t, "application/problem+json", resp.Header.Get("Content-Type"), "%s %s", verb, path)
		assert.EqualValues(w.t, resp.StatusCode, v["status"])
		assert.NotEmpty(w.t, v["code"])
		assert.Equal(w.t, resp.Header.Get("X-Request-Id"), v["request_id"])
		assert.Less(w.t, resp.StatusCode, 500, "%s %s: %s", verb, path, b)
	}
	return resp, v
}

const (
	tara = "user:i/tara"
	ana  = "user:i/ana"
	ada  = "user:i/ada"
)

func TestCheckAndExplain(t *testing.T) {
	w := newWorld(t)
	_, v := w.ask(tara, "GET", "/v1/decisions:check?principal=user:i/ana&permission=sync.run&resource=tenants/acme/users/ana/sync", "")
	assert.Equal(t, true, v["allowed"])
	assert.Equal(t, "allowed-by", v["code"])
	resp, v := w.ask(tara, "GET", "/v1/decisions:check?principal=user:i/ana&permission=sync.run&resource=tenants/acme/users/bo/sync", "")
	assert.Equal(t, false, v["allowed"])
	assert.Equal(t, "nothing-held", v["code"])
	assert.Equal(t, fmt.Sprint(w.az.Revision()), resp.Header.Get("X-Policy-Revision"))
	_, v = w.ask(ada, "GET", "/v1/decisions:explain?principal=user:i/ana&permission=sync.run&resource=tenants/acme/users/bo/sync", "")
	assert.Equal(t, false, v["allowed"])
	assert.NotEmpty(t, v["nearest"])
	_, v = w.ask(tara, "GET", "/v1/decisions:explain?principal=user:i/ana&permission=sync.run&resource=tenants/acme/users/ana/sync", "")
	assert.Equal(t, true, v["allowed"])
	assert.EqualValues(t, 1, v["hidden"], "what stands above what was asked about is counted and not shown")

	resp, v = w.ask(ana, "GET", "/v1/decisions:check?principal=user:i/ana&permission=sync.run&resource=tenants/acme/users/bo/sync", "")
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)
	assert.Equal(t, "authz.decisions.explain is needed on tenants/acme/users/bo/sync.", v["detail"])
	resp, v = w.ask(tara, "GET", "/v1/decisions:check?principal=user:i/ana&permission=sync.run&resource=tenants/acme&at_least=999", "")
	assert.Equal(t, http.StatusPreconditionFailed, resp.StatusCode)
	assert.Equal(t, "stale", v["code"])
}

func TestBatch(t *testing.T) {
	w := newWorld(t)
	resp, v := w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"on":"tenants/acme","checks":[
		{"principal":"user:i/ana","permission":"sync.run","resource":"tenants/acme/users/ana/sync"},
		{"principal":"user:i/ana","permission":"sync.run","resource":"tenants/acme/users/bo/sync"},
		{"principal":"user:i/ana","on_behalf_of":"user:i/tara","permission":"sync.run","resource":"tenants/acme/users/ana/sync"}]}`)
	require.Equal(t, http.StatusOK, resp.StatusCode, v)
	var got []bool
	for _, r := range v["results"].([]any) {
		got = append(got, r.(map[string]any)["allowed"].(bool))
	}
	assert.Equal(t, []bool{true, false, true}, got)

	resp, v = w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"on":"tenants/acme","checks":[{"principal":"user:i/ana","permission":"sync.run","resource":"tenants/other"}]}`)
	assert.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode, "a batch does not reach beyond what was asked about")
	assert.Equal(t, "/checks/0/resource", v["errors"].([]any)[0].(map[string]any)["pointer"])
	resp, v = w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"on":"tenants/acme","checks":[{"principal":"user:i/ana","permission":"sync.fly","resource":"tenants/acme"}]}`)
	assert.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	assert.Equal(t, "/checks/0/permission", v["errors"].([]any)[0].(map[string]any)["pointer"])
	resp, _ = w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"checks":[{"principal":"user:i/ana","permission":"sync.run","resource":"tenants/acme"}]}`)
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, "without a place it is the root")
	one := `{"principal":"user:i/ana","permission":"sync.run","resource":"tenants/acme"}`
	resp, v = w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"on":"tenants/acme","checks":[`+strings.Repeat(one+",", 1000)+one+`]}`)
	assert.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	assert.Equal(t, "/checks", v["errors"].([]any)[0].(map[string]any)["pointer"])
	resp, v = w.ask(tara, "POST", "/v1/decisions:batchCheck", `{"on":"tenants/acme","checks":[`+strings.Repeat(one+",", 999)+one+`]}`)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Len(t, v["results"], 1000)
}

// Each list, read a few at a time, is the list read at once, and its cursors are
// good for nothing else.
func TestListsPage(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.ask(tara, "POST", "/v1/authorizations", fmt.Sprintf(`{"principal":"user:i/p%d","role":"role:user","resource":"tenants/acme/users/p%d","reason":"new"}`, i, i))
	}
	for _, list := range []string{
		"/v1/authorizations?under=tenants/acme", "/v1/audit-events?under=tenants/acme", "/v1/changes?under=tenants/acme",
		"/v1/decisions:listResources?principal=user:i/tara&permission=sync.run&under=tenants/acme", "/v1/decisions:listPrincipals?permission=sync.run&resource=tenants/acme/users/ana",
	} {
		newest := func(v map[string]any) string { // records grow while they are read
			if strings.Contains(list, "audit") {
				return "sequence"
			}
			return ""
		}
		_, whole := w.ask(tara, "GET", list+"&limit=500", "")
		require.GreaterOrEqual(t, len(whole["items"].([]any)), 2, list)
		require.NotContains(t, whole, "next", list)
		var all []any
		cursor := ""
		for {
			_, v := w.ask(tara, "GET", list+"&limit=2&cursor="+cursor, "")
			require.LessOrEqual(t, len(v["items"].([]any)), 2, list)
			all = append(all, v["items"].([]any)...)
			next, more := v["next"].(string)
			if !more {
				break
			}
			cursor = next
		}
		if newest(whole) != "" {
			require.GreaterOrEqual(t, len(all), len(whole["items"].([]any)))
			all = all[len(all)-len(whole["items"].([]any)):]
		}
		require.Equal(t, whole["items"], all, list)
		if cursor == "" {
			continue
		}
		for _, other := range []struct{ as, path string }{{ada, list}, {tara, strings.Replace(list, "tenants/acme", "tenants/acme/users", 1)}} {
			resp, v := w.ask(other.as, "GET", other.path+"&cursor="+cursor, "")
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s by %s: %v", other.path, other.as, v)
			assert.Equal(t, "cursor", v["code"])
		}
		for i := range len(cursor) {
			flipped := []byte(cursor)
			flipped[i] = map[bool]byte{true: 'B', false: 'A'}[flipped[i] == 'A']
			resp, _ := w.ask(tara, "GET", list+"&cursor="+string(flipped), "")
			if i < len(cursor)-1 { // the last character has bits that nobody reads
				assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
			}
		}
	}
}

func TestGivingAndTaking(t *testing.T) {
	w := newWorld(t)
	const bo = `{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme/users/bo","reason":"is new here"}`
	ask := func() any {
		_, v := w.ask(tara, "GET", "/v1/decisions:check?principal=user:i/bo&permission=sync.run&resource=tenants/acme/users/bo/sync", "")
		return v["allowed"]
	}
	before := w.az.Revision()
	resp, v := w.ask(tara, "POST", "/v1/authorizations?dry_run=true", bo)
	require.Equal(t, http.StatusOK, resp.StatusCode, v)
	assert.Positive(t, v["preview"].(map[string]any)["gained"])
	assert.Equal(t, before, w.az.Revision())
	assert.Equal(t, false, ask())

	key := func(k string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Idempotency-Key", k) }
	}
	resp, v = w.ask(tara, "POST", "/v1/authorizations", bo, key("k1"))
	require.Equal(t, http.StatusCreated, resp.StatusCode, v)
	made := v["authorization"].(map[string]any)
	assert.Equal(t, made["etag"], resp.Header.Get("ETag"))
	assert.Equal(t, true, ask())
	_, again := w.ask(tara, "POST", "/v1/authorizations", bo, key("k1"))
	assert.Equal(t, v, again, "asked for twice, made once")
	assert.Equal(t, before+1, w.az.Revision())
	resp, v = w.ask(tara, "POST", "/v1/authorizations", strings.Replace(bo, "new", "newer", 1), key("k1"))
	assert.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode)
	assert.Equal(t, "idempotency-key", v["code"])

	path := "/v1/authorizations/" + made["id"].(string)
	resp, v = w.ask(tara, "GET", path+"?under=tenants/acme", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, made, v)

	match := func(tag string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("If-Match", tag) } }
	resp, _ = w.ask(tara, "DELETE", path+"?under=tenants/acme", "")
	assert.Equal(t, http.StatusPreconditionRequired, resp.StatusCode)
	resp, v = w.ask(tara, "DELETE", path+"?under=tenants/acme", "", match(`"of-yesterday"`))
	assert.Equal(t, http.StatusPreconditionFailed, resp.StatusCode)
	assert.Equal(t, "changed-meanwhile", v["code"])
	resp, v = w.ask(tara, "DELETE", path+"?under=tenants/acme&dry_run=true", "")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Positive(t, v["preview"].(map[string]any)["lost"])
	assert.Equal(t, true, ask())
	w.ask(tara, "POST", "/v1/authorizations", strings.ReplaceAll(bo, "bo", "eve"))
	resp, v = w.ask(tara, "DELETE", path+"?under=tenants/acme&reason=left", "", match(made["etag"].(string)))
	require.Equal(t, http.StatusOK, resp.StatusCode, "another change in between is none of its business: %v", v)
	assert.Equal(t, false, ask())
	resp, _ = w.ask(tara, "DELETE", path+"?under=tenants/acme", "", match(made["etag"].(string)))
	assert.Equal(t, http.StatusNotFound, resp.StatusCode)

	_, v = w.ask(tara, "GET", "/v1/changes?under=tenants/acme", "")
	items := v["items"].([]any)
	last := items[len(items)-1].(map[string]any)
	assert.Equal(t, "left", last["reason"])
	assert.Equal(t, tara, last["author"])
}

// Nobody gives what they do not hold, or takes the last administrator away.
func TestRefusedChanges(t *testing.T) {
	w := newWorld(t)
	resp, v := w.ask(ana, "POST", "/v1/authorizations", `{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme/users/ana","reason":"x"}`)
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, v)
	resp, v = w.ask(tara, "POST", "/v1/authorizations", `{"principal":"user:i/bo","role":"role:tenant-admin","resource":"tenants/other","reason":"x"}`)
	assert.Equal(t, http.StatusForbidden, resp.StatusCode, v)
	_, v = w.ask(ada, "GET", "/v1/authorizations", "")
	for _, x := range v["items"].([]any) {
		x := x.(map[string]any)
		if x["role"] == "role:administration" {
			resp, v := w.ask(ada, "DELETE", "/v1/authorizations/"+x["id"].(string), "", func(r *http.Request) { r.Header.Set("If-Match", x["etag"].(string)) })
			assert.Equal(t, http.StatusConflict, resp.StatusCode, v)
			assert.Equal(t, "last-administrator", v["code"])
		}
	}
	for body, pointer := range map[string]string{
		`{"principal":"bo","role":"role:user","resource":"tenants/acme","reason":"x"}`:                                             "/principal",
		`{"principal":"user:i/bo","role":"role:king","resource":"tenants/acme","reason":"x"}`:                                      "/role",
		`{"principal":"user:i/bo","role":"role:user","resource":"/","reason":"x"}`:                                                 "/resource",
		`{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme","reason":""}`:                                       "/reason",
		`{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme","reason":"x","effect":"maybe"}`:                     "/effect",
		`{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme","reason":"x","until":"tomorrow"}`:                   "/until",
		`{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme","reason":"x","until":"2026-01-01T00:00:00Z","a":1}`: "/a",
	} {
		resp, v := w.ask(tara, "POST", "/v1/authorizations", body)
		require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode, "%s: %v", body, v)
		assert.Equal(t, pointer, v["errors"].([]any)[0].(map[string]any)["pointer"], body)
	}
}

// What is not there, what is elsewhere and what is hidden are answered alike, but
// for the id of the request.
func TestForeignLooksAbsent(t *testing.T) {
	w := newWorld(t)
	_, v := w.ask(ada, "GET", "/v1/authorizations?under=tenants/other", "")
	foreign := ""
	for _, x := range v["items"].([]any) {
		if x := x.(map[string]any); x["principal"] == "user:i/otto" {
			foreign = x["id"].(string)
		}
	}
	require.NotEmpty(t, foreign)
	var want map[string]any
	for _, path := range []string{"0190a0f0-0000-7000-8000-000000000000?under=tenants/acme", foreign + "?under=tenants/acme", foreign + "?under=tenants/other", foreign + "?under=tenants/nowhere", foreign} {
		for _, verb := range []string{"GET", "DELETE"} {
			resp, v := w.ask(tara, verb, "/v1/authorizations/"+path, "", func(r *http.Request) { r.Header.Set("If-Match", "x") })
			assert.Equal(t, http.StatusNotFound, resp.StatusCode, path)
			delete(v, "request_id")
			if want == nil {
				want = v
			}
			assert.Equal(t, want, v, path)
		}
	}
}

func TestBodiesAreStrict(t *testing.T) {
	w := newWorld(t)
	good := `{"principal":"user:i/bo","role":"role:user","resource":"tenants/acme/users/bo","reason":"x"}`
	for body, want := range map[string]int{
		"":          http.StatusBadRequest,
		"null":      http.StatusUnprocessableEntity,
		"[]":        http.StatusUnprocessableEntity,
		"{":         http.StatusBadRequest,
		good + "}":  http.StatusBadRequest,
		good + good: http.StatusBadRequest,
		strings.Replace(good, `"reason"`, `"Reason"`, 1):                    http.StatusBadRequest,
		strings.Replace(good, `"reason"`, `"reaſon"`, 1):                    http.StatusBadRequest,
		strings.Replace(good, `"reason"`, `"re\u0061son":"y","reason"`, 1):  http.StatusBadRequest,
		strings.Replace(good, `"x"`, strings.Repeat("[", 33), 1):            http.StatusBadRequest,
		strings.Replace(good, `"x"`, `"`+strings.Repeat("x", 2000)+`"`, 1):  http.StatusUnprocessableEntity,
		strings.Replace(good, `"x"`, `"`+strings.Repeat("x", 1<<20)+`"`, 1): http.StatusRequestEntityTooLarge,
	} {
		resp, v := w.ask(tara, "POST", "/v1/authorizations", body)
		assert.Equal(t, want, resp.StatusCode, "%.80s: %v", body, v)
	}
	for _, form := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/cbor"} {
		resp, _ := w.ask(tara, "POST", "/v1/authorizations", good, func(r *http.Request) { r.Header.Set("Content-Type", form) })
		assert.Equal(t, http.StatusUnsupportedMediaType, resp.StatusCode, form)
	}
	assert.EqualValues(t, 1, w.az.Revision())
}

func TestAddressesAreStrict(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]int{
		"/v1/roles?x=1": 422, "/v1/nothing": 404, "/v1/": 404, "/v1": 404, "/v1/authorizations/": 404, "/v1/authorizations/no-id": 422,
		"/v1/decisions:check": 422, "/v1/authorizations?limit=501": 422, "/v1/authorizations?limit=-1": 422, "/v1/authorizations?under=" + strings.Repeat("a/", 20): 400,
	} {
		resp, v := w.ask(ada, "GET", path, "")
		assert.Equal(t, want, resp.StatusCode, "%s: %v", path, v)
	}
	for _, verb := range []string{"PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "BREW"} {
		resp, _ := w.ask(ada, verb, "/v1/roles", "")
		assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode, verb)
		assert.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
	}
	resp, _ := w.ask("nobody", "GET", "/v1/roles", "")
	assert.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

// An operation without a permission that the policy has does not start, and nor
// does an interface of which a part is missing.
func TestOperationsNeedAPermission(t *testing.T) {
	_, err := New(Options{})
	require.Error(t, err)
	for _, p := range []string{"", "sync.fly", "*", "mailbox.*"} {
		a := &api{Options: Options{Authorizer: newWorld(t).az}}
		handle(a, operation{id: "x", verb: "GET", path: "/v1/x", permission: p}, func(*nowhere) (authz.Resource, error) { return authz.Resource{}, nil },
			func(context.Context, authz.Grant, authz.Resource, *nowhere) (*namesOut, error) { return nil, nil })
		require.Len(t, a.broken, 1, p)
	}
}
