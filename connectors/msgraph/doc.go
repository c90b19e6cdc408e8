// Package msgraph connects mailboxes of Office 365 through Microsoft Graph, v1.0.
//
// It reads and writes contacts, appointments and To Do tasks, and reads mails, of
// the folders that an endpoint names; without a name, of those that everybody
// has. The address of an endpoint is that of one mailbox,
// https://graph.microsoft.com/v1.0/users/ana@acme.example, or .../v1.0/me with a
// token of the person's own. The credential is a bearer token or what gets one.
// README.md says what an administrator sets up, and what Graph cannot hold.
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
//     transactionId, contacts and events carry their key in an extended property,
//     tasks in an open extension, by which they are found again.
//   - What a folder's history calls removed may have been moved. It is read before
//     it counts as deleted, and what is said of a whole mailbox says nothing about
//     a record in it.
//   - A mail's history does not promise its header. It is read where it is missing,
//     twenty at a time; the body is read of a mail that is wanted and no other.
package msgraph
