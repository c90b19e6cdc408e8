// Package google connects Google Workspace and Gmail accounts through Google's REST
// services: the contacts of the People API, one calendar of appointments and one of
// visits of the Calendar API, one list of the Tasks API, and the mails of the Gmail
// API, which are read only.
//
// They are at different addresses. An endpoint's address is that of the calendars,
// CalendarURL, and its Elsewhere has those of contacts, tasks and mails. The
// credential is a bearer token or what gets one: see Consent and Delegation.
//
// What Google does and this package guards against:
//
//   - Writing an event sends mail to its guests unless each request says otherwise
//     (parameter sendUpdates): every request here says none.
//   - A create whose answer was lost would make a duplicate. An event's id is chosen
//     here, from its key, so that a second one is refused; a contact carries its key
//     as client data, by which it is found again.
//   - A change of a contact shows minutes later in listings and histories ("not for
//     read-after-write"): what was written is read by its id.
//   - Contacts are written one after the other: parallel writes of one user fail.
//   - Histories end: a calendar's says so with 410, that of contacts with a reason
//     in a 400, after seven days, that of mails with 404. All begin anew and delete
//     nothing.
//   - Of a mail nothing but its header is read until somebody asks for the mail.
//   - A task has no key and no history but the time of its last change.
//   - A series is several events. Here it is one record, whose revision is that of
//     all of them; a change of one occurrence is a change of the series.
package google
