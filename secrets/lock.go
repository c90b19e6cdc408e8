package secrets

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// lock is how one scheme adds its credential to a request of ours. It holds the
// credential in closures, as everything does that a caller can get at.
type lock struct {
	// put adds the credential, with the Authorization of kinds that get tokens.
	// What it returns are the forms in which a server could show it.
	put func(out *http.Request, header string) (shown func() []string, err error)
	// clean takes the credential out of an answer's header; nil: none gets there.
	clean func(http.Header)
}

func newLock(c *credential, now func() time.Time) lock {
	m := c.open()
	s := m.scheme
	switch {
	case s.Kind.tokened():
		return lock{put: func(out *http.Request, header string) (func() []string, error) {
			out.Header.Set("Authorization", header)
			return func() []string { return shapes(header) }, nil
		}}
	case s.Kind == APIKey && s.Query != "":
		key := string(m.secret)
		return lock{put: func(out *http.Request, _ string) (func() []string, error) {
			out.Header.Del("Authorization")
			u := *out.URL // the caller's own
			u.RawQuery = withQuery(u.RawQuery, s.Query, key)
			out.URL = &u
			return func() []string { return []string{key} }, nil
		}, clean: func(h http.Header) { cleanLocation(h, s.Query) }}
	case s.Kind == SignedRequest:
		return lock{put: func(out *http.Request, _ string) (func() []string, error) {
			out.Header.Del("Authorization")
			return func() []string { return nil }, s.Recipe.sign(out, s, m.secret, now())
		}}
	case s.Kind == NTLM:
		return lock{put: func(out *http.Request, _ string) (func() []string, error) {
			out.Header.Del("Authorization")
			return func() []string { return []string{string(m.secret)} }, nil
		}}
	}
	name := "Authorization"
	if s.Kind == APIKey {
		name = http.CanonicalHeaderKey(s.Header)
	}
	field, shown := []string{m.header}, func() []string { return append(shapes(m.header), m.header) }
	return lock{put: func(out *http.Request, _ string) (func() []string, error) {
		if name != "Authorization" {
			out.Header.Del("Authorization")
		}
		out.Header[name] = field // nobody writes into it
		return shown, nil
	}}
}

// withQuery sets one parameter and leaves the others as they are written.
func withQuery(raw, name, value string) string {
	out := withoutQuery(raw, name)
	if out != "" {
		out += "&"
	}
	return out + name + "=" + url.QueryEscape(value)
}

func withoutQuery(raw, name string) string {
	kept := []string{}
	for part := range strings.SplitSeq(raw, "&") {
		key, _, _ := strings.Cut(part, "=")
		if k, err := url.QueryUnescape(key); part != "" && (err != nil || k != name) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// cleanLocation takes a parameter out of the addresses that an answer names: a
// server that redirects keeps the query it got.
func cleanLocation(h http.Header, name string) {
	for _, field := range []string{"Location", "Content-Location", "Link", "Refresh"} {
		for i, v := range h[field] {
			if u, err := url.Parse(v); err == nil && (field == "Location" || field == "Content-Location") {
				u.RawQuery = withoutQuery(u.RawQuery, name)
				h[field][i] = u.String()
			} else if strings.Contains(v, name+"=") {
				h[field][i] = ""
			}
		}
	}
}
