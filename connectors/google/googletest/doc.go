// Package googletest is Google's Calendar API v3, People API v1, Tasks API v1 and Gmail
// API v1 for tests: events with their series, contacts, tasks and mails of several
// accounts, their change histories, conditional writes, ids that clients choose,
// batches, partial answers, watch channels, meetings that reach their guests if a
// request says so or says nothing, and a ledger of every message that was sent for
// them.
//
// It is strict where Google is: what it does not know is an error, not ignored. It
// does on purpose what makes Google hard, as contacts that show in listings only
// later, histories that end, tasks without conditions, and files of mails whose ids
// are others each time. What it does not do: sending, drafts, several lists of tasks,
// the shifting of what differs from a series that is moved.
//
//	g := googletest.New(&googletest.Options{Accounts: map[string]string{"token": "ana@acme.example"}})
//	srv := httptest.NewTLSServer(g) // calendars at /calendar/v3, contacts at /v1, tasks at /tasks/v1, mails at /gmail/v1
package googletest
