// Package msgraphtest is Microsoft Graph for tests: contacts and events of several
// mailboxes, their change histories, conditional writes, batches, meetings that
// reach their attendees, and a ledger of every message that was sent for them.
//
// It is strict where Graph is: what it does not know is an error, not ignored. It
// does on purpose what makes Graph hard, as reporting events outside of a range
// as removed, replaying what was reported, and ending histories. What it does not
// do: mail, tasks, notifications, occurrences of series.
//
//	g := msgraphtest.New(&msgraphtest.Options{Token: "t", Mailboxes: []string{"ana@acme.example"}})
//	srv := httptest.NewTLSServer(g)
package msgraphtest
