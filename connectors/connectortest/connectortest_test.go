package connectortest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/connectortest"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mutant is the reference driver with one deliberate mistake: the functions
// that are set change what goes in or comes out.
type mutant struct {
	connectors.Driver
	connectors.Attacher
	connectors.Searcher
	page    func(cursor string, p connectors.Page, err error) (connectors.Page, error)
	results func([]connectors.Result) []connectors.Result
	find    func(m map[string][]connectors.Change) map[string][]connectors.Change
	ids     func(connectors.IDs) connectors.IDs
	draft   func(*connectors.Draft)
	edit    func(ctx context.Context, c connectors.Call, e *connectors.Edit)
	target  func(ctx context.Context, c connectors.Call, t *connectors.Target)
	written func(verb string, w connectors.Written) connectors.Written
}

func (m mutant) Changes(ctx context.Context, c connectors.Call, k connectors.Kind, cursor string, limit int) (connectors.Page, error) {
	p, err := m.Driver.Changes(ctx, c, k, cursor, limit)
	if m.page != nil {
		return m.page(cursor, p, err)
	}
	return p, err
}

func (m mutant) Get(ctx context.Context, c connectors.Call, k connectors.Kind, ids []string) ([]connectors.Result, error) {
	rs, err := m.Driver.Get(ctx, c, k, ids)
	if m.results != nil {
		rs = m.results(rs)
	}
	return rs, err
}

func (m mutant) Find(ctx context.Context, c connectors.Call, k connectors.Kind, keys []string) (map[string][]connectors.Change, error) {
	found, err := m.Driver.Find(ctx, c, k, keys)
	if m.find != nil && err == nil {
		found = m.find(found)
	}
	return found, err
}

func (m mutant) List(ctx context.Context, c connectors.Call, k connectors.Kind, after string, limit int) (connectors.IDs, error) {
	p, err := m.Driver.List(ctx, c, k, after, limit)
	if m.ids != nil {
		p = m.ids(p)
	}
	return p, err
}

func (m mutant) answers(verb string, ws []connectors.Written, err error) ([]connectors.Written, error) {
	for i := range ws {
		if m.written != nil {
			ws[i] = m.written(verb, ws[i])
		}
	}
	return ws, err
}

func (m mutant) Create(ctx context.Context, c connectors.Call, k connectors.Kind, ds []connectors.Draft) ([]connectors.Written, error) {
	ds = slices.Clone(ds)
	for i := range ds {
		ds[i].Record = ds[i].Record.Clone()
		if m.draft != nil {
			m.draft(&ds[i])
		}
	}
	ws, err := m.Driver.Create(ctx, c, k, ds)
	return m.answers("create", ws, err)
}

func (m mutant) Update(ctx context.Context, c connectors.Call, k connectors.Kind, es []connectors.Edit) ([]connectors.Written, error) {
	es = slices.Clone(es)
	for i := range es {
		if m.edit != nil {
			m.edit(ctx, c, &es[i])
		}
	}
	ws, err := m.Driver.Update(ctx, c, k, es)
	return m.answers("update", ws, err)
}

func (m mutant) Delete(ctx context.Context, c connectors.Call, k connectors.Kind, ts []connectors.Target) ([]connectors.Written, error) {
	ts = slices.Clone(ts)
	for i := range ts {
		if m.target != nil {
			m.target(ctx, c, &ts[i])
		}
	}
	ws, err := m.Driver.Delete(ctx, c, k, ts)
	return m.answers("delete", ws, err)
}

const kind = connectors.KindContact

// newest is the revision that a record has now.
func newest(ctx context.Context, d connectors.Driver, c connectors.Call, id, rev string) string {
	if rs, err := d.Get(ctx, c, kind, []string{id}); err == nil && rs[0].Err == nil {
		return rs[0].Record.Rev
	}
	return rev
}

// mutants are mistakes that connectors make, each with the case that sees it.
func mutants() map[string]struct {
	seenBy string
	mutant func(d connectors.Driver) mutant
} {
	type m = struct {
		seenBy string
		mutant func(d connectors.Driver) mutant
	}
	each := func(f func(*connectors.Record)) func(d connectors.Driver) mutant {
		return func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), results: func(rs []connectors.Result) []connectors.Result {
				for _, r := range rs {
					if r.Record != nil {
						f(r.Record)
					}
				}
				return rs
			}}
		}
	}
	page := func(f func(string, connectors.Page, error) (connectors.Page, error)) func(d connectors.Driver) mutant {
		return func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), page: f}
		}
	}
	answer := func(f func(string, connectors.Written) connectors.Written) func(d connectors.Driver) mutant {
		return func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), written: f}
		}
	}
	class := func(from, to error) func(d connectors.Driver) mutant {
		return answer(func(_ string, w connectors.Written) connectors.Written {
			if errors.Is(w.Err, from) {
				w.Err = &connectors.Error{Class: to}
			}
			return w
		})
	}
	return map[string]m{
		"searches vaguely": {"search", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: vague{d.(connectors.Searcher)}}
		}},
		"nothing": {"", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher)}
		}},
		"cuts texts": {"round_trip", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), draft: func(x *connectors.Draft) {
				if r := []rune(x.Record.Contact.Note); len(r) > 20 {
					x.Record.Contact.Note = string(r[:20])
				}
			}}
		}},
		"reads the escaped form": {"round_trip", each(func(r *connectors.Record) { r.Contact.Note = strings.ReplaceAll(r.Contact.Note, "&", "&amp;") })},
		"adds a blank":           {"round_trip", each(func(r *connectors.Record) { r.Contact.GivenName += " " })},
		"forgets the key":        {"find", each(func(r *connectors.Record) { r.Key = "" })},
		"calls the missing empty": {"missing", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), results: func(rs []connectors.Result) []connectors.Result {
				for i := range rs {
					if rs[i].Err != nil {
						r := connectors.NewRecord(kind)
						r.ID, r.Rev = "x", "1"
						rs[i] = connectors.Result{Record: r}
					}
				}
				return rs
			}}
		}},
		"answers in another order": {"list_and_get", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), results: func(rs []connectors.Result) []connectors.Result { slices.Reverse(rs); return rs }}
		}},
		"lists twice": {"list_and_get", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), ids: func(p connectors.IDs) connectors.IDs { p.IDs = append(p.IDs, p.IDs...); return p }}
		}},
		"finds too much": {"find", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), find: func(f map[string][]connectors.Change) map[string][]connectors.Change {
				f["nobody"] = []connectors.Change{{ID: "id-000001", Rev: "r1"}}
				return f
			}}
		}},
		"finds nothing": {"lost_answers", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), find: func(map[string][]connectors.Change) map[string][]connectors.Change { return nil }}
		}},
		"creates again": {"same_key_twice", class(connectors.ErrExists, nil)},
		"updates everything": {"update_names_its_fields", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), edit: func(_ context.Context, _ connectors.Call, e *connectors.Edit) { e.Fields = connectors.Fields(kind) }}
		}},
		"updates any revision": {"stale_update", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), edit: func(ctx context.Context, c connectors.Call, e *connectors.Edit) {
				e.Rev = newest(ctx, d, c, e.ID, e.Rev)
			}}
		}},
		"deletes any revision": {"stale_delete", func(d connectors.Driver) mutant {
			return mutant{Driver: d, Attacher: d.(connectors.Attacher), Searcher: d.(connectors.Searcher), target: func(ctx context.Context, c connectors.Call, x *connectors.Target) {
				x.Rev = newest(ctx, d, c, x.ID, x.Rev)
			}}
		}},
		"calls the lost undone":   {"lost_answers", class(connectors.ErrUnknownOutcome, connectors.ErrUnavailable)},
		"calls conflicts invalid": {"stale_update", class(connectors.ErrPrecondition, connectors.ErrInvalid)},
		"tells no class":          {"stale_update", class(connectors.ErrPrecondition, nil)},
		"cannot delete the gone": {"delete_twice", answer(func(verb string, w connectors.Written) connectors.Written {
			if verb == "delete" && w.Err == nil && w.Rev == "" && strings.HasSuffix(w.ID, "1") {
				w.Err = &connectors.Error{Class: connectors.ErrNotFound}
			}
			return w
		})},
		"says what it read": {"stale_update", answer(func(_ string, w connectors.Written) connectors.Written {
			if w.Err != nil {
				w.Err = &connectors.Error{Class: connectors.ErrPrecondition, Detail: "Kanarienvogel 2"}
			}
			return w
		})},
		"loses the first of a page": {"everything_once", page(func(cursor string, p connectors.Page, err error) (connectors.Page, error) {
			if cursor != "" && len(p.Changes) > 0 {
				p.Changes = p.Changes[1:]
			}
			return p, err
		})},
		"stops after a page": {"everything_once", page(func(_ string, p connectors.Page, err error) (connectors.Page, error) {
			p.More = false
			return p, err
		})},
		"never ends": {"everything_once", page(func(_ string, p connectors.Page, err error) (connectors.Page, error) {
			p.More = true
			return p, err
		})},
		"has no history": {"worthless_cursors", page(func(cursor string, p connectors.Page, err error) (connectors.Page, error) {
			if errors.Is(err, connectors.ErrCursorExpired) {
				return connectors.Page{Cursor: cursor}, nil
			}
			return p, err
		})},
		"forgets deletions": {"delta", page(func(_ string, p connectors.Page, err error) (connectors.Page, error) {
			p.Changes = slices.DeleteFunc(p.Changes, func(c connectors.Change) bool { return c.Gone })
			return p, err
		})},
		"invents deletions": {"delta", page(func(_ string, p connectors.Page, err error) (connectors.Page, error) {
			for i := range p.Changes {
				p.Changes[i] = connectors.Change{ID: p.Changes[i].ID, Gone: true}
			}
			return p, err
		})},
		"reports old revisions": {"everything_once", page(func(_ string, p connectors.Page, err error) (connectors.Page, error) {
			for i := range p.Changes {
				p.Changes[i].Rev = "r0"
			}
			return p, err
		})},
	}
}

// TestMutant runs the suite over one mutant in a process of its own, in which it
// may fail.
func TestMutant(t *testing.T) {
	name := os.Getenv("CONNECTORTEST_MUTANT")
	if name == "" {
		t.Skip("started by TestSuiteSeesMistakes")
	}
	m, ok := mutants()[name]
	require.True(t, ok)
	connectortest.Run(t, connectortest.Harness{New: func(t testing.TB) connectortest.System {
		s := mem.New(&mem.Options{RefuseDups: true})
		caps := s.Capabilities(connectors.CRM)
		alone := caps.Kinds[kind]
		alone.Refs = nil
		caps.Kinds = map[connectors.Kind]connectors.Capability{kind: alone}
		p, err := connectors.NewPlugin("mutant", caps, func(connectors.Settings) (connectors.Driver, error) { return m.mutant(s.Driver()), nil })
		require.NoError(t, err)
		var seen atomic.Int64
		return connectortest.System{
			Plugin:     p,
			Requests:   func() int64 { return seen.Add(int64(len(s.Ledger()))) },
			LoseAnswer: func() { s.Fail(mem.Fault{Write: true, After: true}) },
			Add:        func(r *connectors.Record) (string, error) { return s.Add(r), nil },
			Edit: func(k connectors.Kind, id string, f connectors.Field, text string) error {
				s.Edit(k, id, func(r *connectors.Record) { r.SetText(f, text) })
				return nil
			},
			Remove: func(k connectors.Kind, id string) error { s.Remove(k, id); return nil },
			Expire: s.ExpireCursors,
		}
	}})
}

// Each deliberate mistake fails the case that is there to see it.
func TestSuiteSeesMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("starts many processes")
	}
	for name, m := range mutants() {
		t.Run(name, func(t *testing.T) {
			pattern := "^TestMutant$"
			if m.seenBy != "" {
				pattern += "/^contacts$/^" + m.seenBy + "$"
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+pattern, "-test.v", "-rapid.nofailfile", "-rapid.shrinktime=1ms")
			cmd.Env = append(os.Environ(), "CONNECTORTEST_MUTANT="+name)
			out, err := cmd.CombinedOutput()
			if m.seenBy == "" {
				assert.NoError(t, err, "%s", out)
				return
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "the suite did not see it:\n%s", out)
			assert.Contains(t, string(out), "--- FAIL: TestMutant/contacts/"+m.seenBy)
		})
	}
}

// vague takes every search for one in part.
type vague struct{ connectors.Searcher }

func (v vague) Search(ctx context.Context, c connectors.Call, k connectors.Kind, q connectors.Query, limit int) ([]connectors.Hit, error) {
	q.Part = true
	return v.Searcher.Search(ctx, c, k, q, limit)
}
