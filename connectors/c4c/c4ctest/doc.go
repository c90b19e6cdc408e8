// Package c4ctest is an emulator of the OData V2 service of SAP Cloud for
// Customer, for tests and for trying things out without a tenant. It is used
// like net/http/httptest:
//
//	s := c4ctest.New(&c4ctest.Options{Users: map[string]c4ctest.User{"eva": {Password: "..."}}})
//	s.StartTLS()
//	defer s.Close()
//
// It serves accounts, contacts, individual customers, leads and activities with the
// notes, people and attachments below them, under the names, types and lengths of the vendor's published metadata.
// It is stricter than a friendly server: what the real one is known to refuse
// it refuses (a write without CSRF token, "or" between two properties, unknown
// properties and options, texts that are too long, deleting a contact), and so
// it does with what is merely unwise, such as a change without If-Match.
//
// It can be made to misbehave: see Inject, Touch and ExpireSessions. What it
// was asked is in its Ledger. It keeps everything in memory.
package c4ctest
