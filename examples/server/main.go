// The example server is lockkeeper at work on one machine: a CRM, three
// mailboxes, and a sync between them that goes through authz and secrets, with
// a page that shows all of it to people of different roles.
//
//	go run ./examples/server
//
// needs nothing but Go. It makes its data directory and keys, starts an embedded
// CRM (an emulator of SAP Cloud for Customer) and an embedded CardDAV and CalDAV
// server, fills them with invented people, syncs over TLS through the same
// connectors that real systems get, and serves https://localhost:8443. Run it
// with -h for its flags.
//
// "server doctor" says what is wrong with the set-up of a HashiCorp Vault that is
// to keep the keys, and "server migrate" moves them there from the keyring.
//
// Exit codes: 0 stopped or done, 1 doctor found something, 2 wrong use, 7 something that it needs is not
// there or does not fit (the port, the data directory, the key), 130 interrupted
// before -once was done.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
