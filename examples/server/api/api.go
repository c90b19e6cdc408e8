// Package api is version 1 of the REST interface of the example server: who may
// do what, why, who said so and what was recorded, for programs.
//
// The document at /openapi.json is made from the code that answers. Every
// operation states one permission there, x-permission, and is asked about it, on
// the resource that the request names, before its code runs: an operation is
// registered together with its permission, and one without does not start.
//
// Errors are problem details (RFC 9457) with a code for programs and a request
// id; they never hold what was sent. What is named by an id and may not be seen is
// answered like what is not there. Lists come in pages, behind cursors that are
// good for the same question by the same caller only. Every change takes
// dry_run=true, and one that is made once only an Idempotency-Key.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/google/uuid"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Records is where the record of decisions is read, as
// authz/gormstore.Audit does.
type Records interface {
	// Records yields records: those after a sequence number, oldest first, or
	// those before it, newest first, of all where it is zero.
	Records(ctx context.Context, after uint64, newestFirst bool) iter.Seq2[authz.AuditRecord, error]
}

// Options say what the interface is made over. All are needed.
type Options struct {
	Authorizer *authz.Authorizer
	Records    Records
	Root       authz.Resource                              // what is asked about where a request names nothing
	Who        func(*http.Request) (authz.Principal, bool) // who a request comes from; false: nobody who is known
}

const (
	title    = "lockkeeper"
	maxBody  = 1 << 20
	maxDepth = 32
)

// api is what the operations share.
type api struct {
	Options
	huma    huma.API
	cursors cursors
	once    once
	broken  []error // of what was registered
}

// New returns the handler of everything under /v1/ and of /openapi.json. It is an
// error to leave something of Options out.
func New(o Options) (http.Handler, error) {
	if o.Authorizer == nil || o.Records == nil || o.Root.IsZero() || o.Who == nil {
		return nil, errors.New("api: all of Options are needed")
	}
	a := &api{Options: o, cursors: newCursors(), once: newOnce()}
	mux := http.NewServeMux()
	cfg := huma.DefaultConfig(title, "1.0.0")
	cfg.DocsPath, cfg.SchemasPath = "", "" // their page would load scripts from elsewhere
	cfg.CreateHooks = nil                  // no links to schemas that are not served
	cfg.Info.Description = "Who may do what, why, who said so and what was recorded."
	cfg.RejectUnknownQueryParameters = true
	js := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: strict}
	cfg.Formats = map[string]huma.Format{"application/json": js, "json": js} // the second for application/problem+json
	cfg.DefaultFormat = "application/json"
	cfg.Transformers = []huma.Transformer{spell}
	a.huma = humago.New(mux, cfg)
	a.catalogue()
	a.decisions()
	a.authorizations()
	a.history()
	if err := errors.Join(a.broken...); err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	describeProblems(a.huma.OpenAPI())
	return a.serve(mux), nil
}

// asked is what is known of a request before its operation runs.
type asked struct {
	id  string
	who authz.Principal
}

type askedKey struct{}

func askedBy(ctx context.Context) asked { a, _ := ctx.Value(askedKey{}).(asked); return a }

// serve puts around the operations what holds for all of them.
func (a *api) serve(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := asked{id: uuid.Must(uuid.NewV7()).String()}
		w.Header().Set("X-Request-Id", q.id)
		if _, pattern := mux.Handler(r); pattern == "" {
			unmatched(mux, w, r, q.id)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/v1/") {
			who, ok := a.Who(r)
			if !ok {
				w.Header().Set("WWW-Authenticate", "Bearer")
				write(w, problem(http.StatusUnauthorized, "not-signed-in", "Nobody is signed in.", "Sign in and ask again."), q.id)
				return
			}
			q.who = who
		}
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askedKey{}, q)))
	})
}

// unmatched says in the form of all errors that there is no such address, or
// which verbs there are for it.
func unmatched(mux *http.ServeMux, w http.ResponseWriter, r *http.Request, id string) {
	var is verdict
	mux.ServeHTTP(&is, r)
	if is.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", is.Header().Get("Allow"))
		write(w, problem(is.status, "method-not-allowed", "There is no such verb here.", "Use one of: "+is.Header().Get("Allow")+"."), id)
		return
	}
	write(w, problem(http.StatusNotFound, "not-found", "There is nothing at this address.", "The operations are in /openapi.json."), id)
}

// verdict takes an answer without its text.
type verdict struct {
	head   http.Header
	status int
}

// Header implements http.ResponseWriter.
func (v *verdict) Header() http.Header {
	if v.head == nil {
		v.head = http.Header{}
	}
	return v.head
}

// Write implements http.ResponseWriter.
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (v *verdict) WriteHeader(status int) { v.status = status }

// write answers with a problem outside the operations.
func write(w http.ResponseWriter, p *Problem, id string) {
	p.RequestID = id
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
