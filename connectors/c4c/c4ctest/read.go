package c4ctest

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are the query options of one reading.
type options struct {
	filter    node
	order     []ordering
	top, skip int // -1: none
	token     int
	sel, exp  []string
	count     bool
	raw       url.Values
}

type ordering struct {
	prop property
	desc bool
}

func (s *Server) options(set *entitySet, query string) (options, *failure) {
	o := options{top: -1, skip: -1, token: 1}
	v, err := url.ParseQuery(query)
	if err != nil {
		return o, bad("Query cannot be read")
	}
	o.raw = v
	number := func(t string, least int) (int, *failure) {
		n, err := strconv.Atoi(t)
		if err != nil || n < least {
			return 0, bad("Invalid number in a query option")
		}
		return n, nil
	}
	for name, vals := range v {
		var f *failure
		if len(vals) != 1 {
			return o, bad("Query option %s is there twice", name)
		}
		t := vals[0]
		switch name {
		case "$format":
			if t != "json" {
				f = bad("Format is not emulated")
			}
		case "$filter":
			o.filter, f = parseFilter(set, t)
		case "$orderby":
			for _, x := range strings.Split(t, ",") {
				n, dir, _ := strings.Cut(strings.TrimSpace(x), " ")
				p, ok := set.props[n]
				if !ok || p.nav != "" || dir != "" && dir != "asc" && dir != "desc" {
					return o, bad("Cannot order by %s", n)
				}
				o.order = append(o.order, ordering{p, dir == "desc"})
			}
		case "$top":
			o.top, f = number(t, 0)
		case "$skip":
			o.skip, f = number(t, 0)
		case "$skiptoken":
			o.token, f = number(t, 1)
		case "$select":
			o.sel = strings.Split(t, ",")
			for _, n := range o.sel {
				if _, ok := set.props[n]; !ok {
					return o, bad("Property %s is invalid", n)
				}
			}
		case "$expand":
			o.exp = strings.Split(t, ",")
			for _, n := range o.exp {
				if set.props[n].nav == "" {
					return o, bad("Navigation %s is invalid", n)
				}
			}
		case "$inlinecount":
			if t != "allpages" && t != "none" {
				f = bad("Invalid $inlinecount")
			}
			o.count = t == "allpages"
		default:
			f = bad("Query option %s is not supported", name)
		}
		if f != nil {
			return o, f
		}
	}
	return o, nil
}

// read answers a GET.
func (s *Server) read(r request, set *entitySet, keyed bool, id, tail string) (answer, *failure) {
	var rows []*row
	if keyed {
		one, f := s.row(set.name, id)
		if f != nil {
			return answer{}, f
		}
		if tail == "" {
			o, f := s.options(set, r.query)
			if f != nil {
				return answer{}, f
			}
			a := jsonAnswer(200, map[string]any{"d": map[string]any{"results": s.render(r.base, set, one, o.sel, o.exp)}})
			a.header.Set("Etag", etag(one))
			return a, nil
		}
		p := set.props[tail]
		if name, ok := strings.CutSuffix(tail, "/$value"); ok {
			b, is := one.props[name].([]byte)
			if !is {
				return answer{}, &failure{404, "/IWFND/CM_MGW/001", "Resource not found"}
			}
			mime := one.text("MimeType")
			if mime == "" {
				mime = "application/octet-stream"
			}
			return answer{200, http.Header{"Content-Type": {mime}, "Content-Length": {strconv.Itoa(len(b))}}, b}, nil
		}
		if p.nav == "" {
			return answer{}, &failure{404, "/IWFND/CM_MGW/001", "Resource not found"}
		}
		set, rows, tail = s.model[p.nav], s.children(p.nav, id), ""
	} else {
		t := s.sets[set.name]
		rows = make([]*row, 0, len(t.order))
		for _, id := range t.order {
			rows = append(rows, t.rows[id])
		}
	}
	o, f := s.options(set, r.query)
	if f != nil {
		return answer{}, f
	}
	if o.filter != nil {
		rows = slices.DeleteFunc(rows, func(r *row) bool { return !o.filter.match(r) })
	}
	if len(o.order) > 0 {
		slices.SortStableFunc(rows, func(a, b *row) int {
			for _, x := range o.order {
				c := compare(a.props[x.prop.name], b.props[x.prop.name])
				if x.desc {
					c = -c
				}
				if c != 0 {
					return c
				}
			}
			return 0
		})
	}
	if tail == "$count" {
		return answer{200, http.Header{"Content-Type": {"text/plain"}}, []byte(strconv.Itoa(len(rows)))}, nil
	}
	if tail != "" {
		return answer{}, &failure{404, "/IWFND/CM_MGW/001", "Resource not found"}
	}
	total := len(rows)
	rows = rows[min(max(o.skip, 0), len(rows)):]
	if o.top >= 0 {
		rows = rows[:min(o.top, len(rows))]
	}
	rows = rows[min(o.token-1, len(rows)):]
	page := s.page
	if len(o.exp) > 0 {
		page = min(page, 100)
	}
	d := map[string]any{}
	if len(rows) > page {
		o.raw.Set("$skiptoken", strconv.Itoa(o.token+page))
		d["__next"] = r.base + r.rel + "?" + strings.ReplaceAll(o.raw.Encode(), "+", "%20")
		rows = rows[:page]
	}
	if o.count {
		d["__count"] = strconv.Itoa(total)
	}
	out := make([]json.RawMessage, 0, len(rows))
	for _, x := range rows {
		out = append(out, s.render(r.base, set, x, o.sel, o.exp))
	}
	d["results"] = out
	return jsonAnswer(200, map[string]any{"d": d}), nil
}

// compare orders two values of one property; nothing comes first.
func compare(a, b any) int {
	switch x := a.(type) {
	case string:
		y, _ := b.(string)
		return cmp.Compare(x, y)
	case time.Time:
		y, _ := b.(time.Time)
		return x.Compare(y)
	case bool:
		y, _ := b.(bool)
		return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y))
	}
	if b == nil {
		return 0
	}
	return -compare(b, a)
}

// render writes one row as OData V2 JSON.
func (s *Server) render(base string, set *entitySet, r *row, sel, exp []string) json.RawMessage {
	uri := base + set.name + "('" + url.PathEscape(strings.ReplaceAll(r.id, "'", "''")) + "')"
	out := map[string]any{"__metadata": map[string]any{"uri": uri, "type": "c4codata." + strings.TrimSuffix(set.name, "Collection"), "etag": etag(r)}}
	for _, name := range set.order {
		if sel != nil && !slices.Contains(sel, name) {
			continue
		}
		p := set.props[name]
		if p.nav == "" {
			out[name] = p.json(r.props[name])
			continue
		}
		if !slices.Contains(exp, name) {
			out[name] = map[string]any{"__deferred": map[string]any{"uri": uri + "/" + name}}
			continue
		}
		below := []json.RawMessage{}
		for _, c := range s.children(p.nav, r.id) {
			below = append(below, s.render(base, s.model[p.nav], c, nil, nil))
		}
		out[name] = below
	}
	b, err := json.Marshal(out)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

// json is a value as the service writes it. Dates lose what is below a
// millisecond.
func (p property) json(v any) any {
	switch p.typ {
	case "Timestamp":
		if t, ok := v.(time.Time); ok {
			return fmt.Sprintf("/Date(%d+0000)/", t.UnixMilli())
		}
		return nil
	case "Date":
		if t, ok := v.(time.Time); ok {
			return fmt.Sprintf("/Date(%d)/", t.UnixMilli())
		}
		return nil
	case "Boolean":
		return v == true
	case "Binary":
		b, _ := v.([]byte)
		return base64.StdEncoding.EncodeToString(b)
	}
	if v == nil {
		return ""
	}
	return v
}
