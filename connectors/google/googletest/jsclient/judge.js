// Uses the emulator the way an application of somebody else uses Google, with
// Google's own clients, and prints what it saw as one line of JSON.
const { calendar: Calendar, auth } = require('@googleapis/calendar');
const { people: People } = require('@googleapis/people');

const [rootUrl, token, guest] = process.argv.slice(2);
const a = new auth.OAuth2();
a.setCredentials({ access_token: token });
const calendar = Calendar({ version: 'v3', auth: a, rootUrl });
const people = People({ version: 'v1', auth: a, rootUrl });
const saw = {};
const P = 'names,emailAddresses,metadata';

async function events(params) {
  const items = [];
  let pageToken;
  for (;;) {
    const { data } = await calendar.events.list({ calendarId: 'primary', maxResults: 2, pageToken, ...params });
    items.push(...data.items);
    pageToken = data.nextPageToken;
    if (!pageToken) return { items, syncToken: data.nextSyncToken };
  }
}

async function main() {
  const when = (h) => ({ dateTime: `2026-07-01T0${h}:00:00+02:00`, timeZone: 'Europe/Berlin' });
  for (let i = 0; i < 3; i++) {
    await calendar.events.insert({ calendarId: 'primary', requestBody: { id: `plan${i}aaa`, summary: `Plan ${i}`, start: when(7), end: when(8) } });
  }
  try {
    await calendar.events.insert({ calendarId: 'primary', requestBody: { id: 'plan0aaa', summary: 'again', start: when(7), end: when(8) } });
  } catch (e) { saw.twice = e.status; }
  const first = await events({});
  saw.events = first.items.map((e) => e.summary).sort().join(' ');
  const one = first.items[0];
  const patched = await calendar.events.patch({ calendarId: 'primary', eventId: one.id, sendUpdates: 'none', requestBody: { location: 'Room', attendees: [{ email: guest }] } });
  saw.patched = `${patched.data.summary} ${patched.data.location}`;
  await calendar.events.patch({ calendarId: 'primary', eventId: one.id, requestBody: { summary: 'Moved' } });
  try {
    await calendar.events.patch({ calendarId: 'primary', eventId: one.id, requestBody: { summary: 'Stale' } }, { headers: { 'If-Match': one.etag } });
  } catch (e) { saw.stale = e.status; }
  await calendar.events.delete({ calendarId: 'primary', eventId: first.items[1].id });
  const next = await events({ syncToken: first.syncToken });
  saw.news = next.items.map((e) => e.status).sort().join(' ');
  saw.deleted = (await calendar.events.get({ calendarId: 'primary', eventId: first.items[1].id })).data.status;

  const made = await people.people.createContact({ personFields: P, requestBody: { names: [{ givenName: 'Kei', familyName: 'Ito' }], emailAddresses: [{ value: 'kei@x.example' }] } });
  const listed = await people.people.connections.list({ resourceName: 'people/me', personFields: P, requestSyncToken: true });
  saw.people = listed.data.connections.map((p) => p.names[0].familyName).join(' ');
  const changed = await people.people.updateContact({ resourceName: made.data.resourceName, updatePersonFields: 'names', personFields: P,
    requestBody: { metadata: made.data.metadata, names: [{ givenName: 'Kei', familyName: 'Berg' }] } });
  saw.changed = changed.data.names[0].familyName;
  try {
    await people.people.updateContact({ resourceName: made.data.resourceName, updatePersonFields: 'names', personFields: P, requestBody: { metadata: made.data.metadata, names: [{ givenName: 'Stale' }] } });
  } catch (e) { saw.stalePerson = e.status; }
  const batch = await people.people.getBatchGet({ resourceNames: [made.data.resourceName, 'people/c1'], personFields: P });
  saw.batch = batch.data.responses.map((r) => r.httpStatusCode).join(' ');
  await people.people.deleteContact({ resourceName: made.data.resourceName });
  const gone = await people.people.connections.list({ resourceName: 'people/me', personFields: P, syncToken: listed.data.nextSyncToken });
  saw.gone = gone.data.connections.map((p) => p.metadata.deleted).join(' ');
  console.log(JSON.stringify(saw));
}

main().catch((e) => { console.error(e.status, e.message, e.stack); process.exit(1); });
