package ewstest

import (
	"fmt"
	"strings"
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

// show writes a folder.
func (m *mailbox) show(f *folder) string {
	n, children := 0, 0
	for _, e := range f.entries {
		if !e.gone {
			n++
		}
	}
	for _, c := range m.folders {
		if c.parent == f.id {
			children++
		}
	}
	element := map[string]string{"IPF.Contact": "ContactsFolder", "IPF.Appointment": "CalendarFolder", "IPF.Task": "TasksFolder"}[f.class]
	if element == "" {
		element = "Folder"
	}
	return fmt.Sprintf(`<t:%s><t:FolderId Id="%s" ChangeKey="AQ=="/><t:ParentFolderId Id="%s" ChangeKey="AQ=="/><t:FolderClass>%s</t:FolderClass><t:DisplayName>%s</t:DisplayName><t:TotalCount>%d</t:TotalCount>`+
		`<t:ChildFolderCount>%d</t:ChildFolderCount></t:%s>`, element, f.id, f.parent, f.class, esc(f.display), n, children, element)
}

func (s *Server) getFolder(box *mailbox, op *node) ([]string, *problem) {
	ids := op.at("FolderIds")
	if ids == nil || len(ids.Nodes) == 0 {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		f := box.named(&node{Nodes: ids.Nodes[i : i+1]})
		if f == nil {
			out = append(out, wrong(op, &problem{code: "ErrorFolderNotFound"}))
			continue
		}
		out = append(out, right(op, "<m:Folders>"+box.show(f)+"</m:Folders>"))
	}
	return out, nil
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
		n++
		b.WriteString(box.show(f))
	}
	return []string{right(op, fmt.Sprintf(`<m:RootFolder TotalItemsInView="%d" IncludesLastItemInRange="true" IndexedPagingOffset="%d"><t:Folders>%s</t:Folders></m:RootFolder>`, n, n, b.String()))}, nil
}

// convertID writes ids in another form; the mailbox comes along.
func (s *Server) convertID(box *mailbox, op *node) ([]string, *problem) {
	ids := op.at("SourceIds")
	if ids == nil || len(ids.Nodes) == 0 {
		return nil, schemaProblem()
	}
	var out []string
	for i := range ids.Nodes {
		out = append(out, right(op, fmt.Sprintf(`<m:AlternateId xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="t:AlternateIdType" Format="%s" Id="%s" Mailbox="%s"/>`,
			esc(op.attr("DestinationFormat")), esc(ids.Nodes[i].attr("Id")), esc(box.address))))
	}
	return out, nil
}
