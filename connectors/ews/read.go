package ews

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// The extended property that holds the create key, in this module's own set.
const (
	keySet  = "6f0e2a5c-94b1-4c0e-8d3b-7a1d5c2f9e40"
	keyName = "LockkeeperKey"
	keyURI  = `<t:ExtendedFieldURI PropertySetId="` + keySet + `" PropertyName="` + keyName + `" PropertyType="String"/>`
)

// batch is how many items one GetItem asks for: bodies make answers large.
const batch = 20

// maxSync is how many changes one SyncFolderItems returns at most.
const maxSync = 512

func (s session) folder() string { return folderID(s.s.folder) }

// changes reads what is new.
func (s session) changes(ctx context.Context, cursor string, limit int) (connectors.Page, error) {
	if s.kind == connectors.KindMail {
		return s.inbox(ctx, cursor, limit)
	}
	return s.history(ctx, s.folder(), cursor, limit)
}

// history reads what is new in one folder.
func (s session) history(ctx context.Context, folder, cursor string, limit int) (connectors.Page, error) {
	state := ""
	if cursor != "" {
		state = "<m:SyncState>" + esc(cursor) + "</m:SyncState>"
	}
	ms, err := s.do(ctx, `<m:SyncFolderItems><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape><m:SyncFolderId>`+folder+`</m:SyncFolderId>`+state+
		`<m:MaxChangesReturned>`+strconv.Itoa(min(limit, maxSync))+`</m:MaxChangesReturned></m:SyncFolderItems>`, false, 1)
	if err != nil {
		return connectors.Page{}, err
	}
	m := ms[0]
	if err := m.err(); err != nil {
		return connectors.Page{}, err
	}
	if m.SyncState == "" {
		return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "changes without a state"}
	}
	p := connectors.Page{Cursor: m.SyncState, More: !m.Last}
	for _, c := range m.Changes.List {
		switch c.XMLName.Local {
		case "Create", "Update":
			if len(c.Item) != 1 || c.Item[0].ItemID.ID == "" {
				return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "change without an item"}
			}
			if slices.Contains(s.s.items, c.Item[0].XMLName.Local) { // folders hold what else people put there
				p.Changes = append(p.Changes, connectors.Change{ID: c.Item[0].ItemID.ID, Rev: c.Item[0].ItemID.ChangeKey})
			}
		case "Delete":
			if c.ItemID == nil || c.ItemID.ID == "" {
				return connectors.Page{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "change without an item"}
			}
			p.Changes = append(p.Changes, connectors.Change{ID: c.ItemID.ID, Gone: true})
		}
	}
	return s.confirm(ctx, p)
}

// confirm reads what is called deleted: an item that moved to another folder is
// there no more, under this id, either way; one that is still there is not gone.
func (s session) confirm(ctx context.Context, p connectors.Page) (connectors.Page, error) {
	var ids []string
	for _, c := range p.Changes {
		if c.Gone {
			ids = append(ids, c.ID)
		}
	}
	found, errs, err := s.items(ctx, ids, bare)
	if err != nil {
		return connectors.Page{}, err
	}
	out := p.Changes[:0]
	n := 0
	for _, c := range p.Changes {
		if c.Gone {
			switch err := errs[n]; {
			case err == nil:
				c = connectors.Change{ID: c.ID, Rev: found[n].ItemID.ChangeKey}
			case !errors.Is(err, connectors.ErrNotFound):
				return connectors.Page{}, err
			}
			n++
		}
		out = append(out, c)
	}
	p.Changes = out
	return p, nil
}

// get reads items by id.
func (s session) get(ctx context.Context, ids []string) ([]connectors.Result, error) {
	out := make([]connectors.Result, len(ids))
	found, errs, err := s.items(ctx, ids, full)
	if err != nil {
		return nil, err
	}
	for i := range ids {
		if errs[i] != nil {
			out[i].Err = errs[i]
			continue
		}
		r, err := s.record(ctx, &found[i])
		if err != nil {
			out[i].Err = named(err, ids[i])
			continue
		}
		out[i].Record = r
	}
	return out, nil
}

// record is what an item says.
func (s session) record(ctx context.Context, it *item) (*connectors.Record, error) {
	r, err := s.s.read(it, s.d.zones)
	if err != nil {
		return nil, err
	}
	r.ID, r.Rev, r.Key, r.Modified = it.ItemID.ID, it.ItemID.ChangeKey, it.own(keyName), it.modified()
	if s.s.can.Attachments.Read {
		r.Attachments = it.attachments()
	}
	if r.Mail != nil {
		r.Key = r.Mail.MessageID
		err = s.direction(ctx, it, r)
	}
	return r, err
}

// depth is how much of items is read.
type depth uint8

const (
	bare depth = iota // ids and revisions
	head              // all but what the shape calls its body
	full
)

// heads are small: more of them fit into one answer.
const batchHeads = 100

// items reads items by id, each with its own error.
func (s session) items(ctx context.Context, ids []string, d depth) ([]item, []error, error) {
	found, errs := make([]item, len(ids)), make([]error, len(ids))
	at := 0
	n := batch
	if d != full {
		n = batchHeads
	}
	for chunk := range slices.Chunk(ids, n) {
		var b strings.Builder
		b.WriteString(`<m:GetItem><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape>`)
		if d != bare {
			b.WriteString(`<t:BodyType>Text</t:BodyType><t:AdditionalProperties>` + s.s.extra)
			if s.s.can.Create {
				b.WriteString(keyURI)
			}
			if d == full {
				b.WriteString(s.s.body)
			}
			for _, p := range s.s.fields {
				b.WriteString(p.uri())
			}
			b.WriteString(`</t:AdditionalProperties>`)
		}
		b.WriteString(`</m:ItemShape><m:ItemIds>`)
		for _, id := range chunk {
			b.WriteString(`<t:ItemId Id="` + esc(id) + `"/>`)
		}
		b.WriteString(`</m:ItemIds></m:GetItem>`)
		ms, err := s.do(ctx, b.String(), false, len(chunk))
		if err != nil {
			return nil, nil, err
		}
		for i, m := range ms {
			switch err := m.err(); {
			case err != nil:
				errs[at+i] = named(err, chunk[i])
			case len(m.Items.List) != 1 || m.Items.List[0].ItemID.ID != chunk[i] || m.Items.List[0].ItemID.ChangeKey == "":
				errs[at+i] = &connectors.Error{Class: connectors.ErrMalformed, ID: chunk[i], Detail: "another item than asked for"}
			case !slices.Contains(s.s.items, m.Items.List[0].XMLName.Local): // another kind of item: none of ours
				errs[at+i] = &connectors.Error{Class: connectors.ErrNotFound, ID: chunk[i]}
			default:
				found[at+i] = m.Items.List[0]
			}
		}
		at += len(chunk)
	}
	return found, errs, nil
}

// find looks for items by their keys; mails carry their message id as one.
func (s session) find(ctx context.Context, keys []string) (map[string][]connectors.Change, error) {
	out := map[string][]connectors.Change{}
	uri, folders := keyURI, []string{s.s.folder}
	if s.kind == connectors.KindMail {
		uri, folders = `<t:FieldURI FieldURI="message:InternetMessageId"/>`, s.d.folders
	}
	for _, k := range keys {
		if connectors.NormalizeText("", k) != k {
			continue // XML could not carry it
		}
		value := k
		if s.kind == connectors.KindMail {
			value = "<" + k + ">"
		}
		for _, f := range folders {
			ms, err := s.do(ctx, `<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape><t:AdditionalProperties>`+uri+`</t:AdditionalProperties></m:ItemShape>`+
				`<m:IndexedPageItemView MaxEntriesReturned="50" Offset="0" BasePoint="Beginning"/><m:Restriction><t:IsEqualTo>`+uri+
				`<t:FieldURIOrConstant><t:Constant Value="`+esc(value)+`"/></t:FieldURIOrConstant></t:IsEqualTo></m:Restriction><m:ParentFolderIds>`+folderID(f)+`</m:ParentFolderIds></m:FindItem>`, false, 1)
			if err != nil {
				return nil, err
			}
			if err := ms[0].err(); err != nil {
				return nil, err
			}
			for _, it := range ms[0].Root.Items.List {
				// A comparison that ignores case finds more than was asked for.
				if (it.own(keyName) == k || it.mail.MessageID == value) && it.ItemID.ID != "" && slices.Contains(s.s.items, it.XMLName.Local) {
					out[k] = append(out[k], connectors.Change{ID: it.ItemID.ID, Rev: it.ItemID.ChangeKey})
				}
			}
		}
	}
	return out, nil
}

// ids lists the ids that exist, folder by folder, in the order in which items were
// created.
func (s session) ids(ctx context.Context, after string, limit int) (connectors.IDs, error) {
	folders := []string{s.s.folder}
	if s.kind == connectors.KindMail {
		folders = s.d.folders
	}
	at, offset := 0, 0
	if after != "" {
		a, b, _ := strings.Cut(after, " ")
		var err1, err2 error
		at, err1 = strconv.Atoi(a)
		offset, err2 = strconv.Atoi(b)
		if err1 != nil || err2 != nil || offset < 0 || at < 0 || at >= len(folders) {
			return connectors.IDs{}, &connectors.Error{Class: connectors.ErrInvalid, Detail: "not a place in this listing"}
		}
	}
	ms, err := s.do(ctx, fmt.Sprintf(`<m:FindItem Traversal="Shallow"><m:ItemShape><t:BaseShape>IdOnly</t:BaseShape></m:ItemShape>`+
		`<m:IndexedPageItemView MaxEntriesReturned="%d" Offset="%d" BasePoint="Beginning"/><m:SortOrder><t:FieldOrder Order="Ascending"><t:FieldURI FieldURI="item:DateTimeCreated"/></t:FieldOrder></m:SortOrder>`+
		`<m:ParentFolderIds>%s</m:ParentFolderIds></m:FindItem>`, min(limit, 500), offset, folderID(folders[at])), false, 1)
	if err != nil {
		return connectors.IDs{}, err
	}
	if err := ms[0].err(); err != nil {
		return connectors.IDs{}, err
	}
	var out connectors.IDs
	for _, it := range ms[0].Root.Items.List {
		if slices.Contains(s.s.items, it.XMLName.Local) {
			out.IDs = append(out.IDs, it.ItemID.ID)
		}
	}
	switch r := ms[0].Root; {
	case r.Last && at+1 < len(folders):
		out.Next = strconv.Itoa(at+1) + " 0"
	case r.Last:
	case r.Next <= offset:
		return connectors.IDs{}, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing without end"}
	default:
		out.Next = strconv.Itoa(at) + " " + strconv.Itoa(r.Next)
	}
	return out, nil
}

func (it *item) modified() time.Time {
	t, err := time.Parse(time.RFC3339, it.Modified)
	if err != nil {
		return time.Time{}
	}
	return t
}
