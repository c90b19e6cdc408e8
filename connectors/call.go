package connectors

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Call is a driver's licence for one verb on one container. It carries the only
// authenticated client there is, and ends when the verb returns: a Call kept
// longer refuses everything. The zero Call refuses too.
type Call struct{ s *callState }

type callState struct {
	over   atomic.Bool
	client *http.Client
	grant  authz.Grant
	perm   authz.Permission
	on     authz.Resource
	sent   *atomic.Int64
}

// Client returns the client that adds the endpoint's credential and reaches
// the endpoint's origin and nothing else. Before each request the permission
// behind the call is tested again.
func (c Call) Client() *http.Client {
	if c.s == nil || c.s.client == nil {
		return &http.Client{Transport: refuse{}}
	}
	return c.s.client
}

// Err is nil while the call may act, and says why it may not otherwise.
func (c Call) Err() error {
	if c.s == nil {
		return fmt.Errorf("connectors: zero call: %w", authz.ErrDenied)
	}
	if c.s.over.Load() {
		return fmt.Errorf("connectors: %w: %w", ErrCallOver, authz.ErrDenied)
	}
	return c.s.grant.Covers(c.s.perm, c.s.on)
}

// begin authorizes one verb and makes its Call. The caller must end it.
func (c *Conn) begin(ctx context.Context, op string, k Kind, a access) (Call, error) {
	if c == nil || c.hub == nil || c.driver == nil {
		return Call{}, fmt.Errorf("connectors: %s: zero connection: %w", op, authz.ErrDenied)
	}
	if err := ctx.Err(); err != nil {
		return Call{}, &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnavailable, Cause: err}
	}
	if _, ok := c.plugin.caps.Kinds[k]; !ok {
		return Call{}, &Error{Plugin: c.plugin.name, Op: op, Kind: k, Class: ErrUnsupported}
	}
	on, err := c.ep.Resource.Child(k.String())
	if err != nil {
		return Call{}, fmt.Errorf("connectors: %s: %w", op, err)
	}
	perm := c.hub.perms.verbs[c.plugin.caps.Area][a]
	g, err := c.hub.az.Authorize(ctx, authz.Request{Principal: c.who, OnBehalfOf: c.ep.OnBehalfOf, Permission: perm, Resource: on})
	if err != nil {
		return Call{}, fmt.Errorf("connectors: %s %s %s: %w", c.plugin.name, op, k, err)
	}
	s := &callState{grant: g, perm: perm, on: on, sent: &c.sent}
	if !c.ep.Secret.IsZero() {
		use, err := c.hub.az.Authorize(ctx, authz.Request{Principal: c.hub.self, Permission: c.hub.perms.useSecret,
			Resource: c.ep.Secret.Resource(), Cause: g.Decision().ID})
		if err != nil {
			return Call{}, fmt.Errorf("connectors: %s %s %s: %w", c.plugin.name, op, k, err)
		}
		hd, err := c.hub.safe.Handle(use, c.ep.Secret)
		if err != nil {
			return Call{}, fmt.Errorf("connectors: %s %s %s: %w", c.plugin.name, op, k, err)
		}
		u := c.settings.At(k)
		if err := c.hub.reach(ctx, u.Hostname()); err != nil {
			return Call{}, fmt.Errorf("connectors: %s %s %s: %w", c.plugin.name, op, k, err)
		}
		hc, err := hd.HTTPClient(ctx, secrets.ClientPolicy{Origin: u.Scheme + "://" + u.Host, Roots: c.ep.Roots,
			Timeout: c.ep.Timeout, AllowLoopbackHTTP: u.Scheme == "http"})
		if err != nil {
			return Call{}, fmt.Errorf("connectors: %s %s %s: %w", c.plugin.name, op, k, err)
		}
		inner := hc.Transport
		hc.Transport = guard{s, inner}
		s.client = hc
	}
	return Call{s}, nil
}

func (c Call) end() { c.s.over.Store(true) }

// guard lets a request pass only while its call is alive and allowed.
type guard struct {
	s    *callState
	next http.RoundTripper
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := (Call{g.s}).Err(); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	g.s.sent.Add(1)
	return g.next.RoundTrip(r)
}

// refuse is the transport of a call without a network.
type refuse struct{}

func (refuse) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return nil, fmt.Errorf("connectors: this call has no network: %w", authz.ErrDenied)
}
