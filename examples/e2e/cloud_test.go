package e2e

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/authz/authztest"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
	"github.com/lockkeeper/lockkeeper/connectors/ews"
	"github.com/lockkeeper/lockkeeper/connectors/ews/ewstest"
	"github.com/lockkeeper/lockkeeper/connectors/google"
	"github.com/lockkeeper/lockkeeper/connectors/google/googletest"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph"
	"github.com/lockkeeper/lockkeeper/connectors/msgraph/msgraphtest"
	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/local"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// cloud is a CRM and the mailboxes of a few colleagues: in Office 365, on an
// Exchange server of their own, or at Google.
type cloud struct {
	*testing.T
	crm    *c4ctest.Server
	graph  *msgraphtest.Server
	srv    *httptest.Server
	ex     *ewstest.Server
	google *googletest.Server
	engine *lksync.Engine
	worker authz.Principal
	pairs  map[string]lksync.Pair
	ahead  time.Duration
}

// newCloud takes the names of users; those that end in @ews are on Exchange, those
// that end in @google at Google.
func newCloud(t *testing.T, names ...string) *cloud {
	var users []string
	where := map[string]string{}
	for _, n := range names {
		u, on, _ := strings.Cut(n, "@")
		users, where[u] = append(users, u), on
	}
	c := &cloud{T: t, pairs: map[string]lksync.Pair{}}
	c.crm = c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{"eva": {Password: "secret of eva"}}})
	c.crm.StartTLS()
	t.Cleanup(c.crm.Close)
	var addresses []string
	lines := []string{"allow service:connections role:connection tenants/acme", "allow service:admin role:tenant-admin tenants/acme",
		"allow service:sync-worker role:sync-worker tenants/acme"}
	for _, u := range users {
		addresses = append(addresses, u+"@acme.example")
		lines = append(lines, "allow user:idp/"+u+" role:user tenants/acme/users/"+u, "allow user:idp/"+u+" role:crm-user tenants/acme/crm")
	}
	c.graph = msgraphtest.New(&msgraphtest.Options{Token: "token-for-graph", Mailboxes: addresses})
	c.srv = httptest.NewUnstartedServer(c.graph)
	c.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.srv.StartTLS()
	t.Cleanup(c.srv.Close)
	c.ex = ewstest.New(&ewstest.Options{User: "svc", Password: "password of svc", Mailboxes: append([]string{"svc@acme.example"}, addresses...), Impersonate: addresses})
	ex := httptest.NewUnstartedServer(c.ex)
	ex.Config.ErrorLog = log.New(io.Discard, "", 0)
	ex.StartTLS()
	t.Cleanup(ex.Close)
	accounts := map[string]string{}
	for _, u := range users {
		accounts["token-of-"+u] = u + "@acme.example"
	}
	c.google = googletest.New(&googletest.Options{Accounts: accounts})
	goog := httptest.NewUnstartedServer(c.google)
	goog.Config.ErrorLog = log.New(io.Discard, "", 0)
	goog.StartTLS()
	t.Cleanup(goog.Close)
	roots := x509.NewCertPool()
	for _, s := range []*httptest.Server{c.srv, ex, goog} {
		roots.AddCert(s.Certificate())
	}

	az := authztest.New(t, lines...)
	keys, err := local.Create(filepath.Join(t.TempDir(), "keyring"), nil)
	require.NoError(t, err)
	safe, err := secrets.New(keys, keys, &secrets.Memory{}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, safe.Close()) })
	put := func(owner, name, value string, s secrets.Scheme) secrets.Ref {
		ref, err := secrets.NewRef(authztest.Resource(t, owner), name)
		require.NoError(t, err)
		g, err := az.Authorize(t.Context(), authz.Request{Principal: authztest.Principal(t, "service:admin"), Permission: authz.MustPermission("secrets.write"), Resource: ref.Resource()})
		require.NoError(t, err)
		require.NoError(t, safe.Put(t.Context(), g, ref, []byte(value), secrets.PutOptions{Scheme: s}))
		return ref
	}
	hub, err := connectors.NewHub(az.Authorizer, safe, c4c.Plugin(), msgraph.Plugin(), ews.Plugin(), google.Plugin())
	require.NoError(t, err)
	c.engine = lksync.New(az.Authorizer, &lksync.Memory{}, &lksync.Options{SweepEvery: time.Nanosecond, Settle: time.Millisecond, Meetings: &lksync.MemoryMeetings{},
		Clock: func() time.Time { return time.Now().Add(c.ahead) }})
	c.worker = authztest.Principal(t, "service:sync-worker")
	crm := put("tenants/acme", "crm", "secret of eva", secrets.Scheme{Kind: secrets.Basic, Username: "eva"})
	for _, u := range users {
		who := authztest.Principal(t, "user:idp/"+u)
		p := lksync.Pair{ID: lksync.PairID(u), OnBehalfOf: who, Resource: authztest.Resource(t, "tenants/acme/users/"+u+"/sync"), Addresses: []string{u + "@acme.example"},
			Rules: []lksync.Rule{{Kind: connectors.KindContact}, {Kind: connectors.KindAppointment}}}
		p.Left, err = hub.Open(t.Context(), c.worker, connectors.Endpoint{Plugin: c4c.Name, URL: c.crm.URL(), Roots: c.crm.Roots(), OnBehalfOf: who,
			Resource: authztest.Resource(t, "tenants/acme/crm"), Secret: crm, Options: map[string]string{c4c.OptionOverlap: "0s"}})
		require.NoError(t, err)
		mail := connectors.Endpoint{Plugin: msgraph.Name, URL: c.srv.URL + "/v1.0/users/" + u + "@acme.example", Roots: roots, OnBehalfOf: who,
			Resource: authztest.Resource(t, "tenants/acme/users/"+u+"/mailbox")}
		switch where[u] {
		case "google":
			mail.Plugin, mail.URL = google.Name, goog.URL+"/calendar/v3"
			mail.Elsewhere = map[connectors.Kind]string{connectors.KindContact: goog.URL + "/v1"}
			mail.Secret = put("tenants/acme/users/"+u, "mailbox", "token-of-"+u, secrets.Scheme{Kind: secrets.Bearer})
		case "ews":
			mail.Plugin, mail.URL = ews.Name, ex.URL+ewstest.Path
			mail.Options = map[string]string{ews.OptMailbox: u + "@acme.example", ews.OptAllow: "@acme.example"}
			mail.Secret = put("tenants/acme/users/"+u, "mailbox", "password of svc", secrets.Scheme{Kind: secrets.Basic, Username: "svc"})
		default:
			mail.Secret = put("tenants/acme/users/"+u, "mailbox", "token-for-graph", secrets.Scheme{Kind: secrets.Bearer})
		}
		p.Right, err = hub.Open(t.Context(), c.worker, mail)
		require.NoError(t, err)
		c.pairs[u] = p
	}
	return c
}

// settle syncs the users in order until a pass over them writes nothing.
func (c *cloud) settle(users ...string) {
	c.Helper()
	for range 8 {
		n := 0
		for _, u := range users {
			c.ahead += time.Second
			r, err := c.engine.Sync(c.Context(), c.worker, c.pairs[u])
			require.NoError(c, err)
			n += r.Writes()
		}
		if n == 0 {
			return
		}
	}
	c.Fatal("no end of writing")
}

// outlook sends what a user does in a mailbox.
func (c *cloud) outlook(method, user, path string, body any) map[string]any {
	c.Helper()
	b, err := json.Marshal(body)
	require.NoError(c, err)
	r, err := http.NewRequestWithContext(c.Context(), method, c.srv.URL+"/v1.0/users/"+user+"@acme.example"+path, strings.NewReader(string(b)))
	require.NoError(c, err)
	r.Header.Set("Authorization", "Bearer token-for-graph")
	resp, err := c.srv.Client().Do(r)
	require.NoError(c, err)
	defer resp.Body.Close()
	require.Less(c, resp.StatusCode, 300)
	out := map[string]any{}
	if resp.StatusCode != http.StatusNoContent {
		require.NoError(c, json.NewDecoder(resp.Body).Decode(&out))
	}
	return out
}

func (c *cloud) meetings(user string) int {
	c.Helper()
	return len(c.outlook("GET", user, "/events", nil)["value"].([]any))
}

func TestGraphContactsBothWays(t *testing.T) {
	c := newCloud(t, "ana")
	id := c.outlook("POST", "ana", "/contacts", map[string]any{"givenName": "Kei", "surname": "Ito", "spouseName": "Ren",
		"emailAddresses": []map[string]any{{"address": "kei@x.example", "name": "Kei"}}, "companyName": "Acme"})["id"].(string)
	c.settle("ana")
	in := c.crm.All("ContactCollection")
	require.Len(t, in, 1)
	require.Equal(t, "Ito", in[0]["LastName"])
	require.NoError(t, c.crm.Edit("ContactCollection", in[0]["ObjectID"].(string), c4ctest.Props{"LastName": "Ito-Berg"}))
	c.settle("ana")
	got := c.outlook("GET", "ana", "/contacts/"+id, nil)
	require.Equal(t, "Ito-Berg", got["surname"])
	require.Equal(t, "Ren", got["spouseName"], "what is not mapped stays")
	// The history ends: everything is told anew, and nothing happens.
	c.graph.Expire()
	c.settle("ana")
	require.Len(t, c.crm.All("ContactCollection"), 1)
	c.outlook("DELETE", "ana", "/contacts/"+id, nil)
	c.settle("ana")
}

// evidence: I5, the incident of February 2020: whatever the order in which the
// mailboxes of colleagues who share a meeting are synced, nobody is sent a
// message that no user has sent, and nothing is deleted that no user deleted.
func TestSharedMeetingsInEveryOrder(t *testing.T) {
	users := []string{"ana", "ben", "cleo"}
	for _, order := range [][]string{{"ana", "ben", "cleo"}, {"ana", "cleo", "ben"}, {"ben", "ana", "cleo"}, {"ben", "cleo", "ana"}, {"cleo", "ana", "ben"}, {"cleo", "ben", "ana"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			c := newCloud(t, users...)
			start := time.Now().UTC().Truncate(time.Hour).Add(72 * time.Hour)
			var ids []string
			for i := range 3 {
				id, err := c.graph.Invite("ana@acme.example", fmt.Sprint("plan ", i), start.Add(time.Duration(i)*time.Hour), start.Add(time.Duration(i+1)*time.Hour), "ben@acme.example", "cleo@acme.example")
				require.NoError(t, err)
				ids = append(ids, id)
			}
			invited := c.graph.Ledger()
			require.Len(t, invited, 6)
			c.settle(order...)
			require.Equal(t, invited, c.graph.Ledger(), "syncing sent messages")
			require.Len(t, c.crm.All("AppointmentCollection"), 3, "one record a meeting")

			// The CRM loses one of them: nobody's calendar does.
			for _, a := range c.crm.All("AppointmentCollection") {
				if a["Subject"] == "plan 0" {
					require.NoError(t, c.crm.Remove("AppointmentCollection", a["ObjectID"].(string)))
				}
			}
			require.Len(t, c.crm.All("AppointmentCollection"), 2)
			c.settle(order...)
			require.Equal(t, invited, c.graph.Ledger(), "a deletion in the CRM was sent to attendees")
			for _, u := range users {
				require.Equal(t, 3, c.meetings(u), u)
			}

			// An attendee throws hers away: the others keep theirs.
			var mine string
			for _, e := range c.outlook("GET", "cleo", "/events", nil)["value"].([]any) {
				if e := e.(map[string]any); e["subject"] == "plan 1" {
					mine = e["id"].(string)
				}
			}
			c.outlook("DELETE", "cleo", "/events/"+mine, nil)
			c.settle(order...)
			require.Equal(t, invited, c.graph.Ledger(), "an attendee's deletion was sent to others")
			require.Equal(t, 3, c.meetings("ana"))
			require.Equal(t, 3, c.meetings("ben"))

			// The organizer cancels: her own message to each, and no more.
			c.outlook("DELETE", "ana", "/events/"+ids[2], nil)
			c.settle(order...)
			require.Len(t, c.graph.Ledger(), len(invited)+2)
		})
	}
}

// evidence: I5, the same where one colleague is in Office 365, one on Exchange and
// one at Google.
func TestSharedMeetingsAcrossSystems(t *testing.T) {
	for _, order := range [][]string{{"ana", "ben", "cleo"}, {"ana", "cleo", "ben"}, {"ben", "ana", "cleo"}, {"ben", "cleo", "ana"}, {"cleo", "ana", "ben"}, {"cleo", "ben", "ana"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			c := newCloud(t, "ana", "ben@ews", "cleo@google")
			start := time.Now().UTC().Truncate(time.Hour).Add(72 * time.Hour)
			guests := []string{"ben@acme.example", "cleo@acme.example"}
			for i := range 3 {
				from, to, subject := start.Add(time.Duration(i)*time.Hour), start.Add(time.Duration(i+1)*time.Hour), fmt.Sprint("plan ", i)
				id, err := c.graph.Invite("ana@acme.example", subject, from, to, guests...)
				require.NoError(t, err)
				uid := c.outlook("GET", "ana", "/events/"+id, nil)["iCalUId"].(string)
				c.ex.Receive(guests[0], uid, "ana@acme.example", subject, from, to, guests...)
				c.google.Receive(guests[1], uid, "ana@acme.example", subject, from, to, guests...)
			}
			invited := c.graph.Ledger()
			c.settle(order...)
			require.Len(t, c.crm.All("AppointmentCollection"), 3, "one record a meeting")
			for _, a := range c.crm.All("AppointmentCollection") {
				if a["Subject"] == "plan 0" {
					require.NoError(t, c.crm.Remove("AppointmentCollection", a["ObjectID"].(string)))
				}
			}
			c.ex.Discard(guests[0], c.ex.Subjects(guests[0])["plan 1"])
			c.google.Discard(guests[1], c.google.Subjects(guests[1])["plan 2"])
			c.settle(order...)
			require.Equal(t, invited, c.graph.Ledger(), "a message was sent that no user has sent")
			require.Empty(t, c.ex.Ledger())
			require.Empty(t, c.google.Ledger())
			require.Equal(t, 3, c.meetings("ana"))
			require.Len(t, c.ex.Subjects(guests[0]), 2)
			require.Len(t, c.google.Subjects(guests[1]), 2)
			require.Empty(t, c.ex.Unknown())
			require.Empty(t, c.google.Unknown())
			require.Empty(t, c.graph.Unknown())
		})
	}
}

func TestGoogleContactsBothWays(t *testing.T) {
	c := newCloud(t, "cleo@google")
	_, err := c.crm.Seed("ContactCollection", c4ctest.Props{"LastName": "Ito", "FirstName": "Kei", "Email": "kei@x.example"})
	require.NoError(t, err)
	c.settle("cleo")
	right := c.pairs["cleo"].Right
	p, err := right.List(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	require.Len(t, p.IDs, 1)
	rs, err := right.Get(t.Context(), connectors.KindContact, p.IDs)
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, "Kei Ito kei@x.example", r.Contact.GivenName+" "+r.Contact.FamilyName+" "+r.Contact.Email)
	next := r.Clone()
	next.Contact.FamilyName = "Ito-Berg"
	ws, err := right.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: r.ID, Rev: r.Rev, Record: next, Fields: []connectors.Field{connectors.FieldFamilyName}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	c.google.Expire()
	c.settle("cleo")
	require.Equal(t, "Ito-Berg", c.crm.All("ContactCollection")[0]["LastName"])
}

func TestExchangeContactsBothWays(t *testing.T) {
	c := newCloud(t, "ben@ews")
	_, err := c.crm.Seed("ContactCollection", c4ctest.Props{"LastName": "Ito", "FirstName": "Kei", "Email": "kei@x.example"})
	require.NoError(t, err)
	c.settle("ben")
	p, err := c.pairs["ben"].Right.List(t.Context(), connectors.KindContact, "", 10)
	require.NoError(t, err)
	require.Len(t, p.IDs, 1)
	rs, err := c.pairs["ben"].Right.Get(t.Context(), connectors.KindContact, p.IDs)
	require.NoError(t, err)
	r := rs[0].Record
	require.Equal(t, "Kei Ito kei@x.example", r.Contact.GivenName+" "+r.Contact.FamilyName+" "+r.Contact.Email)
	next := r.Clone()
	next.Contact.FamilyName = "Ito-Berg"
	ws, err := c.pairs["ben"].Right.Update(t.Context(), connectors.KindContact, []connectors.Edit{{ID: r.ID, Rev: r.Rev, Record: next, Fields: []connectors.Field{connectors.FieldFamilyName}}})
	require.NoError(t, err)
	require.NoError(t, ws[0].Err)
	c.ex.Expire()
	c.settle("ben")
	require.Equal(t, "Ito-Berg", c.crm.All("ContactCollection")[0]["LastName"])
}
