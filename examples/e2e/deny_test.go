package e2e

import (
	"context"
	"crypto/hpke"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/connectors/dav/davtest"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	"github.com/lockkeeper/lockkeeper/policy"
	"github.com/lockkeeper/lockkeeper/secrets"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// day is everything that happens in one day with lockkeeper: effect by
// permission, as seen by the two systems or by whoever got an answer.
func day(t *testing.T, denied string) (effects map[string]bool, audit *authz.Memory) {
	ctx := t.Context()
	crm := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{"eva": {Password: "of eva"}}})
	crm.StartTLS()
	t.Cleanup(crm.Close)
	box, err := davtest.New(&davtest.Options{Users: map[string]string{"ana": "of ana"}})
	require.NoError(t, err)
	box.Start()
	t.Cleanup(box.Close)
	s := site{Dir: t.TempDir(), CRM: crm.URL(), CRMPEM: crm.RootsPEM(), CRMUser: "eva", CRMPass: "of eva", Mail: box.URL(), MailPEM: box.PEM(),
		MailUsers: map[string]string{"ana": "of ana"}, Overlap: 0, Contacts: davtest.Path("%s", davtest.Contacts), Calendar: davtest.Path("%s", davtest.Calendar)}
	for i := range 5 {
		require.NoError(t, box.Put("ana", davtest.Contacts, string(rune('a'+i))+".vcf", []byte(card(string(rune('a'+i)), "Given", "Neighbour"+string(rune('A'+i)), ""))))
	}
	require.NoError(t, box.Put("ana", davtest.Calendar, "mine.ics", []byte(appointment("mine", "Mine", "20270301", ""))))
	theirs, err := crm.Seed(events, c4ctest.Props{"Subject": "Theirs", "StartDate": time.Date(2027, 3, 2, 9, 0, 0, 0, time.UTC), "EndDate": time.Date(2027, 3, 2, 10, 0, 0, 0, time.UTC)})
	require.NoError(t, err)

	// Yesterday all was well.
	h, err := s.open(ctx, nil)
	require.NoError(t, err)
	p, err := h.pair(ctx, "ana", false)
	require.NoError(t, err)
	for range 3 {
		h.ahead.Add(1)
		_, err = h.engine.Sync(ctx, h.worker, p)
		require.NoError(t, err)
	}
	require.NoError(t, h.close())

	// Today there is something to do of every sort.
	require.NoError(t, box.Remove("ana", davtest.Calendar, "mine.ics"))
	require.NoError(t, crm.Remove(events, theirs))
	require.NoError(t, box.Put("ana", davtest.Contacts, "new.vcf", []byte(card("new", "New", "Mailbox", ""))))
	require.NoError(t, box.Put("ana", davtest.Contacts, "bad.vcf", []byte("BEGIN:VCARD\r\nFN:no end")))
	_, err = crm.Seed(contacts, c4ctest.Props{"FirstName": "New", "LastName": "Crm"})
	require.NoError(t, err)
	audit = authz.NewMemory(0)
	s.Deny, s.Audit = denied, audit
	s.CRMPass, s.MailUsers = "", nil // the safe still has them
	h, err = s.open(ctx, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.close()) })
	h.ahead.Add(24 * 3600)
	return effectsOf(t, h, crm, box), audit
}

func effectsOf(t *testing.T, h *house, crm *c4ctest.Server, box *davtest.Server) map[string]bool {
	ctx := t.Context()
	e := map[string]bool{}
	at := func(path string) authz.Resource {
		r, err := authz.ParseResource(path)
		require.NoError(t, err)
		return r
	}
	who := func(name string) authz.Principal {
		p, err := authz.ParsePrincipal(name)
		require.NoError(t, err)
		return p
	}
	admin, ana := who("service:admin"), who("user:idp/ana")
	tenant := at("tenants/acme")
	grant := func(who authz.Principal, permission string, on authz.Resource) (authz.Grant, bool) {
		g, err := h.az.Authorize(ctx, authz.Request{Principal: who, Permission: authz.MustPermission(permission), Resource: on})
		if err != nil {
			require.ErrorIs(t, err, authz.ErrDenied)
		}
		return g, err == nil
	}

	// Credentials first: without them nothing else can be.
	if g, ok := grant(admin, "secrets.write", tenant); ok {
		e["secrets.write"] = true
		for user, password := range map[string]string{"eva": "of eva", "ana": "of ana"} {
			require.NoError(t, h.safe.Put(ctx, g, h.refs[user], []byte(password), secrets.PutOptions{Scheme: secrets.Scheme{Kind: secrets.Basic, Username: user}}))
		}
	}
	if g, ok := grant(admin, "secrets.describe", tenant); ok && e["secrets.write"] {
		_, err := h.safe.Describe(ctx, g, h.refs["eva"])
		e["secrets.describe"] = err == nil
	}

	var mu = make(chan struct{}, 1)
	box.Intercept(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu <- struct{}{}
		defer func() { <-mu }()
		switch r.Method {
		case http.MethodPut:
			e["mailbox.items.write"] = true
		case http.MethodDelete:
			e["mailbox.items.delete"] = true
		case "REPORT", "PROPFIND", http.MethodGet:
			e["mailbox.items.read"] = true
		}
		next.ServeHTTP(w, r)
	})
	crm.ResetLedger()
	started := box.Requests()
	p, err := h.pair(ctx, "ana", false)
	if err == nil {
		e["connections.open"] = true
		_, err = h.engine.Plan(ctx, h.worker, p)
		e["sync.plan.read"] = err == nil
		// The last comes when the card that cannot be read was tried often enough,
		// and the new contact is no longer held for fear that it may be that card.
		for _, later := range []int64{1, 1, 90, 400} {
			h.ahead.Add(later)
			_, err := h.engine.Sync(ctx, h.worker, p)
			e["sync.run"] = e["sync.run"] || err == nil
		}
		p.OnBehalfOf = authz.Principal{}
		_, err = h.engine.Issues(ctx, ana, p, lksync.IssueQuery{})
		e["sync.issues.read"] = err == nil
		_, err = h.engine.Issues(ctx, ana, p, lksync.IssueQuery{Names: true})
		e["sync.issues.names.read"] = err == nil
		e["sync.approve"] = h.engine.Approve(ctx, ana, p, connectors.KindContact, 0) == nil
		e["crm.meetings.use"] = h.meetings.used.Load()
	} else {
		require.ErrorIs(t, err, authz.ErrDenied)
	}
	box.Intercept(nil)
	files(t, h, ana, e)
	for _, x := range crm.Ledger() {
		switch x.Method {
		case http.MethodGet:
			e["crm.items.read"] = e["crm.items.read"] || x.Set != ""
		case http.MethodDelete:
			e["crm.items.delete"] = true
		default:
			e["crm.items.write"] = e["crm.items.write"] || x.Set != ""
		}
	}
	e["secrets.use"] = crm.RequestCount() > 0 || box.Requests() > started

	// People.
	if g, ok := grant(admin, "authz.authorizations.write", tenant); ok {
		_, err := h.az.Edit(g).Assign(ctx, authz.Authorization{Principal: who("user:idp/bo"), Role: authz.MustRole("role:user"), Resource: at("tenants/acme/users/bo"), Effect: authz.Allow})
		e["authz.authorizations.write"] = err == nil
	}
	if g, ok := grant(admin, "authz.authorizations.read", tenant); ok {
		_, err := h.az.Authorizations(g, tenant)
		e["authz.authorizations.read"] = err == nil
	}
	if g, ok := grant(admin, "secrets.revoke", tenant); ok && e["secrets.write"] {
		e["secrets.revoke"] = h.safe.Revoke(ctx, g, h.refs["eva"]) == nil
	}
	// What an application guards with these, it asks like this.
	for _, permission := range []string{"sync.status.read", "sync.issues.retry", "sync.pause", "authz.decisions.explain", "audit.read", "tenants.read", "users.read", "users.write"} {
		_, e[permission] = grant(admin, permission, tenant)
	}
	_, e["tenants.write"] = grant(who("service:vendor"), "tenants.write", at("tenants"))

	// Whoever keeps the keys. Erasing comes last: nothing is left after it.
	custodian := who("service:custodian")
	if g, ok := grant(custodian, "secrets.rotate", tenant); ok {
		_, err := h.safe.RotateTenant(ctx, g, tenant)
		e["secrets.rotate"] = err == nil
	}
	if g, ok := grant(custodian, "secrets.export", tenant); ok {
		key, err := hpke.MLKEM768X25519().GenerateKey()
		require.NoError(t, err)
		_, err = h.safe.Export(ctx, g, authz.Grant{}, tenant, key.PublicKey(), io.Discard)
		e["secrets.export"] = err == nil
	}
	if g, ok := grant(custodian, "secrets.erase", tenant); ok {
		_, err := h.safe.Erase(ctx, g, tenant)
		e["secrets.erase"] = err == nil
	}
	return e
}

// files is what happens to attachments, at systems that keep them.
func files(t *testing.T, h *house, ana authz.Principal, e map[string]bool) {
	ctx := t.Context()
	for area, path := range map[connectors.Area]string{connectors.CRM: "tenants/acme/crm", connectors.Mailbox: "tenants/acme/users/ana/mailbox"} {
		sys := mem.New(nil)
		plugin, err := sys.Plugin("files", area)
		require.NoError(t, err)
		hub, err := connectors.NewHub(h.az, nil, plugin)
		require.NoError(t, err)
		on, err := authz.ParseResource(path)
		require.NoError(t, err)
		c, err := hub.Open(ctx, h.worker, connectors.Endpoint{Plugin: "files", OnBehalfOf: ana, Resource: on})
		if err != nil {
			require.ErrorIs(t, err, authz.ErrDenied)
			continue
		}
		id := sys.Add(connectors.NewRecord(connectors.KindAppointment))
		was := sys.Records(connectors.KindAppointment)[0]
		file, err := c.Attach(ctx, connectors.KindAppointment, connectors.Target{ID: id, Rev: was.Rev}, connectors.Attachment{Name: "plan.txt", MediaType: "text/plain", Size: 4}, strings.NewReader("plan"))
		if err != nil {
			continue
		}
		e[area.String()+".attachments.write"] = true
		if content, _, err := c.OpenAttachment(ctx, connectors.KindAppointment, id, file.Attachment.ID); err == nil {
			b, err := io.ReadAll(content)
			require.NoError(t, err)
			require.NoError(t, content.Close())
			e[area.String()+".attachments.read"] = string(b) == "plan"
		}
		_, err = c.Detach(ctx, connectors.KindAppointment, connectors.Target{ID: id, Rev: file.Rev}, file.Attachment.ID)
		e[area.String()+".attachments.delete"] = err == nil
	}
}

// Each permission that there is, denied in turn: what it guards does not happen,
// and the refusal is on record. With none denied, all of it does happen.
// evidence: P21 I1 I8
func TestEveryPermissionCanBeDenied(t *testing.T) {
	az, err := authz.New(context.Background(), policy.Files(), nil)
	require.NoError(t, err)
	all, _ := day(t, "")
	for permission := range az.Permissions() {
		t.Run(permission.String(), func(t *testing.T) {
			require.True(t, all[permission.String()], "it happens while nobody denies it")
			effects, audit := day(t, permission.String())
			assert.False(t, effects[permission.String()], "it happened")
			refused := false
			for _, r := range audit.Records() {
				assert.False(t, r.Allowed && r.Permission == permission, "a recorded allow")
				refused = refused || !r.Allowed && r.Permission == permission
			}
			assert.True(t, refused, "the refusal is on record")
		})
	}
}

// denying is the shipped policy with one more role, for what is to be denied.
func denying(permission string) (fs.FS, error) {
	files := fstest.MapFS{}
	for _, name := range []string{"model.conf", "permissions.csv", "roles.csv"} {
		b, err := fs.ReadFile(policy.Files(), name)
		if err != nil {
			return nil, err
		}
		if name == "roles.csv" {
			b = append(b, strings.NewReplacer("$", permission).Replace("\np, role:denied, $\n")...)
		}
		files[name] = &fstest.MapFile{Data: b}
	}
	return files, nil
}
