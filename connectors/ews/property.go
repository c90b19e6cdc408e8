package ews

import (
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// property is one property of an item as the protocol writes it. A list of them
// is in the order of the schema ("types.xsd"), in which elements must come.
type property struct {
	field connectors.Field // the field it belongs to
	path  string           // of a FieldURI or IndexedFieldURI
	index string           // of an IndexedFieldURI
	tag   string           // of a MAPI property, as in 0x3A45
	open  string           // elements around it, which neighbours share
	close string
	value func(*connectors.Record) string // its element, "" for none
}

// uri names the property in a request.
func (p property) uri() string {
	switch {
	case p.tag != "":
		return `<t:ExtendedFieldURI PropertyTag="` + p.tag + `" PropertyType="String"/>`
	case p.index != "":
		return `<t:IndexedFieldURI FieldURI="` + p.path + `" FieldIndex="` + p.index + `"/>`
	}
	return `<t:FieldURI FieldURI="` + p.path + `"/>`
}

// write is the property as the only one of an item, "" if it is to be removed.
func (p property) write(r *connectors.Record) string {
	if v := p.value(r); v != "" {
		return p.open + v + p.close
	}
	return ""
}

// whole is a new item with all its properties: those that every item has, then
// extended ones and among them the key, then those of its kind.
func (s session) whole(r *connectors.Record, key string) string {
	var items, extended, own strings.Builder
	open, end := "", ""
	for _, p := range s.s.fields {
		v := p.value(r)
		switch {
		case v == "":
		case strings.HasPrefix(p.path, "item:"):
			items.WriteString(v)
		case p.tag != "":
			extended.WriteString(v)
		default:
			if p.open != open {
				own.WriteString(end + p.open)
				open, end = p.open, p.close
			}
			own.WriteString(v)
		}
	}
	return items.String() + key + extended.String() + own.String() + end
}

// element is a property with a text of its own.
func element(f connectors.Field, path, name string) property {
	return property{field: f, path: path, value: func(r *connectors.Record) string { return tagged(name, r.Text(f)) }}
}

func tagged(name, text string) string {
	if text == "" {
		return ""
	}
	return "<t:" + name + ">" + esc(text) + "</t:" + name + ">"
}
