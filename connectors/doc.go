// Package connectors lets software read and write accounts, contacts,
// individual customers, leads, appointments, visits, tasks, mails and phone calls
// in other people's mailboxes and CRM systems, and lets nothing else happen.
//
// Two kinds of people use it. Callers hold a [Conn]: it has the verbs Changes,
// Get, Find, List, Create, Update and Delete, and for files OpenAttachment, Attach
// and Detach; each call is one decision of the authorizer, recorded before it
// takes effect. Authors of connectors write
// a [Driver]: the same verbs, each with a [Call]. A driver owns no credential
// and no network. Both come with the Call, which exists only after the caller
// was authorized and is dead as soon as the verb returns; a check that somebody
// forgot means no access, never unguarded access.
//
// Records cross this package in memory only. No type here that holds the
// content of a record has a printing or marshalling form that shows it.
package connectors
