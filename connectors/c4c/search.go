package c4c

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// searchPages and searchPage are how many answers a search reads at most, and how
// many records one of them holds.
const (
	searchPages = 5
	searchPage  = 1000
)

var _ connectors.Searcher = (*driver)(nil)

// Search implements connectors.Searcher. It is one request, or as many as it
// takes until enough records are found, five at most.
func (d *driver) Search(ctx context.Context, c connectors.Call, k connectors.Kind, q connectors.Query, limit int) ([]connectors.Hit, error) {
	return d.session(c.Client()).search(ctx, k, q, limit)
}

func (s session) search(ctx context.Context, k connectors.Kind, q connectors.Query, limit int) ([]connectors.Hit, error) {
	sh, err := s.shape(k)
	if err != nil {
		return nil, err
	}
	property, runes, ok := sh.searched(q.Field)
	if !ok {
		return nil, &connectors.Error{Class: connectors.ErrUnsupported, Field: q.Field}
	}
	want := plain(q.Text)
	switch {
	case strings.Trim(want, "* ") == "":
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: q.Field, Detail: "nothing but what the system takes for a wildcard"}
	case runes > 0 && utf8.RuneCountInString(want) > runes:
		return nil, nil // longer than anything that is there
	}
	filter := anyOf(property, sh.spellings(q))
	selected := sh.light() + "," + property
	if sh.created != "" {
		selected += "," + sh.created
	}
	var out []connectors.Hit
	after := ""
	for range searchPages {
		f := filter
		if after != "" {
			f = "(" + filter + ") and " + afterID(after)
		}
		p, err := s.get(ctx, sh.set+"?"+query("$filter", f, "$orderby", propID, "$top", strconv.Itoa(searchPage), "$select", selected, "$format", "json"))
		if err != nil {
			return nil, err
		}
		last := after
		for _, e := range p.Entities {
			id, err := e.id()
			if err != nil {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "record without id"}
			}
			if last = id; id == after {
				continue
			}
			h, ok, err := sh.hit(e, property, q, want)
			if err != nil {
				return nil, &connectors.Error{Class: connectors.ErrMalformed, ID: id, Detail: "record with a property of another type than its own"}
			}
			if h.ID = id; ok {
				out = append(out, h)
			}
			if len(out) == limit {
				return out, nil
			}
		}
		if p.Next == "" && len(p.Entities) < searchPage {
			return out, nil
		}
		if last == after {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "listing does not advance"}
		}
		after = last
	}
	return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: q.Field, Detail: "too many records are like it"}
}

// searched is the property behind a field that can be searched, and its length.
func (s shape) searched(f connectors.Field) (string, int, bool) {
	if !slices.Contains(s.search, f) {
		return "", 0, false
	}
	if f == connectors.FieldMessageID {
		return s.key, runesMessage, true
	}
	for _, c := range s.columns {
		if c.field == f {
			return c.name, c.runes, true
		}
	}
	return "", 0, false
}

// spellings are the values to compare with. Whether the system minds case is not
// documented, so a text is looked for as it is, in small letters and in capitals;
// where it does, one that is stored in mixed case is found only as it is stored.
// It reads * as anything, which stands here for white space of any length.
func (s shape) spellings(q connectors.Query) []string {
	pattern := strings.Join(strings.Fields(q.Text), "*")
	var out []string
	for _, p := range []string{pattern, strings.ToLower(pattern), strings.ToUpper(pattern)} {
		switch {
		case q.Field == connectors.FieldMessageID && !q.Part:
			out = append(out, p, "<"+p+">", "<"+p+"> *")
		case q.Part:
			out = append(out, "*"+p+"*")
		default:
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// hit compares again what the system has found.
func (s shape) hit(e entity, property string, q connectors.Query, want string) (connectors.Hit, bool, error) {
	gone, err := s.gone(e)
	if err != nil {
		return connectors.Hit{}, false, err
	}
	t, err := e.text(property)
	if err != nil {
		return connectors.Hit{}, false, err
	}
	if q.Field == connectors.FieldMessageID {
		t, _ = cutMessage(t)
	}
	var born time.Time
	if s.created != "" {
		if born, err = e.date(s.created); err != nil {
			return connectors.Hit{}, false, err
		}
	}
	is := plain(t) == want || q.Part && strings.Contains(plain(t), want)
	return connectors.Hit{Text: t, Created: born}, is && !gone, nil
}

func plain(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }
