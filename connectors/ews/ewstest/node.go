package ewstest

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
)

// node is an element of a request.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Nodes   []node     `xml:",any"`
	Text    string     `xml:",chardata"`
}

func (n *node) name() string { return n.XMLName.Local }

// attr returns an attribute, "" if there is none.
func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// at follows a path of element names, nil if it does not lead anywhere.
func (n *node) at(path ...string) *node {
	for _, p := range path {
		if n == nil {
			return nil
		}
		var next *node
		for i := range n.Nodes {
			if n.Nodes[i].name() == p {
				next = &n.Nodes[i]
				break
			}
		}
		n = next
	}
	return n
}

func (n *node) text(path ...string) string {
	if n = n.at(path...); n == nil {
		return ""
	}
	return n.Text
}

// uri is how a FieldURI, IndexedFieldURI or ExtendedFieldURI names a property
// here, "" for anything else.
func (n *node) uri() string {
	switch n.name() {
	case "FieldURI":
		return n.attr("FieldURI")
	case "IndexedFieldURI":
		return n.attr("FieldURI") + "[" + n.attr("FieldIndex") + "]"
	case "ExtendedFieldURI":
		if t := n.attr("PropertyTag"); t != "" {
			v, err := strconv.ParseUint(t, 0, 16)
			if err != nil || n.attr("PropertyType") == "" {
				return ""
			}
			return fmt.Sprintf("tag:0x%x", v)
		}
		set := strings.ToLower(n.attr("PropertySetId") + n.attr("DistinguishedPropertySetId"))
		if set == "" || n.attr("PropertyName")+n.attr("PropertyId") == "" || n.attr("PropertyType") == "" {
			return ""
		}
		if id, err := strconv.ParseUint(n.attr("PropertyId"), 0, 16); err == nil {
			return fmt.Sprintf("ext:%s:%d", set, id)
		}
		return "ext:" + set + ":" + n.attr("PropertyName")
	}
	return ""
}

// write writes the element as an answer has it.
func (n *node) write() string {
	var b strings.Builder
	b.WriteString("<t:" + n.name())
	for _, a := range n.Attrs {
		if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" {
			b.WriteString(" " + a.Name.Local + `="` + esc(a.Value) + `"`)
		}
	}
	b.WriteString(">" + n.inner() + "</t:" + n.name() + ">")
	return b.String()
}

// inner writes what is in the element.
func (n *node) inner() string {
	if len(n.Nodes) == 0 {
		return esc(n.Text)
	}
	var b strings.Builder
	for i := range n.Nodes {
		b.WriteString(n.Nodes[i].write())
	}
	return b.String()
}

func esc(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}
