package ewstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// named is the folder that an element holds the id of, nil if there is none.
func (m *mailbox) named(n *node) *folder {
	if n == nil {
		return nil
	}
	for i := range n.Nodes {
		if c := &n.Nodes[i]; c.name() == "DistinguishedFolderId" || c.name() == "FolderId" {
			if f := m.folder(c.attr("Id")); f != nil && (c.name() == "FolderId") == (f.id == c.attr("Id")) {
				return f
			}
		}
	}
	return nil
}

// show writes a folder with the MAPI properties that were asked for.
func (m *mailbox) show(f *folder, shape *node) (string, *problem) {
	n, children := 0, 0
	changed := time.Unix(0, 0).UTC()
	for _, e := range f.entries {
		if !e.gone {
			n++
		}
		if e.modified.After(changed) {
			changed = e.modified
		}
	}
	for _, c := range m.folders {
		if c.parent == f.id {
			children++
		}
	}
	var extended strings.Builder
	if shape != nil && shape.at("AdditionalProperties") != nil {
		for i := range shape.at("AdditionalProperties").Nodes {
			u := &shape.at("AdditionalProperties").Nodes[i]
			v := ""
			switch u.uri() { // MS-OXPROPS
			case "folder:DisplayName", "folder:ParentFolderId", "folder:TotalCount", "folder:FolderClass", "folder:ChildFolderCount", "tag:0x10f3", "tag:0x6752", "tag:0x3008":
			case "tag:0x3613":
				v = f.class
			case "tag:0x670a":
				v = fmt.Sprintf("%s.%03dZ", changed.Format("2006-01-02T15:04:05"), len(f.entries)%1000)
			case "tag:0x3602":
				v = strconv.Itoa(n)
			case "tag:0x3603":
				v = "0"
			case "tag:0x360a":
				v = strconv.FormatBool(children > 0)
			case "tag:0x6751":
				v = strconv.Itoa(len(f.order) + 1)
			default:
				return "", &problem{code: "ErrorSchemaValidation", more: "folder property " + u.uri()}
			}
			if v != "" {
				extended.WriteString("<t:ExtendedProperty>" + u.write() + "<t:Value>" + esc(v) + "</t:Value></t:ExtendedProperty>")
			}
		}
	}
	element := map[string]string{"IPF.Contact": "ContactsFolder", "IPF.Appointment": "CalendarFolder", "IPF.Task": "TasksFolder"}[f.class]
	if element == "" {
		element = "Folder"
	}
	return fmt.Sprintf(`<t:%s><t:FolderId Id="%s" ChangeKey="AQ=="/><t:ParentFolderId Id="%s" ChangeKey="AQ=="/><t:FolderClass>%s</t:FolderClass><t:DisplayName>%s</t:DisplayName><t:TotalCount>%d</t:TotalCount>`+
		`<t:ChildFolderCount>%d</t:ChildFolderCount>%s</t:%s>`, element, f.id, f.parent, f.class, esc(f.display), n, children, extended.String(), element), nil
}

func (s *Server) getFolder(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "FolderIds", func(id *node) (string, *problem) {
		f := box.named(&node{Nodes: []node{*id}})
		if f == nil {
			return wrong(op, &problem{code: "ErrorFolderNotFound"}), nil
		}
		shown, p := box.show(f, op.at("FolderShape"))
		if p != nil {
			return "", p
		}
		return right(op, "<m:Folders>"+shown+"</m:Folders>"), nil
	})
}

func (s *Server) findFolder(box *mailbox, op *node) ([]string, *problem) {
	in := box.named(op.at("ParentFolderIds"))
	if in == nil {
		return []string{wrong(op, &problem{code: "ErrorFolderNotFound"})}, nil
	}
	var b strings.Builder
	n := 0
	for _, f := range box.folders {
		if f.parent != in.id && !(op.attr("Traversal") == "Deep" && f.parent != "") {
			continue
		}
		if r := op.at("Restriction"); r != nil && len(r.Nodes) == 1 {
			like := &entry{in: f, props: map[string]string{"folder:DisplayName": f.display, "tag:0x3613": f.class}}
			ok, known := like.match(&r.Nodes[0])
			if !known {
				return nil, &problem{code: "ErrorSchemaValidation", more: "Restriction " + r.Nodes[0].name()}
			}
			if !ok {
				continue
			}
		}
		n++
		shown, p := box.show(f, op.at("FolderShape"))
		if p != nil {
			return nil, p
		}
		b.WriteString(shown)
	}
	return []string{right(op, fmt.Sprintf(`<m:RootFolder TotalItemsInView="%d" IncludesLastItemInRange="true" IndexedPagingOffset="%d"><t:Folders>%s</t:Folders></m:RootFolder>`, n, n, b.String()))}, nil
}

// convertID writes ids in another form; the mailbox comes along.
func (s *Server) convertID(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "SourceIds", func(id *node) (string, *problem) {
		return right(op, fmt.Sprintf(`<m:AlternateId xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="t:AlternateIdType" Format="%s" Id="%s" Mailbox="%s"/>`,
			esc(op.attr("DestinationFormat")), esc(id.attr("Id")), esc(box.address))), nil
	})
}

// configuration is what people have chosen in the web client: their zone.
func (s *Server) configuration(op *node) ([]string, *problem) {
	n := op.at("UserConfigurationName")
	if n == nil {
		return nil, schemaProblem()
	}
	if n.attr("Name") != "OWA.UserOptions" {
		return []string{wrong(op, &problem{code: "ErrorItemNotFound"})}, nil
	}
	return []string{right(op, `<m:UserConfiguration><t:UserConfigurationName Name="OWA.UserOptions"><t:DistinguishedFolderId Id="root"/></t:UserConfigurationName><t:Dictionary><t:DictionaryEntry>`+
		`<t:DictionaryKey><t:Type>String</t:Type><t:Value>timezone</t:Value></t:DictionaryKey><t:DictionaryValue><t:Type>String</t:Type><t:Value>UTC</t:Value></t:DictionaryValue>`+
		`</t:DictionaryEntry></t:Dictionary></m:UserConfiguration>`)}, nil
}

func (s *Server) createFolder(box *mailbox, op *node) ([]string, *problem) {
	in, list := box.named(op.at("ParentFolderId")), op.at("Folders")
	if list == nil {
		return nil, schemaProblem()
	}
	if in == nil {
		return []string{wrong(op, &problem{code: "ErrorParentFolderNotFound"})}, nil
	}
	var out []string
	for i := range list.Nodes {
		n := &list.Nodes[i]
		f := &folder{display: n.text("DisplayName"), class: n.text("FolderClass"), parent: in.id, entries: map[string]*entry{}}
		if x := n.at("ExtendedProperty"); x != nil && len(x.Nodes) == 2 && x.Nodes[0].uri() == "tag:0x3613" {
			f.class = x.Nodes[1].Text
		}
		for _, o := range box.folders {
			if o.parent == in.id && o.display == f.display {
				f.display = ""
			}
		}
		if f.display == "" {
			out = append(out, wrong(op, &problem{code: "ErrorFolderExists"}))
			continue
		}
		s.serial++
		f.id = opaque("folder", box.address, s.serial)
		box.folders = append(box.folders, f)
		out = append(out, right(op, `<m:Folders><t:`+n.name()+`><t:FolderId Id="`+f.id+`" ChangeKey="AQ=="/></t:`+n.name()+`></m:Folders>`))
	}
	return out, nil
}

func (s *Server) deleteFolder(box *mailbox, op *node) ([]string, *problem) {
	return each(op, "FolderIds", func(id *node) (string, *problem) {
		f := box.named(&node{Nodes: []node{*id}})
		switch {
		case f == nil:
			return wrong(op, &problem{code: "ErrorFolderNotFound"}), nil
		case f.name != "": // every mailbox has it
			return wrong(op, &problem{code: "ErrorDeleteDistinguishedFolder"}), nil
		}
		box.folders = slices.DeleteFunc(box.folders, func(o *folder) bool { return o == f })
		return right(op, ""), nil
	})
}
