// Uses the emulator the way an application of somebody else uses Microsoft Graph,
// with Microsoft's own client, and prints what it saw as one line of JSON.
const { Client, PageIterator, BatchRequestContent, BatchResponseContent, LargeFileUploadTask } = require('@microsoft/microsoft-graph-client');

const [base, token, mailbox, uploads] = process.argv.slice(2);
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

async function upload(event) {
  const large = Buffer.alloc(3.5 * 1024 * 1024, 'x');
  const task = new LargeFileUploadTask(client, { name: 'large.bin', content: large, size: large.length,
    sliceFile: (r) => large.subarray(r.minValue, r.maxValue + 1) },
  await LargeFileUploadTask.createUploadSession(client, `${me}/events/${event.id}/attachments/createUploadSession`, {
    AttachmentItem: { attachmentType: 'file', name: 'large.bin', size: large.length } }), { rangeSize: 1024 * 1024 });
  await task.upload();
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

  // To Do: lists, tasks, their history, an extension that is filtered by.
  const lists = (await client.api(`${me}/todo/lists`).get()).value;
  const list = lists.find((l) => l.wellknownListName === 'defaultList');
  const extension = { '@odata.type': 'microsoft.graph.openTypeExtension', extensionName: 'com.example.key', key: 'k1' };
  const todo = await client.api(`${me}/todo/lists/${list.id}/tasks`).post({
    title: 'Call', importance: 'high', dueDateTime: { dateTime: '2026-03-12T00:00:00', timeZone: 'UTC' }, extensions: [extension],
  });
  await client.api(`${me}/todo/lists/${list.id}/tasks`).post({ title: 'Other' });
  const keyed = await client.api(`${me}/todo/lists/${list.id}/tasks`)
    .query({ $filter: "Extensions/any(f:f/id eq 'microsoft.graph.openTypeExtension.com.example.key')", $expand: "extensions($filter=id eq 'microsoft.graph.openTypeExtension.com.example.key')" }).get();
  saw.keyed = keyed.value.map((t) => `${t.title} ${t.extensions[0].key}`).join(' ');
  d = await walk(await client.api(`${me}/todo/lists/${list.id}/tasks/delta`).get());
  const done = await client.api(`${me}/todo/lists/${list.id}/tasks/${todo.id}`).header('If-Match', todo['@odata.etag']).patch({ status: 'completed' });
  await client.api(`${me}/todo/lists/${list.id}/tasks/${d.items.find((t) => t.title === 'Other').id}`).delete();
  d = await walk(await client.api(d.delta).get());
  saw.todo = `${done.status} ${done.importance} ${done.dueDateTime.dateTime.slice(0, 10)}: ` + d.items.map((t) => (t['@removed'] ? 'removed' : t.title)).sort().join(' ');

  // Mail, which is there already: folders, history, header, attachment.
  const inbox = await client.api(`${me}/mailFolders/inbox`).get();
  const box = await walk(await client.api(`${me}/mailFolders/${inbox.id}/messages/delta`).query({ $select: 'subject,from' }).get());
  const mail = await client.api(`${me}/messages/${box.items[0].id}`).select('subject,body,internetMessageHeaders').get();
  const found = await client.api(`${me}/messages`).filter("internetMessageId eq '<m1@x.example>'").get();
  const files = (await client.api(`${me}/messages/${mail.id}/attachments`).select('id,name,size').get()).value;
  const file = await client.api(`${me}/messages/${mail.id}/attachments/${files[0].id}/$value`).responseType('text').get();
  saw.mail = `${inbox.displayName}: ${mail.subject} ${mail.internetMessageHeaders[0].name} ${found.value.length} ${files[0].name} ${files[0].size} ${file}`;

  // Attachments of an event: a small one, and a large one in parts.
  await client.api(`${me}/events/${event.id}/attachments`).post({ '@odata.type': '#microsoft.graph.fileAttachment', name: 'a.txt', contentBytes: 'aGVsbG8=' });
  if (uploads) await upload(event);
  saw.files = (await client.api(`${me}/events/${event.id}/attachments`).select('name,size').get()).value.map((a) => `${a.name} ${a.size}`).join(' ');

  // A folder and a calendar of the user's own.
  const folder = (await client.api(`${me}/contactFolders`).get()).value[0];
  const calendar = (await client.api(`${me}/calendars`).get()).value.find((c) => !c.isDefaultCalendar);
  await client.api(`${me}/contactFolders/${folder.id}/contacts`).post({ surname: 'In a folder', categories: ['Red'] });
  await client.api(`${me}/calendars/${calendar.id}/events`).post({ subject: 'Elsewhere', start, end });
  const view2 = await walk(await client.api(`${me}/calendars/${calendar.id}/calendarView/delta`)
    .query({ startDateTime: '2026-03-01T00:00:00Z', endDateTime: '2026-04-01T00:00:00Z' }).get());
  saw.folders = `${folder.displayName} ${calendar.name} ` + view2.items.map((v) => v.subject).join(' ');
  console.log(JSON.stringify(saw));
}

main().catch((e) => { console.error(e.statusCode, e.code, e.message, e.stack || e); process.exit(1); });
