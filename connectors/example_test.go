package connectors_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/mem"
	"github.com/lockkeeper/lockkeeper/policy"
)

// office is a CRM in memory with two people in it, a hub that offers it, and
// Ana, who may use it.
func office() (*connectors.Hub, connectors.Endpoint, authz.Principal) {
	ctx := context.Background()
	ana, err := authz.User("https://login.example", "ana")
	if err != nil {
		log.Fatal(err)
	}
	crm, err := authz.NewResource("tenants", "acme", "crm")
	if err != nil {
		log.Fatal(err)
	}
	az, err := authz.New(ctx, policy.Files(), &authz.Options{Seed: []authz.Authorization{
		{Principal: ana, Role: authz.MustRole("role:crm-user"), Resource: crm, Effect: authz.Allow}}})
	if err != nil {
		log.Fatal(err)
	}
	system := mem.New(&mem.Options{RefuseDups: true})
	for _, name := range []string{"Curie", "Noether"} {
		r := connectors.NewRecord(connectors.KindContact)
		r.SetText(connectors.FieldFamilyName, name)
		system.Add(r)
	}
	plugin, err := system.Plugin("office", connectors.CRM)
	if err != nil {
		log.Fatal(err)
	}
	// A connector with a network wants a safe here and a secret below.
	hub, err := connectors.NewHub(az, nil, plugin)
	if err != nil {
		log.Fatal(err)
	}
	return hub, connectors.Endpoint{Plugin: "office", Resource: crm}, ana
}

// Opening a connection and reading everything there is, page by page.
func ExampleHub_Open() {
	ctx := context.Background()
	hub, endpoint, ana := office()
	conn, err := hub.Open(ctx, ana, endpoint)
	if err != nil {
		log.Fatal(err)
	}
	for cursor, more := "", true; more; {
		page, err := conn.Changes(ctx, connectors.KindContact, cursor, 1)
		if err != nil {
			log.Fatal(err)
		}
		for _, change := range page.Changes {
			// Printing a record shows which it is; what it says has to be asked for.
			fmt.Println(change.Record, "-", change.Record.Text(connectors.FieldFamilyName))
		}
		cursor, more = page.Cursor, page.More // keep the cursor for the next time
	}
	// Output:
	// contacts "id-000001" rev "r2" - Curie
	// contacts "id-000003" rev "r4" - Noether
}

// Whoever does not know whether a record was made asks for its key.
func ExampleConn_Create() {
	ctx := context.Background()
	hub, endpoint, ana := office()
	conn, err := hub.Open(ctx, ana, endpoint)
	if err != nil {
		log.Fatal(err)
	}
	r := connectors.NewRecord(connectors.KindContact)
	r.SetText(connectors.FieldFamilyName, "  Meitner\r\n")
	draft := connectors.Draft{Record: r, Key: "2f6f1c1e"}
	for range 2 {
		written, err := conn.Create(ctx, connectors.KindContact, []connectors.Draft{draft})
		if err != nil {
			log.Fatal(err)
		}
		switch err := written[0].Err; {
		case errors.Is(err, connectors.ErrExists):
			found, err := conn.Find(ctx, connectors.KindContact, []string{draft.Key})
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("is there already:", found[draft.Key][0].ID)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("made:", written[0].ID)
		}
	}
	// Output:
	// made: id-000005
	// is there already: id-000005
}

// An update carries the revision that its author has seen.
func ExampleConn_Update() {
	ctx := context.Background()
	hub, endpoint, ana := office()
	conn, err := hub.Open(ctx, ana, endpoint)
	if err != nil {
		log.Fatal(err)
	}
	read, err := conn.Get(ctx, connectors.KindContact, []string{"id-000001"})
	if err != nil || read[0].Err != nil {
		log.Fatal(err, read)
	}
	r := read[0].Record
	r.SetText(connectors.FieldCity, "Paris")
	edit := connectors.Edit{ID: r.ID, Rev: r.Rev, Record: r, Fields: []connectors.Field{connectors.FieldCity}}
	for range 2 {
		written, err := conn.Update(ctx, connectors.KindContact, []connectors.Edit{edit})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(written[0].Rev, written[0].Err)
	}
	// Output:
	// r5 <nil>
	//  connectors: office update contacts "id-000001": changed meanwhile
}

// Whoever may not is refused before anything happens, and can say why.
func ExampleConn_refused() {
	ctx := context.Background()
	hub, endpoint, _ := office()
	ben, err := authz.User("https://login.example", "ben")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := hub.Open(ctx, ben, endpoint)
	fmt.Println(conn == nil, errors.Is(err, authz.ErrDenied))
	var why *authz.DeniedError
	if errors.As(err, &why) {
		fmt.Println(why.Request.Permission, "on", why.Request.Resource)
	}
	// Even a connection that nobody opened only refuses.
	var zero connectors.Conn
	_, err = zero.List(ctx, connectors.KindContact, "", 10)
	fmt.Println(err)
	// Output:
	// true true
	// connections.open on tenants/acme/crm
	// connectors: list: zero connection: denied
}
