// Uses the emulator the way an application of somebody else uses Exchange, with a
// client that nobody here wrote, and prints what it saw as one line of JSON.
const ews = require('ews-javascript-api');

const [url, user, password, mailbox] = process.argv.slice(2);
const service = new ews.ExchangeService(ews.ExchangeVersion.Exchange2010_SP2);
service.Url = new ews.Uri(url);
service.Credentials = new ews.WebCredentials(user, password);
const saw = {};

async function drain(folder, state) {
  const seen = [];
  for (;;) {
    const c = await service.SyncFolderItems(new ews.FolderId(folder), new ews.PropertySet(ews.BasePropertySet.IdOnly), null, 2, ews.SyncFolderItemsScope.NormalItems, state);
    for (let i = 0; i < c.Count; i++) seen.push(c._getItem(i));
    state = c.SyncState;
    if (!c.MoreChangesAvailable) return { seen, state };
  }
}

async function main() {
  const F = ews.WellKnownFolderName;
  for (let i = 0; i < 3; i++) {
    const c = new ews.Contact(service);
    c.GivenName = `G${i}`;
    c.Surname = `S${i}`;
    c.EmailAddresses._setItem(ews.EmailAddressKey.EmailAddress1, new ews.EmailAddress(`s${i}@x.example`));
    await c.Save(F.Contacts);
  }
  const found = await service.FindItems(F.Contacts, new ews.ItemView(10));
  saw.found = found.Items.length;
  const first = await drain(F.Contacts, null);
  saw.changes = first.seen.length;

  const one = await ews.Contact.Bind(service, found.Items[0].Id, new ews.PropertySet(ews.BasePropertySet.IdOnly, [ews.ContactSchema.Surname, ews.ContactSchema.EmailAddress1]));
  saw.one = `${one.Surname} ${one.EmailAddresses._getItem(ews.EmailAddressKey.EmailAddress1).Address}`;
  one.Surname = 'Changed';
  await one.Update(ews.ConflictResolutionMode.NeverOverwrite);
  const gone = await ews.Contact.Bind(service, found.Items[1].Id, new ews.PropertySet(ews.BasePropertySet.IdOnly));
  await gone.Delete(ews.DeleteMode.HardDelete);
  const next = await drain(F.Contacts, first.state);
  saw.news = next.seen.map((x) => ews.ChangeType[x.ChangeType]).sort().join(' ');

  const a = new ews.Appointment(service);
  a.Subject = 'Plan';
  a.Start = new ews.DateTime('2026-07-01T07:00:00Z');
  a.End = new ews.DateTime('2026-07-01T08:00:00Z');
  a.Location = 'Room';
  await a.Save(F.Calendar, ews.SendInvitationsMode.SendToNone);
  const back = await ews.Appointment.Bind(service, a.Id, new ews.PropertySet(ews.BasePropertySet.IdOnly, [ews.AppointmentSchema.Subject, ews.AppointmentSchema.Start, ews.AppointmentSchema.Location]));
  saw.appointment = `${back.Subject} ${back.Location} ${back.Start.ToISOString()}`;
  const folder = await ews.Folder.Bind(service, F.Calendar);
  saw.folder = folder.TotalCount;

  service.ImpersonatedUserId = new ews.ImpersonatedUserId(ews.ConnectingIdType.SmtpAddress, mailbox);
  try {
    await service.FindItems(F.Contacts, new ews.ItemView(10));
    saw.impersonated = 'yes';
  } catch (e) { saw.impersonated = String(e.message); }
  console.log(JSON.stringify(saw));
}

main().catch((e) => { console.error(e.message, e.stack); process.exit(1); });
