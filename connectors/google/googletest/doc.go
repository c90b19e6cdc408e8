// Package googletest is Google's Calendar API v3 and People API v1 for tests: events
// and contacts of several accounts, their change histories, conditional writes, ids
// that clients choose, meetings that reach their guests if a request says so or
// says nothing, and a ledger of every message that was sent for them.
//
// It is strict where Google is: what it does not know is an error, not ignored. It
// does on purpose what makes Google hard, as contacts that show in listings only
// later, and histories that end. What it does not do: mail, tasks, occurrences of
// series, notifications, groups.
//
//	g := googletest.New(&googletest.Options{Accounts: map[string]string{"token": "ana@acme.example"}})
//	srv := httptest.NewTLSServer(g) // calendars at /calendar/v3, contacts at /v1
package googletest
