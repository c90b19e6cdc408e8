package profile

import (
	"strings"

	"golang.org/x/net/idna"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// book is a set of addresses and domains.
type book struct {
	addresses map[string]bool
	domains   map[string]bool
}

func newBook(p people) book {
	b := book{map[string]bool{}, map[string]bool{}}
	for _, a := range p.Addresses {
		b.addresses[string(a)] = true
	}
	for _, d := range p.Domains {
		b.domains[string(d)] = true
	}
	return b
}

// has reports whether an address, its domain, or a domain above that is in the
// book.
func (b book) has(address string) bool {
	a := normalAddress(address)
	if a == "" {
		return false
	}
	if b.addresses[a] {
		return true
	}
	d := domainOf(a)
	for d != "" {
		if b.domains[d] {
			return true
		}
		_, d, _ = strings.Cut(d, ".")
	}
	return false
}

// normalDomain is a domain as it is compared, "" if it is none.
func normalDomain(s string) string {
	s = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s)), ".")
	if a, err := idna.Lookup.ToASCII(s); err == nil {
		s = a
	}
	if s == "" || len(s) > 253 || strings.ContainsAny(s, "@ \t\r\n/\\,;:*\"'<>()[]") || strings.HasPrefix(s, ".") || strings.Contains(s, "..") {
		return ""
	}
	return s
}

// normalAddress is an e-mail address as it is compared, "" if it is none. Case
// counts nowhere: no system here tells people apart by it.
func normalAddress(s string) string {
	s = strings.TrimSpace(s)
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || len(s) > 320 {
		return ""
	}
	d := normalDomain(s[i+1:])
	if d == "" || strings.ContainsAny(s[:i], " \t\r\n<>") {
		return ""
	}
	return strings.ToLower(s[:i]) + "@" + d
}

// domainOf is the domain of an address, "" if it is none.
func domainOf(address string) string {
	_, d, ok := strings.Cut(normalAddress(address), "@")
	if !ok {
		return ""
	}
	if i := strings.LastIndexByte(d, '@'); i >= 0 { // a quoted local part
		d = d[i+1:]
	}
	return d
}

// Blocked reports whether an address must not be touched: no record of it is
// carried or created. Layers add up: what the tenant blocks no user unblocks. It
// needs no more than an envelope, so it is asked before a body is read.
func (p *Profile) Blocked(address string) bool { return p != nil && p.blocked.has(address) }

// Internal reports whether an address is of the organisation itself.
func (p *Profile) Internal(address string) bool { return p != nil && p.own.has(address) }

// blockedRecord reports whether a record is about somebody who is blocked: for
// people any of their addresses, for mails any correspondent. Events are not:
// somebody blocked among the guests hides no meeting from the others.
func (p *Profile) blockedRecord(r *connectors.Record) bool {
	switch {
	case r.Contact != nil:
		return p.Blocked(r.Contact.Email) || p.Blocked(r.Contact.Email2) || p.Blocked(r.Contact.Email3)
	case r.Account != nil:
		return p.Blocked(r.Account.Email)
	case r.Mail != nil:
		for _, c := range r.Mail.Correspondents() {
			if p.Blocked(c.Address) {
				return true
			}
		}
	}
	return false
}
