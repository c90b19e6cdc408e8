package mem_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
)

const kind = connectors.KindContact

func connect(t *testing.T, s *mem.System) *connectors.Conn {
	t.Helper()
	p, err := s.Plugin("mem", connectors.CRM)
	require.NoError(t, err)
	w := authztest.New(t, "allow user:idp/ana role:crm-user tenants/acme/crm")
	h, err := connectors.NewHub(w.Authorizer, nil, p)
	require.NoError(t, err)
	c, err := h.Open(t.Context(), authztest.Principal(t, "user:idp/ana"), connectors.Endpoint{Plugin: "mem", Resource: authztest.Resource(t, "tenants/acme/crm")})
	require.NoError(t, err)
	return c
}

func person(name string) *connectors.Record {
	r := connectors.NewRecord(kind)
	r.Contact.FamilyName = name
	return r
}

func drafts(names ...string) []connectors.Draft {
	var out []connectors.Draft
	for _, n := range names {
		out = append(out, connectors.Draft{Record: person(n), Key: "key-" + n})
	}
	return out
}

// verbs calls each verb once and returns what came of it.
func verbs(t *testing.T, c *connectors.Conn, id, rev string) map[string]error {
	t.Helper()
	first := func(ws []connectors.Written, err error) error {
		if err == nil {
			err = ws[0].Err
		}
		return err
	}
	out := map[string]error{}
	_, out["changes"] = c.Changes(t.Context(), kind, "", 0)
	_, out["get"] = c.Get(t.Context(), kind, []string{id})
	_, out["find"] = c.Find(t.Context(), kind, []string{"key"})
	_, out["list"] = c.List(t.Context(), kind, "", 0)
	out["create"] = first(c.Create(t.Context(), kind, drafts("new")))
	out["update"] = first(c.Update(t.Context(), kind, []connectors.Edit{{ID: id, Rev: rev, Record: person("changed"), Fields: []connectors.Field{connectors.FieldFamilyName}}}))
	out["delete"] = first(c.Delete(t.Context(), kind, []connectors.Target{{ID: id, Rev: rev}}))
	return out
}

// A fault hits the verb it names, once, and nothing happens.
func TestFaultBefore(t *testing.T) {
	for _, verb := range []string{"changes", "get", "find", "list", "create", "update", "delete"} {
		s := mem.New(nil)
		c := connect(t, s)
		id := s.Add(person("old"))
		rev := s.Records(kind)[0].Rev
		s.Fail(mem.Fault{Verb: verb})
		before := s.Records(kind)
		errs := verbs(t, c, id, rev)
		for v, err := range errs {
			switch {
			case v == verb:
				assert.ErrorIs(t, err, connectors.ErrUnavailable, "%s under a fault of %s", v, verb)
			case v == "delete" && verb != "update":
				assert.ErrorIs(t, err, connectors.ErrPrecondition, "the update came first")
			default:
				assert.NoError(t, err, "%s under a fault of %s", v, verb)
			}
		}
		after := s.Records(kind)
		switch verb {
		case "create":
			assert.Len(t, after, len(before))
		case "update":
			assert.Len(t, after, 1, "made one, deleted one")
		case "delete":
			assert.Len(t, after, 2)
		}
		assert.NoError(t, verbs(t, c, id, rev)[verb2(verb)], "a fault happens once")
	}
}

// verb2 is a verb that can be repeated with the old arguments.
func verb2(v string) string {
	if v == "update" || v == "delete" {
		return "list"
	}
	return v
}

// A lost answer leaves the effect, in all records of the call or in one.
func TestFaultAfter(t *testing.T) {
	s := mem.New(nil)
	c := connect(t, s)
	s.Fail(mem.Fault{Verb: "create", After: true})
	ws, err := c.Create(t.Context(), kind, drafts("a", "b"))
	require.NoError(t, err)
	for _, w := range ws {
		assert.ErrorIs(t, w.Err, connectors.ErrUnknownOutcome)
		assert.Empty(t, w.ID)
	}
	require.Len(t, s.Records(kind), 2)

	s.Fail(mem.Fault{Write: true, After: true, Item: 2})
	_, err = c.List(t.Context(), kind, "", 0)
	require.NoError(t, err, "a fault of writes leaves reading alone")
	ws, err = c.Create(t.Context(), kind, drafts("c", "d", "e"))
	require.NoError(t, err)
	assert.NoError(t, ws[0].Err)
	assert.ErrorIs(t, ws[1].Err, connectors.ErrUnknownOutcome)
	assert.NoError(t, ws[2].Err)
	assert.Len(t, s.Records(kind), 5)
	found, err := c.Find(t.Context(), kind, []string{"key-a", "key-d", "key-x"})
	require.NoError(t, err)
	assert.Len(t, found, 2)

	// Reading loses answers too.
	for _, verb := range []string{"changes", "get", "find", "list"} {
		s.Fail(mem.Fault{Verb: verb, After: true, Err: connectors.ErrUnavailable})
		assert.ErrorIs(t, verbs(t, c, "x", "1")[verb], connectors.ErrUnavailable, verb)
	}
}

// One record of a call can fail alone.
func TestFaultOfOneRecord(t *testing.T) {
	s := mem.New(nil)
	c := connect(t, s)
	s.Fail(mem.Fault{Verb: "create", Item: 2, Err: connectors.ErrForbidden})
	ws, err := c.Create(t.Context(), kind, drafts("a", "b", "c"))
	require.NoError(t, err)
	assert.NoError(t, ws[0].Err)
	assert.ErrorIs(t, ws[1].Err, connectors.ErrForbidden)
	assert.NoError(t, ws[2].Err)
	require.Len(t, s.Records(kind), 2)
	s.Fail(mem.Fault{Verb: "get", Item: 1, Err: connectors.ErrMalformed})
	rs, err := c.Get(t.Context(), kind, []string{ws[0].ID, ws[2].ID})
	require.NoError(t, err)
	assert.ErrorIs(t, rs[0].Err, connectors.ErrMalformed)
	assert.Nil(t, rs[0].Record)
	assert.NoError(t, rs[1].Err)
}

// Faults wait for their turn and can be called off.
func TestFaultSkipAndHeal(t *testing.T) {
	s := mem.New(nil)
	c := connect(t, s)
	list := func() error { _, err := c.List(t.Context(), kind, "", 0); return err }
	s.Fail(mem.Fault{Verb: "list", Skip: 2, Err: connectors.ErrThrottled})
	for range 2 {
		require.NoError(t, list())
	}
	require.ErrorIs(t, list(), connectors.ErrThrottled)
	require.NoError(t, list())
	s.Fail(mem.Fault{}, mem.Fault{})
	require.ErrorIs(t, list(), connectors.ErrUnavailable)
	s.Heal()
	require.NoError(t, list())
}

// A slow system answers when it likes; whoever does not want to wait gets away,
// and what was asked did not happen.
func TestSlow(t *testing.T) {
	s := mem.New(nil)
	c := connect(t, s)
	arrived, release := make(chan struct{}), make(chan struct{})
	s.Fail(mem.Fault{Verb: "create", Wait: release, Arrived: func() { close(arrived) }})
	done := make(chan error, 1)
	go func() {
		ws, err := c.Create(t.Context(), kind, drafts("a"))
		if err == nil {
			err = ws[0].Err
		}
		done <- err
	}()
	<-arrived
	// Nobody else has to wait meanwhile.
	_, err := c.List(t.Context(), kind, "", 0)
	require.NoError(t, err)
	assert.Empty(t, s.Records(kind))
	close(release)
	require.NoError(t, <-done)
	assert.Len(t, s.Records(kind), 1)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.Fail(mem.Fault{Wait: make(chan struct{}), Arrived: cancel})
	ws, err := c.Create(ctx, kind, drafts("b"))
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, ws)
	assert.Len(t, s.Records(kind), 1)
}

// Revisions change with every change and with nothing else; times come from the
// clock that was given.
func TestRevisionsAndClock(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 999, time.UTC)
	s := mem.New(&mem.Options{Clock: func() time.Time { return now }})
	id := s.Add(person("a"))
	rev := s.Records(kind)[0].Rev
	assert.Equal(t, now.Truncate(time.Second), s.Records(kind)[0].Modified)
	require.True(t, s.Touch(kind, id))
	assert.NotEqual(t, rev, s.Records(kind)[0].Rev)
	assert.False(t, s.Touch(kind, "other"))
	assert.False(t, s.Touch(connectors.KindAccount, id))
	require.True(t, s.Remove(kind, id))
	assert.False(t, s.Remove(kind, id))
	assert.False(t, s.Edit(kind, id, func(*connectors.Record) { t.Error("edited what is gone") }))

	// Nobody outside can reach into the system.
	r := person("b")
	s.Add(r)
	r.Contact.FamilyName = "c"
	got := s.Records(kind)
	require.Len(t, got, 1)
	assert.Equal(t, "b", got[0].Contact.FamilyName)
	got[0].Contact.FamilyName = "d"
	assert.Equal(t, "b", s.Records(kind)[0].Contact.FamilyName)
}

func TestLedger(t *testing.T) {
	s := mem.New(nil)
	c := connect(t, s)
	_, err := c.Create(t.Context(), kind, drafts("a", "b"))
	require.NoError(t, err)
	_, err = c.List(t.Context(), kind, "", 0)
	require.NoError(t, err)
	l := s.Ledger()
	require.Len(t, l, 2)
	assert.Equal(t, mem.Entry{Verb: "create", Kind: kind, IDs: []string{"key-a", "key-b"}}, l[0])
	assert.Equal(t, 2, mem.Writes(l))
	assert.Empty(t, s.Ledger())
}
