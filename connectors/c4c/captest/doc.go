// Package captest starts SAP's own OData V2 server as a peer for tests: the
// Cloud Application Programming Model (CAP) with its V2 adapter and an SQLite
// database in memory. It serves the collections of SAP Cloud for Customer that
// the connector uses, with the names, types and lengths of the published
// metadata, at the same path. Nobody of this project wrote the protocol side of
// it, which is the point.
//
// It differs from the real system: it has no CSRF tokens, answers a change with
// 200 and the record, writes revisions in another form, demands If-Match
// always, numbers pages differently, does not test the length of texts, does not
// take * for a wildcard, and a change of a note leaves the revision of its contact
// alone. Package c4ctest has what is missing here.
//
// install.sh installs it, once; Start starts it.
package captest
