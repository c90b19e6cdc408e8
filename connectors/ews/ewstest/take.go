package ewstest

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// take reads an item of a request into properties. Elements that are not known,
// not where the schema wants them, or for answers only, are an error.
func take(n *node, into, exts map[string]string) *problem {
	last := -1
	all := schema(n.name())
	for i := range n.Nodes {
		c := &n.Nodes[i]
		at := slices.IndexFunc(all, func(e element) bool { return e.name == c.name() })
		if at < 0 || at < last || at == last && c.name() != "ExtendedProperty" || all[at].ro {
			return &problem{code: "ErrorSchemaValidation", more: n.name() + "/" + c.name()}
		}
		last = at
		if p := all[at].take(c, into, exts); p != nil {
			return p
		}
	}
	return nil
}

func (e element) take(c *node, into, exts map[string]string) *problem {
	bad := &problem{code: "ErrorSchemaValidation", more: e.name}
	switch e.form {
	case extended:
		if len(c.Nodes) != 2 || c.Nodes[0].uri() == "" || c.Nodes[1].name() != "Value" && c.Nodes[1].name() != "Values" {
			return bad
		}
		u, v := c.Nodes[0].uri(), c.Nodes[1].Text
		if c.Nodes[1].name() == "Values" {
			v = strings.Join(texts(c.Nodes[1].Nodes), "\n")
		}
		into[u], exts[u] = v, c.Nodes[0].write()
	case entries:
		for j := range c.Nodes {
			if c.Nodes[j].name() != "Entry" || c.Nodes[j].attr("Key") == "" {
				return bad
			}
			into[base(e.name)+"["+c.Nodes[j].attr("Key")+"]"] = c.Nodes[j].Text
		}
	case places:
		for j := range c.Nodes {
			for k := range c.Nodes[j].Nodes {
				into["contacts:PhysicalAddress:"+c.Nodes[j].Nodes[k].name()+"["+c.Nodes[j].attr("Key")+"]"] = c.Nodes[j].Nodes[k].Text
			}
		}
	case zoned:
		if zone.Location(c.attr("Id")) == nil || strings.Contains(c.attr("Id"), "/") { // Windows names only
			return &problem{code: "ErrorInvalidTimeZone"}
		}
		into[e.uri] = c.attr("Id")
	case list:
		into[e.uri] = strings.Join(texts(c.Nodes), "\n")
	case attendees, people, person:
		var list []string
		nodes := c.Nodes
		for j := range nodes {
			m := &nodes[j]
			if e.form == attendees {
				m = m.at("Mailbox")
			}
			if m == nil || m.name() != "Mailbox" {
				return bad
			}
			list = append(list, m.text("EmailAddress"))
		}
		into[e.uri] = strings.Join(list, "\n")
	case body:
		if t := c.attr("BodyType"); t != "Text" && t != "HTML" {
			return bad
		}
		into[e.uri] = c.Text
		delete(into, "html")
		if c.attr("BodyType") == "HTML" {
			into["html"] = "true"
		}
	case date, day:
		t, err := time.Parse(time.RFC3339, c.Text)
		if err != nil { // without a zone: that of the request, which is UTC here
			t, err = time.Parse("2006-01-02T15:04:05", c.Text)
		}
		if err != nil {
			return bad
		}
		t = t.UTC() // said in UTC, however it was written
		if e.form == day {
			t = t.Truncate(24 * time.Hour)
		}
		into[e.uri] = t.Format(time.RFC3339)
	case flag:
		if c.Text != "true" && c.Text != "false" {
			return bad
		}
		into[e.uri] = c.Text
	case number:
		if v, err := strconv.ParseFloat(c.Text, 64); err != nil || v < 0 {
			return bad
		}
		into[e.uri] = c.Text
	case raw:
		into[e.uri] = c.inner()
		if e.name == "MimeContent" {
			into[e.uri] = c.Text
		}
	default:
		if e.only != "" && !slices.Contains(strings.Split(e.only, "|"), c.Text) {
			return bad
		}
		into[e.uri] = c.Text
	}
	if e.uri == "task:CompleteDate" || e.uri == "task:PercentComplete" || e.uri == "task:Status" {
		finish(e.uri, into)
	}
	return nil
}

// finish keeps what says how far a task is in step: what is processed last wins
// ("Status", "PercentComplete", "CompleteDate").
func finish(uri string, into map[string]string) {
	percent, _ := strconv.ParseFloat(into["task:PercentComplete"], 64)
	status := into["task:Status"]
	switch {
	case uri == "task:CompleteDate", uri == "task:PercentComplete" && percent == 100, uri == "task:Status" && status == "Completed":
		into["task:PercentComplete"], into["task:Status"] = "100", "Completed"
		return
	case uri == "task:PercentComplete" && (status == "Completed" || status == "NotStarted" && percent > 0):
		into["task:Status"] = "InProgress"
	case uri == "task:Status" && (status == "NotStarted" || percent == 100):
		into["task:PercentComplete"] = "0"
	}
	delete(into, "task:CompleteDate")
}

func texts(ns []node) []string {
	var out []string
	for i := range ns {
		out = append(out, ns[i].Text)
	}
	return out
}

// check tells whether an item is one that Exchange would keep.
func check(item string, p map[string]string) *problem {
	if len([]rune(p["item:Subject"])) > 255 {
		return &problem{code: "ErrorPropertyUpdate"}
	}
	if item != "CalendarItem" {
		return nil
	}
	from, err1 := time.Parse(time.RFC3339, p["calendar:Start"])
	to, err2 := time.Parse(time.RFC3339, p["calendar:End"])
	switch {
	case err1 != nil || err2 != nil:
		return schemaProblem()
	case to.Before(from):
		return &problem{code: "ErrorCalendarEndDateIsEarlierThanStartDate"}
	}
	return nil
}
