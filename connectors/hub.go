package connectors

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Hub opens connections. It is the only way to a driver, and asks the
// authorizer before anything a driver does. Safe for concurrent use.
type Hub struct {
	az      *authz.Authorizer
	safe    *secrets.Safe
	plugins map[string]Plugin
	network *Network // nil: not confined
	self    authz.Principal
	perms   permissions
}

type permissions struct {
	open, useSecret authz.Permission
	verbs           map[Area]map[access]authz.Permission
}

type access uint8

const (
	read access = iota
	write
	remove
	readAttachment
	writeAttachment
	removeAttachment
)

// ConnectionsPrincipal is the name of the service that may use the credentials
// of connections. People and workers never hold that permission themselves:
// they may act on records, and the connection uses its credential for them.
const ConnectionsPrincipal = "connections"

// NewHub makes a Hub over the given connectors. The safe may be nil if no
// endpoint needs a credential.
func NewHub(az *authz.Authorizer, safe *secrets.Safe, plugins ...Plugin) (*Hub, error) {
	if az == nil {
		return nil, fmt.Errorf("connectors: new hub: no authorizer: %w", authz.ErrDenied)
	}
	self, err := authz.Service(ConnectionsPrincipal)
	if err != nil {
		return nil, fmt.Errorf("connectors: new hub: %w", err)
	}
	h := &Hub{az: az, safe: safe, plugins: map[string]Plugin{}, self: self, perms: permissions{
		open:      authz.MustPermission("connections.open"),
		useSecret: authz.MustPermission("secrets.use"),
		verbs:     map[Area]map[access]authz.Permission{},
	}}
	for _, a := range []Area{CRM, Mailbox} {
		h.perms.verbs[a] = map[access]authz.Permission{
			read:   authz.MustPermission(a.String() + ".items.read"),
			write:  authz.MustPermission(a.String() + ".items.write"),
			remove: authz.MustPermission(a.String() + ".items.delete"),

			readAttachment:   authz.MustPermission(a.String() + ".attachments.read"),
			writeAttachment:  authz.MustPermission(a.String() + ".attachments.write"),
			removeAttachment: authz.MustPermission(a.String() + ".attachments.delete"),
		}
	}
	for _, p := range plugins {
		if p.open == nil {
			return nil, fmt.Errorf("connectors: new hub: zero plugin: %w", authz.ErrDenied)
		}
		if _, dup := h.plugins[p.name]; dup {
			return nil, fmt.Errorf("connectors: new hub: plugin %s is offered twice", p.name)
		}
		h.plugins[p.name] = p
	}
	return h, nil
}

// Endpoint names one mailbox or one CRM system and whose it is.
type Endpoint struct {
	Plugin     string            // name of the connector
	URL        string            // where the system is; https, or loopback http for tests
	Elsewhere  map[Kind]string   // where kinds are that a system keeps at another address, as Google does; nil: none
	Resource   authz.Resource    // the mailbox or CRM node; its containers are its children
	OnBehalfOf authz.Principal   // the user served; zero if the caller acts for nobody else
	Secret     secrets.Ref       // the credential; zero only for connectors without network
	Roots      *x509.CertPool    // certificate authorities of that system; nil: the machine's
	Timeout    time.Duration     // of one exchange; zero: the safe's default
	Options    map[string]string // the connector's own
}

// Open returns a connection for a principal. It needs connections.open on the
// endpoint's resource, or fails with authz.ErrDenied. It does not touch the
// network: a wrong address shows at the first verb.
func (h *Hub) Open(ctx context.Context, who authz.Principal, ep Endpoint) (*Conn, error) {
	if h == nil || h.az == nil {
		return nil, fmt.Errorf("connectors: open: zero hub: %w", authz.ErrDenied)
	}
	p, ok := h.plugins[ep.Plugin]
	if !ok {
		return nil, fmt.Errorf("connectors: open: plugin %q: %w", ep.Plugin, ErrUnsupported)
	}
	if _, err := h.az.Authorize(ctx, authz.Request{Principal: who, OnBehalfOf: ep.OnBehalfOf,
		Permission: h.perms.open, Resource: ep.Resource}); err != nil {
		return nil, fmt.Errorf("connectors: open %s: %w", ep.Plugin, err)
	}
	s := Settings{Options: ep.Options}
	if ep.URL != "" {
		u, err := address(ep.URL)
		if err != nil {
			return nil, fmt.Errorf("connectors: open %s: url: %w", ep.Plugin, err)
		}
		s.URL = u
	}
	for k, v := range ep.Elsewhere {
		u, err := address(v)
		if err == nil && s.URL == nil {
			err = errors.New("there is none that it could be elsewhere than")
		}
		if err != nil {
			return nil, fmt.Errorf("connectors: open %s: url of %s: %w", ep.Plugin, k, err)
		}
		if s.Elsewhere == nil {
			s.Elsewhere = map[Kind]*url.URL{}
		}
		s.Elsewhere[k] = u
	}
	for _, u := range append(slices.Collect(maps.Values(s.Elsewhere)), s.URL) {
		if u != nil {
			if err := h.reach(ctx, u.Hostname()); err != nil {
				return nil, fmt.Errorf("connectors: open %s: url: %w", ep.Plugin, err)
			}
		}
	}
	if ep.Secret.IsZero() != (s.URL == nil) {
		return nil, fmt.Errorf("connectors: open %s: url and secret go together: an endpoint has both or neither", ep.Plugin)
	}
	if s.URL != nil && h.safe == nil {
		return nil, fmt.Errorf("connectors: open %s: the hub has no safe", ep.Plugin)
	}
	d, err := p.open(s)
	if err != nil {
		return nil, fmt.Errorf("connectors: open %s: %w", ep.Plugin, err)
	}
	if d == nil {
		return nil, errors.New("connectors: open " + ep.Plugin + ": plugin made no driver")
	}
	return &Conn{hub: h, plugin: p, driver: d, who: who, ep: ep, settings: s}, nil
}

// address reads the address of a system.
func address(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("want scheme, host and path only, as in https://host/path")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) {
		return nil, errors.New("want https (http only on loopback)")
	}
	return u, nil
}

func loopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
