package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	authzstore "github.com/lockkeeper/lockkeeper/authz/gormstore"
	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/dav"
	"github.com/lockkeeper/lockkeeper/examples/server/demo"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	secretstore "github.com/lockkeeper/lockkeeper/secrets/gormstore"
	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/gormstate"
)

// house is lockkeeper put together: who may do what, the credentials, the
// connections and the engine, over one data directory.
type house struct {
	nodes
	dir      *dataDir
	db       *sql.DB
	az       *authz.Authorizer
	audit    *authzstore.Audit
	safe     *secrets.Safe
	hub      *connectors.Hub
	engine   *lksync.Engine
	shared   *gormstate.Tenants // what mailboxes share: meetings and the stop switch
	board    *board
	watch    *watch
	log      *slog.Logger
	issuer   *issuer
	pageCert tls.Certificate

	systems   *systems
	logins    map[string]string // who logs in to an embedded system with a credential, by its Ref
	mailboxes []*mailbox
}

// mailbox is one user's mailbox and its way to the CRM.
type mailbox struct {
	demo.User
	principal authz.Principal
	sync      authz.Resource
	crm, mail connectors.Endpoint // without OnBehalfOf: the worker and the page open them for different people

	mu   sync.Mutex
	pair *lksync.Pair // as the worker holds it, opened at the first round
}

// build opens what the data directory holds and puts the parts together.
func build(ctx context.Context, d *dataDir, b *board, log *slog.Logger) (_ *house, err error) {
	h := &house{dir: d, board: b, log: log, watch: newWatch(d.keeper)}
	if d.client != nil {
		h.watch.check = d.client.Check
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	if h.nodes, err = newNodes(); err != nil {
		return nil, err
	}
	if h.db, err = d.database(ctx, mainDB); err != nil {
		return nil, err
	}
	g, err := sqlite.Gorm(h.db)
	if err != nil {
		return nil, err
	}
	store, err := authzstore.NewStore(ctx, g)
	if err != nil {
		return nil, err
	}
	if h.audit, err = authzstore.NewAudit(ctx, g); err != nil {
		return nil, err
	}
	seed, members, err := h.seed()
	if err != nil {
		return nil, err
	}
	if h.az, err = authz.New(ctx, policy.Files(), &authz.Options{Store: store, Seed: seed, SeedMembers: members}); err != nil {
		return nil, err
	}
	sealed, err := secretstore.New(ctx, g)
	if err != nil {
		return nil, err
	}
	if h.safe, err = secrets.New(d.keeper, d.store, sealed, nil); err != nil {
		return nil, err
	}
	states, err := gormstate.New(d.file(statesDir), d.files, nil)
	if err != nil {
		return nil, err
	}
	h.shared, err = states.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	h.engine = lksync.New(h.az, states, &lksync.Options{Progress: b.progress, Meetings: h.shared, Stops: h.shared})
	if h.issuer, h.pageCert, err = certificates(ctx, g, now()); err != nil {
		return nil, err
	}
	if err := writeFile(d.file(authority), h.issuer.pem()); err != nil {
		return nil, err
	}
	return h, nil
}

// close closes what build opened.
func (h *house) close() {
	if h.safe != nil {
		_ = h.safe.Close()
	}
	if h.shared != nil {
		_ = h.shared.Close()
	}
	if h.db != nil {
		_ = h.db.Close()
	}
}

// connect hands the credentials of the embedded systems to the safe, as the
// tenant's administrator, and notes where the systems are.
func (h *house) connect(ctx context.Context, s *systems) error {
	h.systems, h.logins = s, map[string]string{}
	mail, err := dav.Plugin()
	if err != nil {
		return err
	}
	if h.hub, err = connectors.NewHub(h.az, h.safe, c4c.Plugin(), mail); err != nil {
		return err
	}
	// An endpoint is at one of the embedded systems, whatever is written into one.
	var inside []string
	for _, at := range []string{s.crmURL, s.mailURL} {
		u, err := url.Parse(at)
		if err != nil {
			return err
		}
		inside = append(inside, u.Hostname())
	}
	h.hub.Confine(connectors.Network{Inside: inside})
	crmSecret, err := h.put(ctx, h.tenant, "crm", s.crmUser, s.crmPassword)
	if err != nil {
		return err
	}
	for _, u := range demo.Users() {
		m := &mailbox{User: u, sync: child(h.userNode(u.ID), "sync")}
		if m.principal, err = authz.User(idp, u.ID); err != nil {
			return err
		}
		m.crm = connectors.Endpoint{Plugin: c4c.Name, URL: s.crmURL, Resource: h.crm, Secret: crmSecret, Roots: s.roots,
			Options: map[string]string{c4c.OptionOverlap: "10s"}}
		secret, err := h.put(ctx, h.userNode(u.ID), "mailbox", u.ID, s.passwords[u.ID])
		if err != nil {
			return err
		}
		m.mail = connectors.Endpoint{Plugin: dav.Name, URL: s.mailURL, Resource: child(h.userNode(u.ID), "mailbox"), Secret: secret, Roots: s.roots,
			Options: s.mail.options(u.ID)}
		h.mailboxes = append(h.mailboxes, m)
	}
	return nil
}

// dueAfter is when a password is to be replaced.
const dueAfter = 90 * 24 * time.Hour

// put stores a password for a user name, as the tenant's administrator, unless
// the credential was revoked: that is for a person to take back. The password is
// cleared.
func (h *house) put(ctx context.Context, owner authz.Resource, name, user string, password []byte) (secrets.Ref, error) {
	ref, err := secrets.NewRef(owner, name)
	if err != nil {
		return ref, err
	}
	h.logins[ref.String()] = user
	grant := func(permission string) (authz.Grant, error) {
		return h.az.Authorize(ctx, authz.Request{Principal: h.persona("tenant-admin").Principal, Permission: authz.MustPermission(permission), Resource: ref.Resource()})
	}
	g, err := grant("secrets.describe")
	if err != nil {
		return ref, err
	}
	switch x, err := h.safe.Describe(ctx, g, ref); {
	case errors.Is(err, secrets.ErrNotFound):
	case err != nil:
		return ref, err
	case x.Revoked:
		clear(password)
		return ref, nil
	}
	if g, err = grant("secrets.write"); err != nil {
		return ref, err
	}
	return ref, h.safe.Put(ctx, g, ref, password, basic(user))
}

func basic(user string) secrets.PutOptions {
	return secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}, Due: now().Add(dueAfter)}
}

// replace gives an embedded system and the safe a new password, with a Grant of
// secrets.write.
func (h *house) replace(ctx context.Context, g authz.Grant, ref secrets.Ref) error {
	user, ok := h.logins[ref.String()]
	if !ok {
		return secrets.ErrNotFound
	}
	return h.systems.replace(user, func(password []byte) error { return h.safe.Put(ctx, g, ref, password, basic(user)) })
}

// password draws a new password.
func password() ([]byte, error) {
	raw := make([]byte, 18)
	if _, err := rand.Read(raw); err != nil {
		return nil, err
	}
	return []byte(base64.RawURLEncoding.EncodeToString(raw)), nil
}

// pairOf returns a mailbox's pair as the worker holds it, acting on behalf of
// the mailbox's user: every verb needs both to be allowed.
func (h *house) pairOf(ctx context.Context, m *mailbox) (lksync.Pair, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pair != nil {
		return *m.pair, nil
	}
	p := lksync.Pair{ID: lksync.PairID(tenant + "." + m.ID), Resource: m.sync, OnBehalfOf: m.principal, Addresses: []string{m.Address}}
	crm, mail := m.crm, m.mail
	crm.OnBehalfOf, mail.OnBehalfOf = m.principal, m.principal
	var err error
	if p.Left, err = h.hub.Open(ctx, h.worker, crm); err != nil {
		return p, err
	}
	if p.Right, err = h.hub.Open(ctx, h.worker, mail); err != nil {
		return p, err
	}
	m.pair = &p
	return p, nil
}

// round syncs one mailbox once and tells the board.
func (h *house) round(ctx context.Context, m *mailbox) (lksync.Report, error) {
	p, err := h.pairOf(ctx, m)
	var r lksync.Report
	if err == nil {
		h.board.started(m.ID)
		r, err = h.engine.Sync(ctx, h.worker, p)
	}
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	h.board.finished(m.ID, r, err)
	if err != nil {
		return r, fmt.Errorf("mailbox %s: %w", m.ID, err)
	}
	return r, nil
}

func (h *house) mailbox(id string) *mailbox {
	for _, m := range h.mailboxes {
		if m.ID == id {
			return m
		}
	}
	return nil
}
