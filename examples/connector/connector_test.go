package connector_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/examples/connector"
	"github.com/lockkeeper/lockkeeper/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-the-vendor"

// This is all that a connector's own test has to say.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{New: func(t testing.TB) connectortest.System {
		p, err := connector.Plugin()
		require.NoError(t, err)
		v := &vendor{people: map[string]*person{}}
		return connectortest.System{
			Plugin:  p,
			Handler: v.routes(),
			Path:    "/api/v1",
			Scheme:  secrets.Scheme{Kind: secrets.Bearer},
			Secret:  token,
			Expire:  v.forget,
		}
	}})
}

// vendor is the imaginary vendor's server: version numbers that grow with every
// change, and tombstones.
type vendor struct {
	mu     sync.Mutex
	people map[string]*person
	clock  int
	epoch  int
}

type person struct {
	ID      string            `json:"id"`
	Version string            `json:"version"`
	Key     string            `json:"key,omitempty"`
	Deleted bool              `json:"deleted,omitempty"`
	Fields  map[string]string `json:"fields"`
	at      int
}

func (v *vendor) forget() { v.mu.Lock(); v.epoch++; v.mu.Unlock() }

// put stores a person as the newest change.
func (v *vendor) put(p *person) {
	v.clock++
	p.at, p.Version = v.clock, fmt.Sprintf("v%d", v.clock)
	v.people[p.ID] = p
}

func (v *vendor) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) (any, int){
		"GET /api/v1/people":         v.list,
		"GET /api/v1/people/changes": v.changes,
		"GET /api/v1/people/{id}":    v.one,
		"POST /api/v1/people":        v.post,
		"PATCH /api/v1/people/{id}":  v.patch,
		"DELETE /api/v1/people/{id}": v.remove,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v.mu.Lock()
			defer v.mu.Unlock()
			out, status := any(nil), http.StatusUnauthorized
			if r.Header.Get("Authorization") == "Bearer "+token {
				out, status = h(w, r)
			}
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(out)
		})
	}
	return mux
}

// sorted returns up to limit people that a function picks, in an order.
func (v *vendor) sorted(limit string, pick func(*person) bool, order func(a, b *person) int) ([]*person, bool) {
	out := []*person{}
	for _, p := range v.people {
		if pick(p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, order)
	if n, err := strconv.Atoi(limit); err == nil && n < len(out) {
		return out[:n], true
	}
	return out, false
}

func (v *vendor) list(_ http.ResponseWriter, r *http.Request) (any, int) {
	q := r.URL.Query()
	ps, more := v.sorted(q.Get("limit"), func(p *person) bool {
		return !p.Deleted && p.ID > q.Get("after") && (!q.Has("key") || p.Key == q.Get("key"))
	}, func(a, b *person) int { return strings.Compare(a.ID, b.ID) })
	out := map[string]any{"people": ps}
	if more {
		out["next"] = ps[len(ps)-1].ID
	}
	return out, http.StatusOK
}

func (v *vendor) changes(_ http.ResponseWriter, r *http.Request) (any, int) {
	since, at := r.URL.Query().Get("since"), 0
	if since != "" {
		if _, err := fmt.Sscanf(since, fmt.Sprintf("since-%d-%%d", v.epoch), &at); err != nil || since != fmt.Sprintf("since-%d-%d", v.epoch, at) {
			return nil, http.StatusGone
		}
	}
	ps, more := v.sorted(r.URL.Query().Get("limit"), func(p *person) bool { return p.at > at }, func(a, b *person) int { return cmp.Compare(a.at, b.at) })
	if len(ps) > 0 {
		at = ps[len(ps)-1].at
	}
	return map[string]any{"people": ps, "cursor": fmt.Sprintf("since-%d-%d", v.epoch, at), "more": more}, http.StatusOK
}

func (v *vendor) one(_ http.ResponseWriter, r *http.Request) (any, int) {
	p := v.people[r.PathValue("id")]
	if p == nil || p.Deleted {
		return nil, http.StatusNotFound
	}
	return p, http.StatusOK
}

// body reads fields and refuses what is too long.
func body(r *http.Request) (*person, int) {
	p := &person{}
	if json.NewDecoder(r.Body).Decode(p) != nil {
		return nil, http.StatusBadRequest
	}
	for name, most := range map[string]int{"given_name": 80, "family_name": 80, "email": 254, "phone": 40} {
		if utf8.RuneCountInString(p.Fields[name]) > most {
			return nil, http.StatusUnprocessableEntity
		}
	}
	return p, http.StatusOK
}

func (v *vendor) post(_ http.ResponseWriter, r *http.Request) (any, int) {
	p, status := body(r)
	if status != http.StatusOK {
		return nil, status
	}
	for _, o := range v.people {
		if o.Key == p.Key && !o.Deleted {
			return nil, http.StatusConflict
		}
	}
	p.ID = fmt.Sprintf("p%06d", v.clock+1)
	v.put(p)
	return p, http.StatusOK
}

func (v *vendor) patch(w http.ResponseWriter, r *http.Request) (any, int) {
	old, status := v.one(w, r)
	if status != http.StatusOK {
		return nil, status
	}
	p := *old.(*person)
	if r.Header.Get("If-Match") != p.Version {
		return nil, http.StatusPreconditionFailed
	}
	in, status := body(r)
	if status != http.StatusOK {
		return nil, status
	}
	fields := map[string]string{}
	for _, m := range []map[string]string{p.Fields, in.Fields} {
		for name, value := range m {
			fields[name] = value
		}
	}
	p.Fields = fields
	v.put(&p)
	return &p, http.StatusOK
}

func (v *vendor) remove(w http.ResponseWriter, r *http.Request) (any, int) {
	p, status := v.one(w, r)
	if status != http.StatusOK {
		return nil, status
	}
	if r.Header.Get("If-Match") != p.(*person).Version {
		return nil, http.StatusPreconditionFailed
	}
	v.put(&person{ID: p.(*person).ID, Deleted: true})
	return nil, http.StatusOK
}

// An endpoint that the connector does not understand is refused when it is
// opened, and the error says what is wrong.
func TestSettings(t *testing.T) {
	p, err := connector.Plugin()
	require.NoError(t, err)
	az := authztest.New(t, "allow user:idp/ana role:crm-user tenants/acme/crm")
	h, err := connectors.NewHub(az.Authorizer, nil, p)
	require.NoError(t, err)
	_, err = h.Open(t.Context(), authztest.Principal(t, "user:idp/ana"),
		connectors.Endpoint{Plugin: connector.Name, Resource: authztest.Resource(t, "tenants/acme/crm")})
	require.EqualError(t, err, "connectors: open tinycrm: tinycrm: url: missing")
}
