package dav

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// card is a vCard (2.1, 3.0 or 4.0) as lines.
type card struct{ lines []line }

func parseCard(data []byte) (*card, error) {
	ls, err := parseLines(data)
	if err != nil {
		return nil, err
	}
	begin := slices.IndexFunc(ls, func(l line) bool { return l.name == "BEGIN" && strings.EqualFold(strings.TrimSpace(l.value), "VCARD") })
	if begin < 0 {
		return nil, malformed("no vCard")
	}
	end, depth := -1, 0 // vCard 2.1 lets a card stand in a card
	for i, l := range ls[begin:] {
		switch l.name {
		case "BEGIN":
			depth++
		case "END":
			depth--
		}
		if depth == 0 {
			end = begin + i
			break
		}
	}
	if end < 0 || !strings.EqualFold(strings.TrimSpace(ls[end].value), "VCARD") {
		return nil, malformed("a card without its end")
	}
	return &card{ls[begin : end+1]}, nil
}

func (c *card) bytes() []byte {
	var b bytes.Buffer
	for _, l := range c.lines {
		l.write(&b)
	}
	return b.Bytes()
}

func (c *card) version21() bool {
	i := c.find("VERSION", nil)
	return i >= 0 && strings.TrimSpace(c.lines[i].value) == "2.1"
}

// find returns the index of the preferred line of a name that fits, -1 if none.
func (c *card) find(name string, fits func(line) bool) int {
	if is := c.all(name, fits); len(is) > 0 {
		return is[0]
	}
	return -1
}

// all returns the indexes of the lines of a name that fit, preferred first.
func (c *card) all(name string, fits func(line) bool) []int {
	var is []int
	for i, l := range c.lines {
		if l.name == name && (fits == nil || fits(l)) {
			is = append(is, i)
		}
	}
	slices.SortStableFunc(is, func(a, b int) int { return rank(c.lines[a]) - rank(c.lines[b]) })
	return is
}

// rank orders by preference (RFC 6350 section 5.3; TYPE=pref before that).
func rank(l line) int {
	if l.has("TYPE", "pref") || l.has("PREF", "1") {
		return 0
	}
	return 1
}

// Which line of several is meant.
func isFax(l line) bool  { return l.has("TYPE", "fax") }
func isCell(l line) bool { return !isFax(l) && l.has("TYPE", "cell") }
func isHome(l line) bool { return !isFax(l) && !isCell(l) && l.has("TYPE", "home") }
func isWork(l line) bool {
	return !isFax(l) && !isCell(l) && !isHome(l) && !l.has("TYPE", "pager") && !l.has("TYPE", "x-skype")
}

// phone says which property holds a telephone field, and how a new one is marked.
func phone(f connectors.Field, v21 bool) (fits func(line) bool, params string) {
	mark := map[connectors.Field]string{connectors.FieldPhone: "WORK", connectors.FieldMobile: "CELL", connectors.FieldHomePhone: "HOME", connectors.FieldFax: "FAX"}[f]
	fits = map[connectors.Field]func(line) bool{connectors.FieldPhone: isWork, connectors.FieldMobile: isCell, connectors.FieldHomePhone: isHome, connectors.FieldFax: isFax}[f]
	if v21 {
		return fits, ";" + mark
	}
	return fits, ";TYPE=" + mark
}

// address returns the index of the business address: marked as work, else
// unmarked, else whatever there is.
func (c *card) address() int {
	for _, fits := range []func(line) bool{
		func(l line) bool { return l.has("TYPE", "work") },
		func(l line) bool { return !l.has("TYPE", "home") },
		nil,
	} {
		if i := c.find("ADR", fits); i >= 0 {
			return i
		}
	}
	return -1
}

// parts returns the parts of a structured line, unescaped, at least n of them.
func (c *card) parts(i, n int) []string {
	var out []string
	if i >= 0 {
		out = split(c.lines[i].decoded(), ';')
	}
	for k := range out {
		out[k] = unescape(out[k])
	}
	for len(out) < n {
		out = append(out, "")
	}
	return out
}

func (c *card) text(i int) string {
	if i < 0 {
		return ""
	}
	return c.lines[i].text()
}

// Order of parts in N (RFC 6350 section 6.2.2), ORG (6.6.4) and ADR (6.3.1).
var (
	nameParts    = [...]connectors.Field{connectors.FieldFamilyName, connectors.FieldGivenName, connectors.FieldMiddleName, connectors.FieldPrefix, connectors.FieldSuffix}
	addressParts = [...]connectors.Field{"", "", connectors.FieldStreet, connectors.FieldCity, connectors.FieldRegion, connectors.FieldPostalCode, connectors.FieldCountry}
	orgParts     = [...]connectors.Field{connectors.FieldCompany, connectors.FieldDepartment}
	mailParts    = [...]connectors.Field{connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3}
)

// contact reads the mapped fields.
func (c *card) contact() *connectors.Record {
	r := c.lined()
	if k := r.Contact; nameless(k) {
		// Only a formatted name: its last word is taken for the family's. One
		// that stands in for a missing name is none.
		fn := c.text(c.find("FN", nil))
		if words := strings.Fields(fn); len(words) > 0 && connectors.NormalizeText(connectors.FieldCompany, fn) != connectors.NormalizeText(connectors.FieldCompany, formatted(k)) {
			r.SetText(connectors.FieldFamilyName, words[len(words)-1])
			r.SetText(connectors.FieldGivenName, strings.Join(words[:len(words)-1], " "))
		}
	}
	return r
}

func nameless(k *connectors.Contact) bool {
	return k.FamilyName == "" && k.GivenName == "" && k.MiddleName == ""
}

// lined reads the fields that have a line of their own.
func (c *card) lined() *connectors.Record {
	r := connectors.NewRecord(connectors.KindContact)
	for i, v := range c.parts(c.find("N", nil), 5)[:5] {
		r.SetText(nameParts[i], v)
	}
	for i, v := range c.parts(c.find("ORG", nil), 2)[:2] {
		r.SetText(orgParts[i], v)
	}
	if a := c.address(); a >= 0 {
		for i, v := range c.parts(a, 7)[:7] {
			r.SetText(addressParts[i], v)
		}
	}
	for i, n := range c.mails() {
		if n >= 0 {
			r.SetText(mailParts[i], c.text(n))
		}
	}
	for _, f := range []connectors.Field{connectors.FieldPhone, connectors.FieldMobile, connectors.FieldHomePhone, connectors.FieldFax} {
		fits, _ := phone(f, false)
		v := c.text(c.find("TEL", fits))
		if len(v) > 4 && strings.EqualFold(v[:4], "tel:") {
			v, _, _ = strings.Cut(v[4:], ";")
		}
		r.SetText(f, v)
	}
	r.SetText(connectors.FieldNickname, c.parts(c.find("NICKNAME", nil), 1)[0])
	r.SetText(connectors.FieldJobTitle, c.text(c.find("TITLE", nil)))
	r.SetText(connectors.FieldWebsite, c.text(c.find("URL", nil)))
	r.SetText(connectors.FieldNote, c.text(c.find("NOTE", nil)))
	r.SetText(connectors.FieldBirthday, birthday(c.text(c.find("BDAY", nil))))
	if i := c.find(keyProperty, nil); i >= 0 {
		r.Key = c.text(i)
	}
	return r
}

// formatted is what stands in FN, which must not be empty (RFC 2426 section
// 3.1.1): the name or what stands in for it.
func formatted(k *connectors.Contact) string {
	full := strings.Join(strings.Fields(strings.Join([]string{k.Prefix, k.GivenName, k.MiddleName, k.FamilyName, k.Suffix}, " ")), " ")
	for _, other := range []string{k.Company, k.Email, "unnamed"} {
		if full == "" {
			full = other
		}
	}
	return full
}

// placeParam says which of the addresses a line is, where its rank among the
// lines does not: cards have no empty first address before a second one.
const placeParam = "X-LOCKKEEPER-PLACE"

// mails returns the index of the line of each address, -1 for none: lines that
// name their place, then the others in the order of preference. A line that says
// nothing takes no place.
func (c *card) mails() (at [len(mailParts)]int) {
	at = [...]int{-1, -1, -1}
	lines := slices.DeleteFunc(c.all("EMAIL", nil), func(i int) bool {
		return connectors.NormalizeText(connectors.FieldEmail, c.text(i)) == ""
	})
	var rest []int
	for _, i := range lines {
		n := -1
		if p := c.lines[i].param(placeParam); len(p) == 1 && len(p[0]) == 1 {
			n = int(p[0][0]) - '1'
		}
		if n >= 0 && n < len(at) && at[n] < 0 {
			at[n] = i
		} else {
			rest = append(rest, i)
		}
	}
	for n := range at {
		if at[n] < 0 && len(rest) > 0 {
			at[n], rest = rest[0], rest[1:]
		}
	}
	return at
}

// setMails gives each address the line that its field was read from. Lines are
// removed last, so that none moves before it has been looked at.
func (c *card) setMails(r *connectors.Record, fields []connectors.Field) {
	at := c.mails()
	var gone []int
	for n, f := range mailParts {
		if slices.Contains(fields, f) {
			v := r.Text(f)
			if at[n] >= 0 && v == "" {
				gone, at[n] = append(gone, at[n]), -1
			} else if at[n] >= 0 {
				c.put(at[n], line{}, escape(v), false)
			} else if v != "" {
				c.put(-1, line{name: "EMAIL", params: ";TYPE=INTERNET"}, escape(v), false)
				at[n] = len(c.lines) - 2
			}
		}
	}
	// The place is written where order and preference would say another.
	told, last := true, -1
	for _, i := range at {
		if i < 0 {
			last = len(c.lines) * 2 // nothing may follow
			continue
		}
		now := rank(c.lines[i])*len(c.lines) + i
		told, last = told && now > last, now
	}
	for n, i := range at {
		switch {
		case i < 0:
		case !told:
			c.lines[i] = c.lines[i].param1(placeParam, string(rune('1'+n)))
		case len(c.lines[i].param(placeParam)) > 0:
			c.lines[i] = c.lines[i].param1(placeParam, "")
		}
	}
	slices.Sort(gone)
	for _, i := range slices.Backward(gone) {
		c.lines = slices.Delete(c.lines, i, i+1)
	}
}

// birthday accepts complete dates (RFC 6350 section 4.3.1); what has no year
// stays in the card and is not mapped.
func birthday(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "T")
	for _, layout := range []string{"2006-01-02", "20060102"} {
		if t, err := time.Parse(layout, s); err == nil && t.Year() > 0 {
			return t.Format("2006-01-02")
		}
	}
	return ""
}

// keyProperty carries the create key.
const keyProperty = "X-LOCKKEEPER-KEY"

func newCard(uid, key string) *card {
	return &card{[]line{{name: "BEGIN", value: "VCARD"}, {name: "VERSION", value: "3.0"}, {name: "PRODID", value: "-//lockkeeper//EN"},
		{name: "UID", value: escape(uid)}, {name: keyProperty, value: escape(key)}, {name: "END", value: "VCARD"}}}
}

// put sets a line, adds it before the end, or removes it if the value is empty.
func (c *card) put(i int, fresh line, value string, empty bool) {
	switch {
	case empty && i >= 0:
		c.lines = slices.Delete(c.lines, i, i+1)
	case empty:
	case i >= 0:
		c.lines[i] = c.lines[i].with(value, c.version21())
	default:
		c.lines = slices.Insert(c.lines, len(c.lines)-1, fresh.with(value, c.version21()))
	}
}

// apply makes the card say what the record says in the fields.
func (c *card) apply(r *connectors.Record, fields []connectors.Field) {
	has := func(fs ...connectors.Field) bool {
		return slices.ContainsFunc(fs, func(f connectors.Field) bool { return slices.Contains(fields, f) })
	}
	structured := func(i int, fresh line, order []connectors.Field) {
		vs := c.parts(i, len(order))
		for n, f := range order {
			if f != "" && slices.Contains(fields, f) {
				vs[n] = r.Text(f)
			}
		}
		for n := range vs {
			vs[n] = escape(vs[n])
		}
		joined := strings.Join(vs, ";")
		c.put(i, fresh, joined, strings.Trim(joined, ";") == "")
	}
	before := c.contact()
	if has(nameParts[:]...) {
		named := before.Clone()
		for _, f := range nameParts {
			if slices.Contains(fields, f) {
				named.SetText(f, r.Text(f))
			}
		}
		vs := c.parts(c.find("N", nil), len(nameParts))
		for n, f := range nameParts {
			vs[n] = escape(named.Text(f))
		}
		c.put(c.find("N", nil), line{name: "N"}, strings.Join(vs, ";"), false) // vCard 3.0 wants one, even if it is empty
	}
	if has(orgParts[:]...) {
		structured(c.find("ORG", nil), line{name: "ORG"}, orgParts[:])
	}
	if has(addressParts[2:]...) {
		structured(c.address(), line{name: "ADR", params: ";TYPE=WORK"}, addressParts[:])
	}
	if has(mailParts[:]...) {
		c.setMails(r, fields)
	}
	for _, f := range []connectors.Field{connectors.FieldPhone, connectors.FieldMobile, connectors.FieldHomePhone, connectors.FieldFax} {
		if has(f) {
			fits, params := phone(f, c.version21())
			i := c.find("TEL", fits)
			v := escape(r.Text(f))
			if i >= 0 && c.lines[i].has("VALUE", "uri") {
				if strings.Trim(r.Text(f), "+0123456789-.() ") == "" {
					v = "tel:" + strings.ReplaceAll(r.Text(f), " ", "-")
				} else { // with letters it is no such address (RFC 3966 section 3)
					c.lines[i] = c.lines[i].param1("VALUE", "")
				}
			}
			c.put(i, line{name: "TEL", params: params}, v, r.Text(f) == "")
		}
	}
	for _, p := range []struct {
		f    connectors.Field
		name string
	}{{connectors.FieldNickname, "NICKNAME"}, {connectors.FieldJobTitle, "TITLE"}, {connectors.FieldWebsite, "URL"},
		{connectors.FieldNote, "NOTE"}, {connectors.FieldBirthday, "BDAY"}} {
		if !has(p.f) {
			continue
		}
		// A URI too is escaped, although RFC 2426 section 3.6.8 has none of it:
		// servers exist that keep what stands before the first bare comma.
		v := escape(r.Text(p.f))
		c.put(c.find(p.name, nil), line{name: p.name}, v, r.Text(p.f) == "")
	}
	if now := c.lined(); has(nameParts[:]...) || c.find("FN", nil) < 0 || nameless(before.Contact) && has(connectors.FieldCompany, connectors.FieldEmail) {
		c.put(c.find("FN", nil), line{name: "FN"}, escape(formatted(now.Contact)), false)
	}
}
