// Package goclient lets Google's own client for Go judge the emulator. It is a
// module of its own, so that nobody who uses the connector gets its dependencies.
package goclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
	"google.golang.org/api/people/v1"
	"google.golang.org/api/tasks/v1"
)

// bearer adds the credential.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}

func client(t *testing.T, path string) []option.ClientOption {
	address := os.Getenv("GOOGLETEST_URL")
	if address == "" {
		t.Skip("run by the test TestGooglesGoClientJudgesTheEmulator of the connector")
	}
	pem, err := os.ReadFile(os.Getenv("GOOGLETEST_CA"))
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	hc := &http.Client{Timeout: time.Minute, Transport: bearer{os.Getenv("GOOGLETEST_TOKEN"), &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}}
	return []option.ClientOption{option.WithHTTPClient(hc), option.WithEndpoint(address + path)}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// status wants an error of a status.
func status(t *testing.T, what string, err error, code int) {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: got %v, want HTTP %d", what, err, code)
	}
}

func TestCalendar(t *testing.T) {
	ctx := context.Background()
	s, err := calendar.NewService(ctx, client(t, "/calendar/v3/")...)
	must(t, err)
	at := func(h int) *calendar.EventDateTime {
		return &calendar.EventDateTime{DateTime: time.Date(2026, 7, 1, h, 0, 0, 0, time.UTC).Format(time.RFC3339), TimeZone: "Europe/Berlin"}
	}
	own, err := s.Calendars.Insert(&calendar.Calendar{Summary: "SAP Visits Calendar"}).Do()
	must(t, err)
	list, err := s.CalendarList.List().Do()
	must(t, err)
	var names []string
	for _, c := range list.Items {
		names = append(names, c.Summary)
	}
	want(t, "calendars", slices.Contains(names, "SAP Visits Calendar"), true)
	for i := range 3 {
		id := "plan" + strconv.Itoa(i) + "aaa"
		e, err := s.Events.Insert(own.Id, &calendar.Event{Id: id, Summary: "Plan", Start: at(7), End: at(8),
			ExtendedProperties: &calendar.EventExtendedProperties{Private: map[string]string{"k": "v"}}}).SendUpdates("none").Do()
		must(t, err)
		want(t, "id", e.Id, id)
		want(t, "property", e.ExtendedProperties.Private["k"], "v")
	}
	_, err = s.Events.Insert(own.Id, &calendar.Event{Id: "plan0aaa", Start: at(7), End: at(8)}).Do()
	status(t, "second of one id", err, 409)
	token, n := "", 0
	must(t, s.Events.List(own.Id).MaxResults(2).Pages(ctx, func(p *calendar.Events) error { n += len(p.Items); token = p.NextSyncToken; return nil }))
	want(t, "events", n, 3)
	e, err := s.Events.Get(own.Id, "plan1aaa").Do()
	must(t, err)
	call := s.Events.Patch(own.Id, e.Id, &calendar.Event{Location: "Room"}).SendUpdates("none")
	call.Header().Set("If-Match", e.Etag)
	changed, err := call.Do()
	must(t, err)
	want(t, "patched", changed.Summary+" "+changed.Location, "Plan Room")
	call = s.Events.Patch(own.Id, e.Id, &calendar.Event{Location: "Hall"})
	call.Header().Set("If-Match", e.Etag)
	_, err = call.Do()
	status(t, "stale", err, 412)
	must(t, s.Events.Delete(own.Id, "plan2aaa").SendUpdates("none").Do())
	status(t, "deleted twice", s.Events.Delete(own.Id, "plan2aaa").Do(), 410)
	news, err := s.Events.List(own.Id).SyncToken(token).Do()
	must(t, err)
	want(t, "news", len(news.Items), 2)
	ch, err := s.Events.Watch(own.Id, &calendar.Channel{Id: "channel-1", Type: "web_hook", Address: "https://hooks.example/x", Token: "t"}).Do()
	must(t, err)
	want(t, "watched", ch.ResourceId != "" && ch.Expiration > time.Now().UnixMilli(), true)
	must(t, s.Channels.Stop(&calendar.Channel{Id: ch.Id, ResourceId: ch.ResourceId}).Do())

	master, err := s.Events.Insert(own.Id, &calendar.Event{Id: "seriesaaa", Summary: "Weekly", Start: at(7), End: at(8), Recurrence: []string{"RRULE:FREQ=WEEKLY;COUNT=3"}}).Do()
	must(t, err)
	ins, err := s.Events.Instances(own.Id, master.Id).Do()
	must(t, err)
	want(t, "instances", len(ins.Items), 3)
	want(t, "instance of", ins.Items[1].RecurringEventId, master.Id)
	moved, err := s.Events.Patch(own.Id, ins.Items[1].Id, &calendar.Event{Summary: "Moved"}).Do()
	must(t, err)
	want(t, "moved", moved.OriginalStartTime.DateTime != "" && moved.RecurringEventId == master.Id, true)
	must(t, s.Events.Delete(own.Id, ins.Items[2].Id).Do())
	all, err := s.Events.List(own.Id).ICalUID(master.ICalUID).ShowDeleted(true).Do()
	must(t, err)
	want(t, "the series and what differs from it", len(all.Items), 3)
	left, err := s.Events.Instances(own.Id, master.Id).Do()
	must(t, err)
	want(t, "instances left", len(left.Items), 2)
}

func TestPeople(t *testing.T) {
	s, err := people.NewService(context.Background(), client(t, "/")...)
	must(t, err)
	const fields = "names,emailAddresses,clientData,memberships,metadata"
	made, err := s.People.CreateContact(&people.Person{Names: []*people.Name{{GivenName: "Kei", FamilyName: "Ito"}}, ClientData: []*people.ClientData{{Key: "k", Value: "v"}}}).PersonFields(fields).Do()
	must(t, err)
	g, err := s.ContactGroups.Create(&people.CreateContactGroupRequest{ContactGroup: &people.ContactGroup{Name: "SAP Contacts"}}).Do()
	must(t, err)
	_, err = s.ContactGroups.Members.Modify(g.ResourceName, &people.ModifyContactGroupMembersRequest{ResourceNamesToAdd: []string{made.ResourceName}}).Do()
	must(t, err)
	groups, err := s.ContactGroups.List().Do()
	must(t, err)
	want(t, "groups", slices.ContainsFunc(groups.ContactGroups, func(x *people.ContactGroup) bool { return x.Name == "SAP Contacts" }), true)
	list, err := s.People.Connections.List("people/me").PersonFields(fields).RequestSyncToken(true).Do()
	must(t, err)
	want(t, "people", len(list.Connections), 1)
	now := list.Connections[0]
	want(t, "in the group", slices.ContainsFunc(now.Memberships, func(m *people.Membership) bool {
		return m.ContactGroupMembership != nil && m.ContactGroupMembership.ContactGroupResourceName == g.ResourceName
	}), true)
	changed, err := s.People.UpdateContact(now.ResourceName, &people.Person{Metadata: now.Metadata, Names: []*people.Name{{FamilyName: "Berg"}}}).UpdatePersonFields("names").PersonFields(fields).Do()
	must(t, err)
	want(t, "changed", changed.Names[0].FamilyName, "Berg")
	want(t, "key", changed.ClientData[0].Value, "v")
	_, err = s.People.UpdateContact(now.ResourceName, &people.Person{Metadata: now.Metadata, Names: []*people.Name{{FamilyName: "Stale"}}}).UpdatePersonFields("names").Do()
	status(t, "stale", err, 400)
	batch, err := s.People.GetBatchGet().ResourceNames(now.ResourceName, "people/c1").PersonFields(fields).Do()
	must(t, err)
	want(t, "batch", len(batch.Responses), 2)
	_, err = s.People.DeleteContact(now.ResourceName).Do()
	must(t, err)
	gone, err := s.People.Connections.List("people/me").PersonFields(fields).SyncToken(list.NextSyncToken).Do()
	must(t, err)
	want(t, "gone", len(gone.Connections) == 1 && gone.Connections[0].Metadata.Deleted, true)
}

func TestMail(t *testing.T) {
	s, err := gmail.NewService(context.Background(), client(t, "/")...)
	must(t, err)
	p, err := s.Users.GetProfile("me").Do()
	must(t, err)
	label, err := s.Users.Labels.Create("me", &gmail.Label{Name: "SAP E-Mails"}).Do()
	must(t, err)
	raw := "From: a@x.example\r\nTo: b@x.example\r\nSubject: Hello\r\nMessage-ID: <m1@x.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--b--\r\n"
	m, err := s.Users.Messages.Insert("me", &gmail.Message{Raw: base64.URLEncoding.EncodeToString([]byte(raw)), LabelIds: []string{"INBOX", "UNREAD"}}).Do()
	must(t, err)
	list, err := s.Users.Messages.List("me").Q("{in:inbox in:sent} rfc822msgid:m1@x.example").MaxResults(10).Do()
	must(t, err)
	want(t, "found", len(list.Messages), 1)
	head, err := s.Users.Messages.Get("me", m.Id).Format("metadata").MetadataHeaders("Subject").Do()
	must(t, err)
	want(t, "head", len(head.Payload.Headers) == 1 && head.Payload.Headers[0].Value == "Hello" && len(head.Payload.Parts) == 0, true)
	full, err := s.Users.Messages.Get("me", m.Id).Format("full").Do()
	must(t, err)
	want(t, "parts", len(full.Payload.Parts), 2)
	text, err := base64.URLEncoding.DecodeString(full.Payload.Parts[0].Body.Data)
	must(t, err)
	want(t, "text", strings.TrimSpace(string(text)), "text")
	file, err := s.Users.Messages.Attachments.Get("me", m.Id, full.Payload.Parts[1].Body.AttachmentId).Do()
	must(t, err)
	want(t, "file", file.Data, base64.URLEncoding.EncodeToString([]byte("abc")))
	_, err = s.Users.Messages.Modify("me", m.Id, &gmail.ModifyMessageRequest{AddLabelIds: []string{label.Id}, RemoveLabelIds: []string{"UNREAD"}}).Do()
	must(t, err)
	_, err = s.Users.Messages.Trash("me", m.Id).Do()
	must(t, err)
	must(t, s.Users.Messages.Delete("me", m.Id).Do())
	_, err = s.Users.Messages.Get("me", m.Id).Do()
	status(t, "deleted", err, 404)
	h, err := s.Users.History.List("me").StartHistoryId(p.HistoryId).Do()
	must(t, err)
	var what []string
	for _, x := range h.History {
		what = append(what, strings.Repeat("added ", len(x.MessagesAdded))+strings.Repeat("filed ", len(x.LabelsAdded))+strings.Repeat("unfiled ", len(x.LabelsRemoved))+strings.Repeat("deleted ", len(x.MessagesDeleted)))
	}
	want(t, "history", strings.Join(what, ""), "added filed unfiled filed deleted ")
	_, err = s.Users.History.List("me").StartHistoryId(1).Do()
	status(t, "old history", err, 404)
	w, err := s.Users.Watch("me", &gmail.WatchRequest{TopicName: "projects/p/topics/t"}).Do()
	must(t, err)
	want(t, "watched", w.Expiration > time.Now().UnixMilli(), true)
	must(t, s.Users.Stop("me").Do())
}

func TestTasks(t *testing.T) {
	s, err := tasks.NewService(context.Background(), client(t, "/")...)
	must(t, err)
	lists, err := s.Tasklists.List().Do()
	must(t, err)
	list := lists.Items[0].Id
	before := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	made, err := s.Tasks.Insert(list, &tasks.Task{Title: "Call", Notes: "n", Due: "2026-07-01T15:00:00Z"}).Do()
	must(t, err)
	want(t, "due", made.Due, "2026-07-01T00:00:00.000Z")
	changed, err := s.Tasks.Patch(list, made.Id, &tasks.Task{Status: "completed"}).Do()
	must(t, err)
	want(t, "completed", changed.Completed != nil && changed.Etag != made.Etag && changed.Notes == "n", true)
	must(t, s.Tasks.Delete(list, made.Id).Do())
	one, err := s.Tasks.Get(list, made.Id).Do()
	must(t, err)
	want(t, "deleted", one.Deleted, true)
	news, err := s.Tasks.List(list).UpdatedMin(before).ShowDeleted(true).ShowHidden(true).ShowCompleted(true).MaxResults(100).Do()
	must(t, err)
	want(t, "news", len(news.Items) == 1 && news.Items[0].Deleted, true)
	none, err := s.Tasks.List("@default").Do()
	must(t, err)
	want(t, "left", len(none.Items), 0)
}
