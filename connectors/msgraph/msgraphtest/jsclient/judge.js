// Uses the emulator the way an application of somebody else uses Microsoft Graph,
// with Microsoft's own client, and prints what it saw as one line of JSON.
const { Client, PageIterator, BatchRequestContent, BatchResponseContent } = require('@microsoft/microsoft-graph-client');

const [base, token, mailbox] = process.argv.slice(2);
const client = Client.init({
  baseUrl: base, defaultVersion: 'v1.0', customHosts: new Set([new URL(base).hostname]),
  authProvider: (done) => done(null, token),
});
const me = `/users/${mailbox}`;
const saw = {};

async function walk(first) {
  const items = [];
  const it = new PageIterator(client, first, (v) => { items.push(v); return true; });
  await it.iterate();
  return { items, delta: it.getDeltaLink() };
}

async function main() {
  for (let i = 0; i < 7; i++) {
    await client.api(`${me}/contacts`).post({ surname: `S${i}`, emailAddresses: [{ address: `s${i}@x.example`, name: 'S' }] });
  }
  const listed = await walk(await client.api(`${me}/contacts`).top(2).select('id,surname').get());
  saw.listed = listed.items.map((c) => c.surname).sort().join(' ');

  let d = await walk(await client.api(`${me}/contactFolders/contacts/contacts/delta`).header('Prefer', 'odata.maxpagesize=3').get());
  saw.delta = d.items.length;
  const one = d.items[0];
  const changed = await client.api(`${me}/contacts/${one.id}`).header('If-Match', one['@odata.etag']).patch({ surname: 'Changed' });
  saw.changed = changed.surname;
  try {
    await client.api(`${me}/contacts/${one.id}`).header('If-Match', one['@odata.etag']).patch({ surname: 'Stale' });
  } catch (e) { saw.stale = `${e.statusCode} ${e.code}`; }
  await client.api(`${me}/contacts/${d.items[1].id}`).delete();
  d = await walk(await client.api(d.delta).get());
  saw.news = d.items.map((c) => (c['@removed'] ? 'removed' : c.surname)).sort().join(' ');

  const start = { dateTime: '2026-03-10T10:00:00', timeZone: 'W. Europe Standard Time' };
  const end = { dateTime: '2026-03-10T11:00:00', timeZone: 'W. Europe Standard Time' };
  const event = await client.api(`${me}/events`).post({ subject: 'Plan', start, end, transactionId: 'once' });
  saw.start = event.start.dateTime.slice(0, 16) + ' ' + event.start.timeZone;
  try {
    await client.api(`${me}/events`).post({ subject: 'Plan', start, end, transactionId: 'once' });
  } catch (e) { saw.twice = `${e.statusCode}`; }
  const view = await walk(await client.api(`${me}/calendarView/delta`)
    .query({ startDateTime: '2026-03-01T00:00:00Z', endDateTime: '2026-04-01T00:00:00Z' }).get());
  saw.view = view.items.map((v) => v.subject).join(' ');

  const batch = new BatchRequestContent(d.items.filter((c) => !c['@removed']).concat([{ id: 'AAkALgAAnothingofthatkind' }]).map((c, i) => ({
    id: `${i}`, request: new Request(`${base.slice(0, -1)}${me}/contacts/${c.id}`, { method: 'GET' }),
  })));
  const answers = new BatchResponseContent(await client.api('/$batch').post(await batch.getContent()));
  saw.batch = [...answers.getResponses()].map(([, r]) => r.status).sort().join(' ');
  console.log(JSON.stringify(saw));
}

main().catch((e) => { console.error(e.statusCode, e.code, e.message, e.stack); process.exit(1); });
