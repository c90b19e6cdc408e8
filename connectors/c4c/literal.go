package c4c

import (
	"net/url"
	"strings"
)

// quote writes a text as an OData string literal ("Uri Conventions", section
// 2.2, OData V2): in single quotes, a quote in it doubled. The caller still has
// to encode it for the part of the URL where it goes.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// key writes the address of one record, relative to the service. Whatever the
// id is, it stays one segment.
func key(set, id string) string {
	return set + "('" + url.PathEscape(strings.ReplaceAll(id, "'", "''")) + "')"
}

// query writes query options in a fixed order, each value encoded so that
// nothing in it can start another option.
func query(opts ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(opts); i += 2 {
		if opts[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(opts[i])
		b.WriteByte('=')
		b.WriteString(strings.ReplaceAll(url.QueryEscape(opts[i+1]), "+", "%20"))
	}
	return b.String()
}

// anyOf writes the filter "property is one of these texts". The system allows
// "or" between comparisons of one property only.
func anyOf(property string, values []string) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = property + " eq " + quote(v)
	}
	return strings.Join(parts, " or ")
}
