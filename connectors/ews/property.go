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
	ext   string           // ExtendedFieldURI of a property that is in no schema
	keep  bool             // is never removed: what replaces it says so
	open  string           // elements around it, which neighbours share
	close string
	value func(*connectors.Record) string // its element, "" for none
}

// uri names the property in a request.
func (p property) uri() string {
	switch {
	case p.ext != "":
		return p.ext
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
			items.WriteString(p.open + v + p.close)
		case p.ext != "":
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

// extended is a property that is in no schema, with a text of its own.
func extended(f connectors.Field, uri string, value func(*connectors.Record) string) property {
	return property{field: f, ext: uri, value: func(r *connectors.Record) string {
		v := value(r)
		if v == "" {
			return ""
		}
		return "<t:ExtendedProperty>" + uri + "<t:Value>" + esc(v) + "</t:Value></t:ExtendedProperty>"
	}}
}

func categoriesProperty() property {
	return property{field: connectors.FieldCategories, path: "item:Categories", open: "<t:Categories>", close: "</t:Categories>", value: func(r *connectors.Record) string {
		var b strings.Builder
		for _, c := range r.Categories() {
			b.WriteString("<t:String>" + esc(c) + "</t:String>")
		}
		return b.String()
	}}
}

// Values that both sides know, in the order of the constants.
func sensitivities() []string { return []string{"Normal", "Private", "Confidential"} }
func importances() []string   { return []string{"Normal", "High", "Low"} }

func sensitivityProperty(of func(*connectors.Record) connectors.Sensitivity) property {
	return property{field: connectors.FieldSensitivity, path: "item:Sensitivity", value: func(r *connectors.Record) string {
		return tagged("Sensitivity", pick(sensitivities(), int(of(r))))
	}}
}

// pick is one of some values, the first for what is none.
func pick(values []string, i int) string {
	if i < 0 || i >= len(values) {
		return values[0]
	}
	return values[i]
}

// index is the inverse of pick.
func index[T ~uint8](values []string, v string) T {
	for i := range values {
		if values[i] == v {
			return T(i) //nolint:gosec // a handful
		}
	}
	return 0
}

func yes(v bool) string {
	if v {
		return "true"
	}
	return "false"
}
