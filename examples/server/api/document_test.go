package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
)

// document reads the document as a client would.
func (w *world) document() *openapi3.T {
	resp, err := http.Get(w.url + "/openapi.json")
	require.NoError(w.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	doc, err := openapi3.NewLoader().LoadFromData(b)
	require.NoError(w.t, err)
	return doc
}

// call is an operation of the document, ready to be asked for by its examples.
type call struct {
	id, verb, path, body string
	permission           string
	op                   *openapi3.Operation
}

// calls makes a request of every operation from the examples in the document.
func (w *world) calls(doc *openapi3.T) (out []call) {
	for path, item := range doc.Paths.Map() {
		for verb, op := range item.Operations() {
			c := call{id: op.OperationID, verb: verb, path: path, op: op}
			c.permission, _ = op.Extensions["x-permission"].(string)
			q := url.Values{}
			for _, p := range op.Parameters {
				example := p.Value.Example
				if x := p.Value.Schema.Value; example == nil && len(x.Examples) > 0 {
					example = x.Examples[0]
				}
				s, _ := example.(string)
				switch {
				case p.Value.In == "path":
					require.NotEmpty(w.t, s, "%s: an example of %s", c.id, p.Value.Name)
					c.path = strings.ReplaceAll(c.path, "{"+p.Value.Name+"}", s)
				case p.Value.In == "query" && p.Value.Required:
					require.NotEmpty(w.t, s, "%s: an example of %s", c.id, p.Value.Name)
					q.Set(p.Value.Name, s)
				case p.Value.In == "query" && p.Value.Name == "under":
					q.Set("under", "tenants/acme")
				}
			}
			if len(q) > 0 {
				c.path += "?" + q.Encode()
			}
			if op.RequestBody != nil {
				c.body = w.example(op.RequestBody.Value.Content["application/json"].Schema.Value)
			}
			out = append(out, c)
		}
	}
	return out
}

// example makes a body from the examples of a schema's required fields.
func (w *world) example(s *openapi3.Schema) string {
	var make func(s *openapi3.Schema) any
	make = func(s *openapi3.Schema) any {
		switch {
		case s.Example != nil:
			return s.Example
		case len(s.Examples) > 0:
			return s.Examples[0]
		case s.Type.Includes("array"):
			return []any{make(s.Items.Value)}
		case s.Type.Includes("object"):
			o := map[string]any{}
			for _, name := range s.Required {
				o[name] = make(s.Properties[name].Value)
			}
			return o
		}
		w.t.Fatalf("no example: %v", s)
		return nil
	}
	b, err := json.Marshal(make(s))
	require.NoError(w.t, err)
	return string(b)
}

// The document is one, says of each operation what a reader needs, and its
// examples work.
func TestDocument(t *testing.T) {
	w := newWorld(t)
	doc := w.document()
	require.NoError(t, doc.Validate(t.Context()))
	assert.Equal(t, "3.1.0", doc.OpenAPI)
	seen := map[string]bool{}
	for _, c := range w.calls(doc) {
		assert.NotEmpty(t, c.op.Summary, c.id)
		assert.NotEmpty(t, c.op.Description, c.id)
		assert.False(t, seen[c.id], c.id)
		seen[c.id] = true
		p, err := authz.ParsePermission(c.permission)
		require.NoError(t, err, c.id)
		known := false
		for q := range w.az.Permissions() {
			known = known || q == p
		}
		assert.True(t, known, "%s: %s", c.id, c.permission)
		assert.NotNil(t, c.op.Responses.Value("403"), c.id)
		problem := c.op.Responses.Value("403").Value.Content["application/problem+json"]
		require.NotNil(t, problem, c.id)
		assert.Contains(t, problem.Schema.Value.Properties, "request_id", "errors are described as they are")

		as := ada
		if c.id == "assign" {
			as = tara // who holds what the example gives
		}
		resp, v := w.ask(as, c.verb, c.path, c.body, func(r *http.Request) { r.Header.Set("If-Match", `"x"`) })
		if strings.HasPrefix(c.path, "/v1/authorizations/") {
			assert.Equal(t, http.StatusNotFound, resp.StatusCode, c.id) // the example's id is nobody's
		} else {
			assert.Less(t, resp.StatusCode, 300, "%s %s %s: %v", c.id, c.path, c.body, v)
		}
		assert.NotNil(t, c.op.Responses.Status(resp.StatusCode), "%s: %d is not in the document", c.id, resp.StatusCode)
	}
	assert.Len(t, seen, 14)
}

// Whoever asks, for whatever, is answered as the authorizer decides: each
// operation for each of twelve, on places of their own, of others, and that are
// not there; each attempt is on record, and nothing breaks.
func TestEveryAnswerIsADecision(t *testing.T) {
	w := newWorld(t)
	who := []string{ada, tara, ana, "user:i/otto", "user:i/bo", "user:i/stranger", "user:elsewhere/ada", "service:sync-worker", "service:connections", "team:administration", "team:support", "user:i/sam"}
	places := []string{"tenants", "tenants/acme", "tenants/acme/users/ana", "tenants/other", "tenants/other/users/x", "tenants/nowhere", "elsewhere"}
	asked, denied := 0, 0
	for _, c := range w.calls(w.document()) {
		for _, place := range places {
			path, body, on := c.path, c.body, place
			switch u, err := url.Parse(c.path); {
			case c.id == "assign":
				body = strings.ReplaceAll(body, "tenants/acme/users/bo", place)
			case c.id == "batchCheck":
				body = `{"on":"` + place + `","checks":[{"principal":"user:i/ana","permission":"sync.run","resource":"` + place + `"}]}`
			case u.Query().Has("under"), u.Query().Has("resource"):
				require.NoError(t, err)
				q := u.Query()
				q.Set(map[bool]string{true: "under", false: "resource"}[q.Has("under")], place)
				path = u.Path + "?" + q.Encode()
			default:
				on = "tenants" // the operation is about everything
			}
			for _, as := range who {
				before := w.records()
				resp, _ := w.ask(as, c.verb, path, body, func(r *http.Request) { r.Header.Set("If-Match", `"x"`) })
				d, err := w.az.Check(t.Context(), authz.Request{Principal: principal(t, as), Permission: authz.MustPermission(c.permission), Resource: at(t, on)})
				require.NoError(t, err)
				switch {
				case !d.Allowed:
					denied++
					assert.Contains(t, []int{http.StatusForbidden, http.StatusNotFound}, resp.StatusCode, "%s as %s on %s", c.id, as, on)
				case c.id == "assign": // there is more to giving than the permission
				default:
					assert.NotEqual(t, http.StatusForbidden, resp.StatusCode, "%s as %s on %s", c.id, as, on)
				}
				assert.Greater(t, w.records(), before, "%s as %s on %s is on record", c.id, as, on)
				asked++
			}
		}
	}
	assert.Greater(t, asked, 1000)
	assert.Greater(t, denied, asked/2)
}
