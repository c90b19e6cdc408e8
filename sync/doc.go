// Package sync keeps two connections alike: a CRM on the left, a mailbox on
// the right. It stores identifiers, revisions and dates, never a record.
//
// One round reads what changed on both sides, compares it with what it
// remembers, plans, and only then acts. The plan is a pure function of what
// was observed. Every write is announced in a durable intent before it is
// sent and settled afterwards, so that a crash at any moment leaves neither a
// duplicate nor a loss; cursors move last. Absence never deletes: a deletion
// needs a tombstone or a failed direct read, and an untouched other side.
//
// Import it as lksync; the standard library's package keeps its name.
package sync
