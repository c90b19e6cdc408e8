// Package c4c connects SAP Cloud for Customer through its OData V2 service:
// accounts, contacts, individual customers, leads, appointments, visits, tasks,
// mails and phone calls of the CRM side, with what is attached to them.
//
// The endpoint's URL is that of the service, for instance
// https://my000000.crm.ondemand.com/sap/c4c/odata/v1/c4codataapi/, with or
// without the slash at its end. The credential is Basic or OAuth 2 SAML bearer
// and lives in the safe; this package never sees it.
//
// Reading is by key, never by position: a full listing walks the object ids,
// and what changed since is walked in the order of EntityLastChangedOn, so that
// no row is missed while others move. Writing goes through $batch with one
// change set per record: a record that the system refuses takes no other with
// it. An update sends the properties that changed and nothing else, under the
// revision that the caller last saw, so fields which this package does not know
// stay as they are.
//
// Three habits of the system shape what is here. It keeps no list of deleted
// records, so only List and Get can tell that one is gone. Accounts, contacts and
// individual customers cannot be deleted through OData: deleting one sets its
// status to obsolete, and an obsolete one counts as gone everywhere. And a note or
// the description of an activity is a record of its own below the main one; a
// change of it by somebody else that leaves EntityLastChangedOn of the main
// record alone is not seen by Changes, only by the next reading of the record.
package c4c
