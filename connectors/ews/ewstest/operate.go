package ewstest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type mailbox struct {
	address string
	folders map[string]*folder // by the items they hold
}

type folder struct {
	entries map[string]*entry
	order   []string
}

type entry struct {
	id       string
	props    map[string]string
	seq      int
	born     int
	version  int
	modified time.Time
	gone     bool
}

func (e *entry) changeKey() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s-%d", e.id[10:18], e.version))
}

func (s *Server) touch(e *entry) {
	s.serial++
	e.seq, e.version, e.modified = s.serial, e.version+1, s.o.Now().UTC().Truncate(time.Second)
}

func (s *Server) insert(f *folder, props map[string]string) *entry {
	s.serial++
	h := sha256.Sum256(fmt.Append(nil, "item", s.serial))
	e := &entry{id: "AAMkAGU0" + base64.StdEncoding.EncodeToString(append([]byte("item of a mailbox"), h[:]...)), props: props, born: s.serial}
	f.entries[e.id] = e
	f.order = append(f.order, e.id)
	s.touch(e)
	return e
}

// find returns an item that is there, and what it is.
func (m *mailbox) find(id string) (*entry, string) {
	for kind, f := range m.folders {
		if e := f.entries[id]; e != nil && !e.gone {
			return e, kind
		}
	}
	return nil, ""
}

// operate carries out one operation. The messages are its answer, one for each
// item; a problem is one of the whole.
func (s *Server) operate(box *mailbox, op *node) ([]string, *problem) {
	switch op.name() {
	case "SyncFolderItems":
		return s.sync(box, op)
	case "GetItem":
		return s.get(box, op)
	case "FindItem":
		return s.list(box, op)
	case "CreateItem":
		return s.create(box, op)
	case "UpdateItem":
		return s.update(box, op)
	case "DeleteItem":
		return s.remove(box, op)
	case "GetFolder":
		return s.folder(box, op)
	}
	return nil, schemaProblem()
}

func kindOf(n *node) (string, bool) {
	if n == nil {
		return "", false
	}
	d := n.at("DistinguishedFolderId")
	if d == nil {
		d = n.at("FolderId")
	}
	if d == nil {
		return "", false
	}
	k, ok := map[string]string{"contacts": "Contact", "calendar": "CalendarItem"}[d.attr("Id")]
	return k, ok
}

// shape reads which properties are asked for.
func shape(kind string, n *node) ([]string, *problem) {
	var out []string
	if n == nil || !slices.Contains([]string{"IdOnly", "Default", "AllProperties"}, n.text("BaseShape")) {
		return nil, schemaProblem()
	}
	if n.text("BaseShape") != "IdOnly" {
		for _, e := range schema(kind) {
			out = append(out, e.uri)
		}
		out = append(out, "contacts:EmailAddress[EmailAddress1]")
	}
	if a := n.at("AdditionalProperties"); a != nil {
		for i := range a.Nodes {
			u := a.Nodes[i].uri()
			if u == "" || kind != "" && !known(kind, u) {
				return nil, &problem{code: "ErrorInvalidPropertyRequest"}
			}
			out = append(out, u)
		}
	}
	return out, nil
}

// show writes an item with the properties that were asked for.
func (e *entry) show(kind string, want []string) string {
	var b strings.Builder
	b.WriteString("<t:" + kind + `><t:ItemId Id="` + esc(e.id) + `" ChangeKey="` + esc(e.changeKey()) + `"/>`)
	asked := func(uri string) bool { return slices.Contains(want, uri) }
	simple := func(uri, name string) {
		if v, ok := e.props[uri]; ok && asked(uri) {
			b.WriteString("<t:" + name + ">" + esc(v) + "</t:" + name + ">")
		}
	}
	for _, el := range schema(kind) {
		switch el.name {
		case "Body":
			if asked(el.uri) {
				b.WriteString(`<t:Body BodyType="Text">` + esc(strings.ReplaceAll(e.props[el.uri], "\n", "\r\n")) + "</t:Body>")
			}
		case "ExtendedProperty":
			for _, u := range want {
				v, ok := e.props[u]
				if tag, isTag := strings.CutPrefix(u, "tag:"); ok && isTag {
					b.WriteString(`<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="` + esc(tag) + `" PropertyType="String"/><t:Value>` + esc(v) + `</t:Value></t:ExtendedProperty>`)
				} else if parts := strings.SplitN(u, ":", 3); ok && parts[0] == "ext" {
					b.WriteString(`<t:ExtendedProperty><t:ExtendedFieldURI PropertySetId="` + esc(parts[1]) + `" PropertyName="` + esc(parts[2]) + `" PropertyType="String"/><t:Value>` + esc(v) + `</t:Value></t:ExtendedProperty>`)
				}
			}
		case "EmailAddresses", "PhoneNumbers":
			e.entries(&b, el.name, want)
		case "PhysicalAddresses":
			e.places(&b, want)
		case "StartTimeZone", "EndTimeZone":
			if v, ok := e.props[el.uri]; ok && asked(el.uri) {
				b.WriteString("<t:" + el.name + ` Id="` + esc(v) + `" Name="(UTC) ` + esc(v) + `"/>`)
			}
		case "RequiredAttendees":
			if v := e.props[el.uri]; v != "" && asked(el.uri) {
				b.WriteString("<t:RequiredAttendees>")
				for a := range strings.SplitSeq(v, "\n") {
					b.WriteString("<t:Attendee><t:Mailbox><t:Name>" + esc(a) + "</t:Name><t:EmailAddress>" + esc(a) + "</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType></t:Mailbox></t:Attendee>")
				}
				b.WriteString("</t:RequiredAttendees>")
			}
		default:
			simple(el.uri, el.name)
		}
	}
	simple("calendar:UID", "UID")
	simple("calendar:IsCancelled", "IsCancelled")
	if o := e.props["calendar:Organizer"]; o != "" && asked("calendar:Organizer") {
		b.WriteString("<t:Organizer><t:Mailbox><t:Name>" + esc(o) + "</t:Name><t:EmailAddress>" + esc(o) + "</t:EmailAddress><t:RoutingType>SMTP</t:RoutingType></t:Mailbox></t:Organizer>")
	}
	if asked("item:LastModifiedTime") {
		b.WriteString("<t:LastModifiedTime>" + e.modified.Format(time.RFC3339) + "</t:LastModifiedTime>")
	}
	b.WriteString("</t:" + kind + ">")
	return b.String()
}

func (e *entry) entries(b *strings.Builder, group string, want []string) {
	base := map[string]string{"EmailAddresses": "contacts:EmailAddress[", "PhoneNumbers": "contacts:PhoneNumber["}[group]
	open := false
	for _, u := range slices.Sorted(maps.Keys(e.props)) {
		if key, ok := strings.CutPrefix(u, base); ok && slices.Contains(want, u) {
			if !open {
				b.WriteString("<t:" + group + ">")
				open = true
			}
			b.WriteString(`<t:Entry Key="` + strings.TrimSuffix(key, "]") + `">` + esc(e.props[u]) + "</t:Entry>")
		}
	}
	if open {
		b.WriteString("</t:" + group + ">")
	}
}

func (e *entry) places(b *strings.Builder, want []string) {
	open := false
	for _, name := range []string{"Street", "City", "State", "CountryOrRegion", "PostalCode"} {
		u := "contacts:PhysicalAddress:" + name + "[Business]"
		if v, ok := e.props[u]; ok && slices.Contains(want, u) {
			if !open {
				b.WriteString(`<t:PhysicalAddresses><t:Entry Key="Business">`)
				open = true
			}
			b.WriteString("<t:" + name + ">" + esc(v) + "</t:" + name + ">")
		}
	}
	if open {
		b.WriteString("</t:Entry></t:PhysicalAddresses>")
	}
}

// sync answers with what changed since a state, newest first.
func (s *Server) sync(box *mailbox, op *node) ([]string, *problem) {
	kind, ok := kindOf(op.at("SyncFolderId"))
	if !ok {
		return []string{wrong(op, &problem{code: "ErrorFolderNotFound"})}, nil
	}
	want, p := shape(kind, op.at("ItemShape"))
	if p != nil {
		return nil, p
	}
	limit, err := strconv.Atoi(op.text("MaxChangesReturned"))
	if err != nil || limit < 1 || limit > 512 {
		return nil, schemaProblem()
	}
	limit = min(limit, s.o.PageSize)
	var epoch, since, to, at int
	state := op.text("SyncState")
	if state != "" {
		b, err := base64.StdEncoding.DecodeString(state)
		if n, _ := fmt.Sscanf(string(b), "%d %d %d %d", &epoch, &since, &to, &at); err != nil || n != 4 || epoch != s.epoch {
			return []string{wrong(op, &problem{code: "ErrorInvalidSyncStateData"})}, nil
		}
	}
	if at == 0 { // a new round, from the newest back to where the last one began
		to = s.serial
		at = to + 1
	}
	var rows []*entry
	for _, e := range box.folders[kind].entries {
		if e.seq > since && e.seq < at {
			rows = append(rows, e)
		}
	}
	slices.SortFunc(rows, func(a, b *entry) int { return b.seq - a.seq })
	more := len(rows) > limit
	if more {
		rows = rows[:limit]
	}
	var b strings.Builder
	for _, e := range rows {
		at = e.seq
		switch {
		case e.gone && since == 0:
		case e.gone:
			b.WriteString(`<t:Delete><t:ItemId Id="` + esc(e.id) + `" ChangeKey="` + esc(e.changeKey()) + `"/></t:Delete>`)
		case e.born > since:
			b.WriteString("<t:Create>" + e.show(kind, want) + "</t:Create>")
		default:
			b.WriteString("<t:Update>" + e.show(kind, want) + "</t:Update>")
		}
	}
	next := fmt.Sprintf("%d %d %d %d", s.epoch, since, to, at)
	if !more {
		next = fmt.Sprintf("%d %d 0 0", s.epoch, max(to, 1))
	}
	return []string{right(op, "<m:SyncState>"+base64.StdEncoding.EncodeToString([]byte(next))+"</m:SyncState><m:IncludesLastItemInRange>"+strconv.FormatBool(!more)+
		"</m:IncludesLastItemInRange><m:Changes>"+b.String()+"</m:Changes>")}, nil
}

func (s *Server) get(box *mailbox, op *node) ([]string, *problem) {
	var out []string
	ids := op.at("ItemIds")
	if ids == nil || len(ids.Nodes) == 0 {
		return nil, schemaProblem()
	}
	for i := range ids.Nodes {
		e, kind := box.find(ids.Nodes[i].attr("Id"))
		want, p := shape(kind, op.at("ItemShape"))
		switch {
		case e == nil && len(ids.Nodes[i].attr("Id")) < 40:
			out = append(out, wrong(op, &problem{code: "ErrorInvalidIdMalformed"}))
		case e == nil:
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
		case p != nil:
			out = append(out, wrong(op, p))
		default:
			out = append(out, right(op, "<m:Items>"+e.show(kind, want)+"</m:Items>"))
		}
	}
	return out, nil
}

func (s *Server) list(box *mailbox, op *node) ([]string, *problem) {
	kind, ok := kindOf(op.at("ParentFolderIds"))
	want, p := shape(kind, op.at("ItemShape"))
	view := op.at("IndexedPageItemView")
	if !ok || p != nil || view == nil || op.attr("Traversal") != "Shallow" {
		return nil, schemaProblem()
	}
	n, err1 := strconv.Atoi(view.attr("MaxEntriesReturned"))
	offset, err2 := strconv.Atoi(view.attr("Offset"))
	if err1 != nil || err2 != nil || n < 1 || offset < 0 {
		return nil, schemaProblem()
	}
	n = min(n, s.o.PageSize)
	f := box.folders[kind]
	var rows []*entry
	filter := op.at("Restriction", "IsEqualTo")
	for _, id := range f.order {
		e := f.entries[id]
		if e.gone {
			continue
		}
		if filter != nil && (len(filter.Nodes) != 2 || !strings.EqualFold(e.props[filter.Nodes[0].uri()], filter.Nodes[1].at("Constant").attr("Value"))) {
			continue
		}
		rows = append(rows, e)
	}
	to := min(offset+n, len(rows))
	var b strings.Builder
	for _, e := range rows[min(offset, len(rows)):to] {
		b.WriteString(e.show(kind, want))
	}
	return []string{right(op, fmt.Sprintf(`<m:RootFolder IndexedPagingOffset="%d" TotalItemsInView="%d" IncludesLastItemInRange="%t"><t:Items>%s</t:Items></m:RootFolder>`,
		to, len(rows), to >= len(rows), b.String()))}, nil
}

func (s *Server) create(box *mailbox, op *node) ([]string, *problem) {
	list := op.at("Items")
	if list == nil {
		return nil, schemaProblem()
	}
	var out []string
	for i := range list.Nodes {
		n := &list.Nodes[i]
		f := box.folders[n.name()]
		if f == nil {
			return nil, schemaProblem()
		}
		props := map[string]string{}
		if n.name() == "CalendarItem" {
			switch op.attr("SendMeetingInvitations") {
			case "SendToNone", "SendOnlyToAll", "SendToAllAndSaveCopy":
			default:
				return nil, &problem{code: "ErrorSendMeetingInvitationsRequired"}
			}
			s.serial++
			props["calendar:UID"] = fmt.Sprintf("040000008200E00074C5B7101A82E008%08X", s.serial)
			props["calendar:Organizer"], props["calendar:IsCancelled"] = box.address, "false"
			props["item:Sensitivity"], props["calendar:LegacyFreeBusyStatus"] = "Normal", "Busy"
		}
		p := take(n, props)
		if p == nil {
			p = check(n.name(), props)
		}
		if p != nil {
			out = append(out, wrong(op, p))
			continue
		}
		e := s.insert(f, props)
		if op.attr("SendMeetingInvitations") != "SendToNone" {
			s.fanOut("invitation", box, e)
		}
		out = append(out, right(op, "<m:Items><t:"+n.name()+`><t:ItemId Id="`+esc(e.id)+`" ChangeKey="`+esc(e.changeKey())+`"/></t:`+n.name()+"></m:Items>"))
	}
	return out, nil
}

func (s *Server) update(box *mailbox, op *node) ([]string, *problem) {
	list := op.at("ItemChanges")
	if list == nil {
		return nil, schemaProblem()
	}
	var out []string
	for i := range list.Nodes {
		id := list.Nodes[i].at("ItemId")
		if id == nil || list.Nodes[i].at("Updates") == nil {
			return nil, schemaProblem()
		}
		e, kind := box.find(id.attr("Id"))
		switch {
		case e == nil:
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
			continue
		case kind == "CalendarItem" && op.attr("SendMeetingInvitationsOrCancellations") == "":
			return nil, &problem{code: "ErrorSendMeetingInvitationsOrCancellationsRequired"}
		case id.attr("ChangeKey") != e.changeKey() && op.attr("ConflictResolution") != "AlwaysOverwrite":
			out = append(out, wrong(op, &problem{code: "ErrorIrresolvableConflict"}))
			continue
		}
		props := maps.Clone(e.props)
		p := s.apply(kind, list.Nodes[i].at("Updates"), props)
		if p == nil {
			p = check(kind, props)
		}
		if p != nil {
			out = append(out, wrong(op, p))
			continue
		}
		e.props = props
		s.touch(e)
		if kind == "CalendarItem" && op.attr("SendMeetingInvitationsOrCancellations") != "SendToNone" {
			s.fanOut("update", box, e)
		}
		out = append(out, right(op, "<m:Items><t:"+kind+`><t:ItemId Id="`+esc(e.id)+`" ChangeKey="`+esc(e.changeKey())+`"/></t:`+kind+"></m:Items><m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>"))
	}
	return out, nil
}

func (s *Server) apply(kind string, updates *node, props map[string]string) *problem {
	for i := range updates.Nodes {
		u := &updates.Nodes[i]
		if len(u.Nodes) == 0 || !known(kind, u.Nodes[0].uri()) {
			return &problem{code: "ErrorInvalidPropertySet"}
		}
		uri := u.Nodes[0].uri()
		switch u.name() {
		case "DeleteItemField":
			if uri == "calendar:Start" || uri == "calendar:End" {
				return &problem{code: "ErrorInvalidPropertyDelete"}
			}
			delete(props, uri)
		case "SetItemField":
			set := map[string]string{}
			if len(u.Nodes) != 2 || u.Nodes[1].name() != kind {
				return schemaProblem()
			}
			if p := take(&u.Nodes[1], set); p != nil {
				return p
			}
			if _, ok := set[uri]; !ok || len(set) != 1 { // one property for one change
				return &problem{code: "ErrorUpdatePropertyMismatch"}
			}
			props[uri] = set[uri]
		default:
			return schemaProblem()
		}
	}
	return nil
}

func (s *Server) remove(box *mailbox, op *node) ([]string, *problem) {
	ids := op.at("ItemIds")
	if ids == nil || !slices.Contains([]string{"HardDelete", "SoftDelete", "MoveToDeletedItems"}, op.attr("DeleteType")) {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		e, kind := box.find(ids.Nodes[i].attr("Id"))
		if e == nil {
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
			continue
		}
		if kind == "CalendarItem" && op.attr("SendMeetingCancellations") == "" {
			return nil, &problem{code: "ErrorSendMeetingCancellationsRequired"}
		}
		s.touch(e)
		e.gone = true
		if kind == "CalendarItem" && op.attr("SendMeetingCancellations") != "SendToNone" {
			s.fanOut("cancellation", box, e)
		}
		out = append(out, right(op, ""))
	}
	return out, nil
}

func (s *Server) folder(box *mailbox, op *node) ([]string, *problem) {
	ids := op.at("FolderIds")
	if ids == nil {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		id := ids.Nodes[i].attr("Id")
		kind, ok := map[string]string{"contacts": "Contact", "calendar": "CalendarItem"}[id]
		if !ok {
			out = append(out, wrong(op, &problem{code: "ErrorFolderNotFound"}))
			continue
		}
		n := 0
		for _, e := range box.folders[kind].entries {
			if !e.gone {
				n++
			}
		}
		element := map[string]string{"Contact": "ContactsFolder", "CalendarItem": "CalendarFolder"}[kind]
		out = append(out, right(op, fmt.Sprintf(`<m:Folders><t:%s><t:FolderId Id="%s" ChangeKey="AQ=="/><t:DisplayName>%s</t:DisplayName><t:TotalCount>%d</t:TotalCount><t:ChildFolderCount>0</t:ChildFolderCount></t:%s></m:Folders>`,
			element, id, id, n, element)))
	}
	return out, nil
}

// fanOut lets attendees know: a message to each, and the meeting in the calendar
// of those who have a mailbox here.
func (s *Server) fanOut(kind string, from *mailbox, e *entry) {
	list := e.props["calendar:RequiredAttendees"]
	if list == "" || e.props["calendar:Organizer"] != from.address {
		return
	}
	for to := range strings.SplitSeq(list, "\n") {
		if strings.EqualFold(to, from.address) {
			continue
		}
		s.ledger = append(s.ledger, Message{kind, from.address, to, e.props["item:Subject"]})
		box := s.boxes[strings.ToLower(to)]
		if box == nil {
			continue
		}
		f := box.folders["CalendarItem"]
		var copied *entry
		for _, c := range f.entries {
			if c.props["calendar:UID"] == e.props["calendar:UID"] {
				copied = c
			}
		}
		switch {
		case kind == "cancellation" && copied != nil && !copied.gone:
			copied.props["calendar:IsCancelled"] = "true"
			s.touch(copied)
		case kind == "cancellation":
		case copied != nil:
			copied.props, copied.gone = maps.Clone(e.props), false
			s.touch(copied)
		default:
			s.insert(f, maps.Clone(e.props))
		}
	}
}
