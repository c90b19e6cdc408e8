package ewstest

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

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
	case "MoveItem":
		return s.moveItem(box, op)
	case "GetAttachment":
		return s.getAttachment(box, op)
	case "CreateAttachment":
		return s.createAttachment(box, op)
	case "DeleteAttachment":
		return s.deleteAttachment(box, op)
	case "GetFolder":
		return s.getFolder(box, op)
	case "FindFolder":
		return s.findFolder(box, op)
	case "CreateFolder":
		return s.createFolder(box, op)
	case "DeleteFolder":
		return s.deleteFolder(box, op)
	case "ConvertId":
		return s.convertID(box, op)
	case "GetUserConfiguration":
		return s.configuration(op)
	case "GetUserPhoto": // of Exchange 2013: this one has never heard of it
		return nil, &problem{code: "ErrorInvalidRequest"}
	}
	return nil, schemaProblem()
}

// sync answers with what changed since a state, newest first.
func (s *Server) sync(box *mailbox, op *node) ([]string, *problem) {
	f := box.named(op.at("SyncFolderId"))
	if f == nil {
		return []string{wrong(op, &problem{code: "ErrorFolderNotFound"})}, nil
	}
	want, p := s.shape(op.at("ItemShape"))
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
	for _, e := range f.entries {
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
			b.WriteString("<t:Create>" + e.show(want) + "</t:Create>")
		default:
			b.WriteString("<t:Update>" + e.show(want) + "</t:Update>")
		}
	}
	next := fmt.Sprintf("%d %d %d %d", s.epoch, since, to, at)
	if !more {
		next = fmt.Sprintf("%d %d 0 0", s.epoch, max(to, 1))
	}
	return []string{right(op, "<m:SyncState>"+base64.StdEncoding.EncodeToString([]byte(next))+"</m:SyncState><m:IncludesLastItemInRange>"+strconv.FormatBool(!more)+
		"</m:IncludesLastItemInRange><m:Changes>"+b.String()+"</m:Changes>")}, nil
}

// each answers for every id of a list by itself. A list that is missing or empty is
// wrong, and so is everything if one answer says so.
func each(op *node, list string, answer func(id *node) (string, *problem)) ([]string, *problem) {
	ids := op.at(list)
	if ids == nil || len(ids.Nodes) == 0 {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		a, p := answer(&ids.Nodes[i])
		if p != nil {
			return nil, p
		}
		out = append(out, a)
	}
	return out, nil
}

func (s *Server) get(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "ItemIds", func(id *node) (string, *problem) {
		e := box.find(id.attr("Id"))
		want, p := s.shape(op.at("ItemShape"))
		switch {
		case e == nil && len(id.attr("Id")) < 40:
			return wrong(op, &problem{code: "ErrorInvalidIdMalformed"}), nil
		case e == nil:
			return wrong(op, &problem{code: "ErrorItemNotFound"}), nil
		case p != nil:
			return wrong(op, p), nil
		}
		return right(op, "<m:Items>"+e.show(want)+"</m:Items>"), nil
	})
}

func (s *Server) list(box *mailbox, op *node) ([]string, *problem) {
	f := box.named(op.at("ParentFolderIds"))
	want, p := s.shape(op.at("ItemShape"))
	view := op.at("IndexedPageItemView")
	if p != nil {
		return nil, p
	}
	if t := op.attr("Traversal"); t != "Shallow" && t != "Associated" {
		return nil, schemaProblem()
	}
	if f == nil {
		return []string{wrong(op, &problem{code: "ErrorFolderNotFound"})}, nil
	}
	n, offset := s.o.PageSize, 0
	if view != nil {
		var err1, err2 error
		n, err1 = strconv.Atoi(view.attr("MaxEntriesReturned"))
		offset, err2 = strconv.Atoi(view.attr("Offset"))
		if err1 != nil || err2 != nil || n < 1 || offset < 0 {
			return nil, schemaProblem()
		}
	}
	n = min(n, s.o.PageSize)
	var rows []*entry
	for _, id := range f.order {
		e := f.entries[id]
		if e.gone || op.attr("Traversal") == "Associated" {
			continue
		}
		if r := op.at("Restriction"); r != nil {
			if len(r.Nodes) != 1 {
				return nil, schemaProblem()
			}
			ok, known := e.match(&r.Nodes[0])
			if !known {
				return nil, &problem{code: "ErrorSchemaValidation", more: "Restriction " + r.Nodes[0].name()}
			}
			if !ok {
				continue
			}
		}
		rows = append(rows, e)
	}
	to := min(offset+n, len(rows))
	var b strings.Builder
	for _, e := range rows[min(offset, len(rows)):to] {
		b.WriteString(e.show(want))
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
		if !slices.Contains([]string{"Contact", "CalendarItem", "Task", "Message"}, n.name()) {
			return nil, &problem{code: "ErrorSchemaValidation", more: n.name()}
		}
		f := box.folder(home(n.name()))
		if to := op.at("SavedItemFolderId"); to != nil {
			f = box.named(to)
		}
		if f == nil {
			out = append(out, wrong(op, &problem{code: "ErrorFolderNotFound"}))
			continue
		}
		props, exts := map[string]string{}, map[string]string{}
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
			props["item:ReminderIsSet"], props["item:ReminderMinutesBeforeStart"] = "true", "15" // unless the request says otherwise
		}
		if n.name() == "Task" {
			props["task:Status"], props["task:PercentComplete"] = "NotStarted", "0"
		}
		if n.name() == "Message" && op.attr("MessageDisposition") != "SaveOnly" { // sending is for people
			return nil, &problem{code: "ErrorSchemaValidation", more: "MessageDisposition"}
		}
		p := take(n, props, exts)
		settle(n.name(), props)
		fromMIME(props)
		if p == nil {
			p = check(n.name(), props)
		}
		if p != nil {
			s.note(p)
			out = append(out, wrong(op, p))
			continue
		}
		e := s.insert(f, n.name(), props)
		e.exts = exts
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
		e := box.find(id.attr("Id"))
		if e == nil {
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
			continue
		}
		kind := e.kind
		switch {
		case kind == "CalendarItem" && op.attr("SendMeetingInvitationsOrCancellations") == "":
			return nil, &problem{code: "ErrorSendMeetingInvitationsOrCancellationsRequired"}
		case id.attr("ChangeKey") != e.changeKey() && op.attr("ConflictResolution") != "AlwaysOverwrite":
			out = append(out, wrong(op, &problem{code: "ErrorIrresolvableConflict"}))
			continue
		}
		props, exts := maps.Clone(e.props), maps.Clone(e.exts)
		p := s.apply(kind, list.Nodes[i].at("Updates"), props, exts)
		if p == nil {
			p = check(kind, props)
		}
		if p != nil {
			s.note(p)
			out = append(out, wrong(op, p))
			continue
		}
		e.props, e.exts = props, exts
		s.touch(e)
		if kind == "CalendarItem" && op.attr("SendMeetingInvitationsOrCancellations") != "SendToNone" {
			s.fanOut("update", box, e)
		}
		out = append(out, right(op, "<m:Items><t:"+kind+`><t:ItemId Id="`+esc(e.id)+`" ChangeKey="`+esc(e.changeKey())+`"/></t:`+kind+"></m:Items><m:ConflictResults><t:Count>0</t:Count></m:ConflictResults>"))
	}
	return out, nil
}

func (s *Server) apply(kind string, updates *node, props, exts map[string]string) *problem {
	for i := range updates.Nodes {
		u := &updates.Nodes[i]
		if len(u.Nodes) == 0 || !known(u.Nodes[0].uri()) {
			return &problem{code: "ErrorInvalidPropertySet"}
		}
		uri := u.Nodes[0].uri()
		switch u.name() {
		case "DeleteItemField":
			switch uri {
			case "calendar:Start", "calendar:End", "task:Status", "task:PercentComplete", "item:ReminderIsSet", "item:ReminderDueBy", "item:Importance", "item:Sensitivity":
				return &problem{code: "ErrorInvalidPropertyDelete"}
			case "item:Body":
				delete(props, "html")
			}
			if of, _ := alias(kind, uri); of != "" {
				delete(props, of)
			}
			delete(props, uri)
			delete(exts, uri)
		case "SetItemField":
			set := map[string]string{}
			if len(u.Nodes) != 2 || u.Nodes[1].name() != kind {
				return schemaProblem()
			}
			if p := take(&u.Nodes[1], set, exts); p != nil {
				return p
			}
			delete(props, "html")
			if set["html"] != "" {
				props["html"] = "true"
			}
			delete(set, "html")
			for _, k := range []string{"task:Status", "task:PercentComplete"} { // what follows from another
				if k != uri {
					delete(set, k)
				}
			}
			if _, ok := set[uri]; !ok || len(set) != 1 { // one property for one change
				return &problem{code: "ErrorUpdatePropertyMismatch"}
			}
			props[uri] = set[uri]
			settle(kind, props)
			finish(uri, props)
			if uri == "item:MimeContent" {
				fromMIME(props)
			}
		default:
			return schemaProblem()
		}
	}
	return nil
}

// note remembers what nobody here knew.
func (s *Server) note(p *problem) {
	if p.code == "ErrorSchemaValidation" || p.code == "ErrorInvalidPropertySet" {
		s.unknown = append(s.unknown, p.code+" "+p.more)
		p.more = ""
	}
}

func (s *Server) remove(box *mailbox, op *node) ([]string, *problem) {
	ids := op.at("ItemIds")
	if ids == nil || !slices.Contains([]string{"HardDelete", "SoftDelete", "MoveToDeletedItems"}, op.attr("DeleteType")) {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		e := box.find(ids.Nodes[i].attr("Id"))
		switch {
		case e == nil:
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
			continue
		case e.kind == "CalendarItem" && op.attr("SendMeetingCancellations") == "":
			return nil, &problem{code: "ErrorSendMeetingCancellationsRequired"}
		case e.kind == "Task" && op.attr("AffectedTaskOccurrences") == "":
			return nil, &problem{code: "ErrorAffectedTaskOccurrencesRequired"}
		}
		if op.attr("DeleteType") == "MoveToDeletedItems" {
			s.move(e, box.folder("deleteditems"))
		} else {
			s.touch(e)
			e.gone = true
		}
		if e.kind == "CalendarItem" && op.attr("SendMeetingCancellations") != "SendToNone" {
			s.fanOut("cancellation", box, e)
		}
		out = append(out, right(op, ""))
	}
	return out, nil
}

func (s *Server) moveItem(box *mailbox, op *node) ([]string, *problem) {
	ids, to := op.at("ItemIds"), box.named(op.at("ToFolderId"))
	if ids == nil {
		return nil, schemaProblem()
	}
	if to == nil {
		return []string{wrong(op, &problem{code: "ErrorFolderNotFound"})}, nil
	}
	var out []string
	for i := range ids.Nodes {
		e := box.find(ids.Nodes[i].attr("Id"))
		if e == nil {
			out = append(out, wrong(op, &problem{code: "ErrorItemNotFound"}))
			continue
		}
		n := s.move(e, to)
		out = append(out, right(op, "<m:Items><t:"+n.kind+`><t:ItemId Id="`+esc(n.id)+`" ChangeKey="`+esc(n.changeKey())+`"/></t:`+n.kind+"></m:Items>"))
	}
	return out, nil
}
