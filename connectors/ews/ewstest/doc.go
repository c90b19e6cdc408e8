// Package ewstest is Exchange Web Services for tests: contacts and calendars of
// several mailboxes, their change histories, conditional updates, impersonation,
// meetings that reach their attendees if a request says so or says nothing, and a
// ledger of every message that was sent for them.
//
// It is strict where Exchange is: an element or property that it does not know is
// an error. What it does not do: mail, tasks, folders beside the two, occurrences
// of series, notifications, NTLM.
//
//	x := ewstest.New(&ewstest.Options{User: "svc", Password: "p", Mailboxes: []string{"ana@acme.example"}})
//	srv := httptest.NewTLSServer(x) // the service is at srv.URL + ewstest.Path
package ewstest
