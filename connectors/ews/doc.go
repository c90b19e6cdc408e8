// Package ews connects mailboxes of Exchange on-premises, 2010 SP2 to Subscription
// Edition, through Exchange Web Services.
//
// It reads and writes the contacts, the calendar and the tasks of one mailbox, with
// their files, and reads its mails. The address of
// an endpoint is that of the service, https://mail.acme.example/EWS/Exchange.asmx;
// the mailbox is that of the credential, or another one that the credential may
// impersonate. Exchange Online is for connectors/msgraph: its hosts are refused.
//
// What the protocol does and this package guards against:
//
//   - Writing an appointment sends invitations and deleting one sends cancellations
//     unless each request says otherwise ("CreateItem operation", "UpdateItem
//     operation", "DeleteItem operation"): every request here says that none is sent.
//   - An update overwrites what changed meanwhile unless it says NeverOverwrite, and
//     a deletion cannot be made conditional: it is preceded by a reading.
//   - Being busy is said with HTTP 503, 500 or 200, and with a time to wait in the
//     body ("EWS throttling in Exchange").
//   - Ids change when an item moves. A create whose answer was lost is found again by
//     an extended property.
package ews
