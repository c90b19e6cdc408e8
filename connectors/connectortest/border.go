package connectortest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// verb is one verb with the permission it needs and arguments that make sense.
type verb struct {
	name string
	perm string // after the area
	can  bool
	call func(ctx context.Context, conn *connectors.Conn) error
}

// verbs are all verbs, aimed at a record.
func (c *kase) verbs(id, rev string) []verb {
	first := func(ws []connectors.Written, err error) error {
		if err == nil {
			err = ws[0].Err
		}
		return err
	}
	return []verb{
		{"changes", "items.read", true, func(ctx context.Context, conn *connectors.Conn) error {
			_, err := conn.Changes(ctx, c.k, "", 0)
			return err
		}},
		{"get", "items.read", true, func(ctx context.Context, conn *connectors.Conn) error {
			rs, err := conn.Get(ctx, c.k, []string{id})
			if err == nil {
				err = rs[0].Err
			}
			return err
		}},
		{"find", "items.read", !c.c.NoKey, func(ctx context.Context, conn *connectors.Conn) error {
			_, err := conn.Find(ctx, c.k, []string{"some-key"})
			return err
		}},
		{"list", "items.read", true, func(ctx context.Context, conn *connectors.Conn) error {
			_, err := conn.List(ctx, c.k, "", 0)
			return err
		}},
		{"create", "items.write", c.c.Create, func(ctx context.Context, conn *connectors.Conn) error {
			return first(conn.Create(ctx, c.k, []connectors.Draft{{Record: c.plain(7), Key: c.key()}}))
		}},
		{"update", "items.write", c.c.Update, func(ctx context.Context, conn *connectors.Conn) error {
			return first(conn.Update(ctx, c.k, []connectors.Edit{{ID: id, Rev: rev, Record: c.plain(8), Fields: []connectors.Field{c.field()}}}))
		}},
		{"delete", "items.delete", c.c.Delete, func(ctx context.Context, conn *connectors.Conn) error {
			return first(conn.Delete(ctx, c.k, []connectors.Target{{ID: id, Rev: rev}}))
		}},
	}
}

// cancelledBefore: who has given up already gets nothing done.
func cancelledBefore(c *kase) {
	id := c.add(c, c.plain(1))
	r := c.get(c, id)
	ctx, cancel := context.WithCancel(c.Context())
	cancel()
	n := c.requests()
	for _, v := range c.verbs(id, r.Rev) {
		assert.ErrorIs(c, c.clean(c, v.call(ctx, c.conn)), context.Canceled, v.name)
	}
	assert.Equal(c, n, c.requests())
	assert.Equal(c, r.Rev, c.get(c, id).Rev)
}

// cancelledUnderWay: a verb whose server does not answer ends when its context
// does, and leaves nothing running.
func cancelledUnderWay(c *kase) {
	c.need("network", c.server != nil)
	for _, name := range []string{"changes", "get", "find", "list", "create", "update", "delete"} {
		c.Run(name, func(t *testing.T) {
			current := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, current) })
			c := newCase(t, c.h, c.k, "")
			id := c.add(c, c.plain(1))
			rev := c.get(c, id).Rev
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			release := make(chan struct{})
			c.server.meet(func(http.ResponseWriter, *http.Request) bool {
				cancel() // somebody gives up while the server thinks
				<-release
				return true
			})
			for _, v := range c.verbs(id, rev) {
				if v.name == name && v.can {
					assert.ErrorIs(t, c.clean(t, v.call(ctx, c.conn)), context.Canceled)
				}
			}
			close(release)
			c.server.meet(nil)
			assert.Equal(t, rev, c.get(c, id).Rev)
		})
	}
}

// denied: without its permission a verb is denied before anything leaves the
// house, and every other verb still works. The same goes for the one on whose
// behalf somebody acts, and for the connection that uses the credential.
func denied(c *kase) {
	area := c.area.String() + "."
	type person struct{ caller, behalf, missing string }
	var people []person
	for _, p := range permissions(c.area) {
		if p == "secrets.use" {
			if c.server != nil {
				people = append(people, person{ana, "", conns + " " + p})
			}
			continue
		}
		people = append(people, person{ana, "", ana + " " + p}, person{worker, ana, worker + " " + p}, person{worker, ana, ana + " " + p})
	}
	for _, who := range people {
		c.Run(strings.NewReplacer(" ", " without ", "/", "-").Replace(who.missing)+" for "+strings.ReplaceAll(who.caller, "/", "-"), func(t *testing.T) {
			c := newCase(t, c.h, c.k, who.missing)
			_, without, _ := strings.Cut(who.missing, " ")
			conn, err := c.dial(who.caller, who.behalf)
			if without == "connections.open" {
				require.ErrorIs(t, c.clean(t, err), authz.ErrDenied)
				require.Nil(t, conn)
				require.Zero(t, c.requests())
				return
			}
			require.NoError(t, err)
			var id, rev string
			if without != "secrets.use" {
				c.conn, c.other = c.open(ben), c.open(ben)
				id = c.add(c, c.plain(1))
				rev = c.get(c, id).Rev
			}
			for _, v := range c.verbs(id, rev) {
				before, decisions := c.requests(), len(c.audit.Records())
				err := c.clean(t, v.call(t.Context(), conn))
				if without == area+v.perm || without == "secrets.use" {
					assert.ErrorIs(t, err, authz.ErrDenied, v.name)
					assert.Equal(t, before, c.requests(), "%s: requests of somebody who may not", v.name)
				} else if v.can && v.name != "delete" { // the record has another revision by then
					assert.NoError(t, err, v.name)
				}
				assert.Greater(t, len(c.audit.Records()), decisions, "%s: the decision was not recorded", v.name)
			}
		})
	}
}

// revokedUnderWay: whoever loses a permission in the middle of a verb sends
// nothing more.
func revokedUnderWay(c *kase) {
	c.need("network", c.server != nil)
	for i, name := range []string{"changes", "get", "find", "list", "create", "update", "delete"} {
		c.Run(name, func(t *testing.T) {
			c := newCase(t, c.h, c.k, "")
			id := c.add(c, c.plain(1))
			v := c.verbs(id, c.get(c, id).Rev)[i]
			if !v.can {
				t.Skip("the system cannot do that")
			}
			before := c.requests()
			c.server.meet(func(http.ResponseWriter, *http.Request) bool {
				if c.requests() == before+1 {
					c.revoke(ana, c.area.String()+"."+v.perm)
				}
				return false
			})
			_ = c.clean(t, v.call(t.Context(), c.conn))
			assert.LessOrEqual(t, c.requests(), before+1, "requests after the permission was gone")
			c.server.meet(nil)
			sent := c.requests()
			assert.ErrorIs(t, c.clean(t, v.call(t.Context(), c.conn)), authz.ErrDenied)
			assert.Equal(t, sent, c.requests())
		})
	}
}

// words are what a remote side says that nobody else may hear.
func words(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Detail", canary)
	w.Header().Set("ETag", `"`+canary+`"`)
	w.WriteHeader(status)
	if status != http.StatusNoContent && status != http.StatusNotModified {
		fmt.Fprintf(w, "<html><body>%s %s</body></html>", canary, strings.Repeat(canary+" ", 2000))
	}
}

// remoteWords: a refusal has a class, and never repeats what the remote side
// said.
func remoteWords(c *kase) {
	c.need("network", c.server != nil)
	id := c.add(c, c.plain(1))
	rev := c.get(c, id).Rev
	for _, status := range []int{400, 401, 403, 404, 409, 410, 412, 413, 418, 500, 501} {
		for _, v := range c.verbs(id, rev) {
			if !v.can {
				continue
			}
			var n atomic.Int64
			c.server.meet(func(w http.ResponseWriter, _ *http.Request) bool { n.Add(1); words(w, status); return true })
			err := c.clean(c, v.call(c.Context(), c.conn))
			c.server.meet(nil)
			assert.Positive(c, n.Load(), "%s: nothing was asked", v.name)
			gone := (status == 404 || status == 410) && (v.name == "delete" || v.name == "find")
			if !gone {
				assert.Error(c, err, "%s: HTTP %d", v.name, status)
			}
			if status == 401 {
				assert.ErrorIs(c, err, connectors.ErrUnauthorized, v.name)
			}
			if v.name == "get" && errors.Is(err, connectors.ErrNotFound) {
				assert.Contains(c, []int{404, 410}, status, "a record is called missing for HTTP %d", status)
			}
			if status >= 500 && v.perm != "items.read" {
				assert.NotErrorIs(c, err, connectors.ErrInvalid, v.name)
			}
		}
	}
	assert.Equal(c, rev, c.get(c, id).Rev)
}

// impatient runs a verb whose server gives the same answer to everything, and
// gives up when the verb tries again.
func (c *kase) impatient(v verb, answer func(w http.ResponseWriter)) error {
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	var n atomic.Int64
	c.server.meet(func(w http.ResponseWriter, _ *http.Request) bool {
		if n.Add(1) > 1 {
			cancel()
		}
		answer(w)
		return true
	})
	defer c.server.meet(nil)
	return c.clean(c, v.call(ctx, c.conn))
}

// answersThatAreNone: what cannot be understood is an error and never an empty
// listing or a missing record.
func answersThatAreNone(c *kase) {
	c.need("network", c.server != nil)
	id := c.add(c, c.plain(1))
	r := c.get(c, id)
	for name, answer := range map[string]func(w http.ResponseWriter){
		"page":      func(w http.ResponseWriter) { words(w, 200) },
		"no body":   func(w http.ResponseWriter) { w.WriteHeader(200) },
		"204":       func(w http.ResponseWriter) { words(w, 204) },
		"304":       func(w http.ResponseWriter) { words(w, 304) },
		"json":      func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"d":null}`)) },
		"half json": func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"d":{"results":[`)) },
		"half xml": func(w http.ResponseWriter) {
			w.WriteHeader(207)
			_, _ = w.Write([]byte(`<multistatus xmlns="DAV:"><response>`))
		},
		"other xml": func(w http.ResponseWriter) { w.WriteHeader(207); _, _ = w.Write([]byte(`<html>` + canary + `</html>`)) },
		"cut":       func(w http.ResponseWriter) { w.Header().Set("Content-Length", "1000"); _, _ = w.Write([]byte(`{`)) },
	} {
		for _, v := range c.verbs(id, r.Rev) {
			if v.perm != "items.read" || !v.can {
				continue
			}
			err := c.impatient(v, answer)
			assert.Error(c, err, "%s: %s", v.name, name)
			assert.NotErrorIs(c, err, connectors.ErrNotFound, "%s: %s", v.name, name)
		}
	}
	assert.Equal(c, r.Rev, c.get(c, id).Rev)
}

// redirects: a server that points elsewhere leads nobody there, and its
// credential least of all.
func redirects(c *kase) {
	c.need("network", c.server != nil)
	id := c.add(c, c.plain(1))
	rev := c.get(c, id).Rev
	var strangers atomic.Int64
	stranger := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strangers.Add(1) }))
	defer stranger.Close()
	for name, status := range map[string]int{"changes": 307, "get": 302, "create": 308, "update": 301, "delete": 307} {
		for _, v := range c.verbs(id, rev) {
			if v.name != name || !v.can {
				continue
			}
			err := c.impatient(v, func(w http.ResponseWriter) {
				w.Header().Set("Location", stranger.URL+"/"+canary)
				w.WriteHeader(status)
			})
			assert.Error(c, err, "%s: HTTP %d", v.name, status)
		}
	}
	assert.Zero(c, strangers.Load(), "requests to another server")
	assert.Equal(c, rev, c.get(c, id).Rev)
}
