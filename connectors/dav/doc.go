// Package dav connects mailboxes whose contacts and calendars are served by
// CardDAV (RFC 6352) and CalDAV (RFC 4791): Radicale, Nextcloud, SOGo, Fastmail,
// iCloud and others. Changes come from the collection's sync token (RFC 6578).
//
// An update rewrites the properties of the fields it names and leaves every
// other line of a card or event exactly as it was, known to this package or not.
// That is why cards and events are edited here line by line: parsers that build
// a tree and print it again reorder, re-escape or drop what they do not know.
package dav
