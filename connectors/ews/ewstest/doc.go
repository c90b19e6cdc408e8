// Package ewstest is Exchange Web Services for tests: contacts, calendars, tasks and
// mails of several mailboxes, their files, their change histories, conditional
// updates, impersonation, meetings that reach their attendees if a request says so or
// says nothing, and a ledger of every message that was sent for them.
//
// It is strict where Exchange is: an element or property that it does not know is
// an error, and Server.Unknown tells of it. What it does not do: sending mails,
// occurrences of series, notifications.
//
//	x := ewstest.New(&ewstest.Options{User: "svc", Password: "p", Mailboxes: []string{"ana@acme.example"}})
//	srv := httptest.NewTLSServer(x) // the service is at srv.URL + ewstest.Path
package ewstest
