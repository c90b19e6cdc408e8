// Package davtest is a CardDAV and CalDAV server for tests and demonstrations:
// several users, one address book and one calendar each, changes by
// sync-collection (RFC 6578), objects kept byte for byte.
//
// Discovery and PROPFIND are answered by the handlers of go-webdav. Objects
// are stored and returned here, because those handlers would write them anew,
// and what a client does with bytes it did not expect is what a test wants to
// know. An object that comes in by PUT has to satisfy the parsers of go-vcard
// or go-ical.
//
// It is a server for one machine, not one for the network.
package davtest
