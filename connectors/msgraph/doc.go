// Package msgraph connects mailboxes of Office 365 through Microsoft Graph, v1.0.
//
// It reads and writes the contacts of one folder and the appointments of the
// default calendar. The address of an endpoint is that of one mailbox,
// https://graph.microsoft.com/v1.0/users/ana@acme.example, or .../v1.0/me with a
// token of the person's own. The credential is a bearer token or what gets one.
//
// What Graph does and this package guards against:
//
//   - The change history of a calendar covers a range of dates that is fixed when
//     it begins, and reports events outside the range as removed whatever happened
//     to them ("event: delta"). Whatever is reported as removed is read before it
//     counts as deleted, and the range moves once a day by a new beginning, which
//     deletes nothing.
//   - Deleting a meeting sends cancellations and nothing can prevent that. A meeting
//     with attendees is never deleted here, and attendees are never written.
//   - Ids change when an item moves, unless immutable ones are asked for: every
//     request does ("Obtain immutable identifiers for Outlook resources").
//   - A create whose answer was lost would make a duplicate. Events carry a
//     transactionId, and everything carries its key in an extended property, by
//     which it is found again.
package msgraph
