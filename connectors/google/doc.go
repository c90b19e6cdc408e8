// Package google connects Google Workspace and Gmail accounts through Google's REST
// services: the contacts of the People API and one calendar of the Calendar API.
//
// The two are at different addresses. An endpoint's address is that of the calendar,
// https://www.googleapis.com/calendar/v3, and its Elsewhere has that of the
// contacts, https://people.googleapis.com/v1. The credential is a bearer token or
// what gets one.
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
//     in a 400, after seven days. Both begin anew and delete nothing.
package google
