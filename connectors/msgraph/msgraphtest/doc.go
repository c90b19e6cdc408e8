// Package msgraphtest is Microsoft Graph for tests: contacts, events, tasks and
// mails of several mailboxes in folders, their change histories, conditional
// writes, batches, attachments and upload sessions, meetings that reach their
// attendees, a ledger of every message that was sent for them, and subscriptions
// with their notifications.
//
// It is strict where Graph is: what it does not know is an error, not ignored. It
// does on purpose what makes Graph hard, as reporting events outside of a range
// as removed, calling an item removed that was moved, replaying what was reported,
// and ending histories. What it does not do: occurrences of series, writing mail.
//
//	g := msgraphtest.New(&msgraphtest.Options{Token: "t", Mailboxes: []string{"ana@acme.example"}})
//	srv := httptest.NewTLSServer(g)
package msgraphtest
