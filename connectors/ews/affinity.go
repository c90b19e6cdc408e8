package ews

import (
	"errors"
	"net/http"
	"sync"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// affinity remembers which server of a group answers for a mailbox, as the service
// says in cookies: asking that one again is quicker, and a subscription lives there
// alone ("Maintain affinity between group of subscriptions and mailbox server"). No
// other cookie is kept. Safe for concurrent use.
type affinity struct {
	mu      sync.Mutex
	cookies map[string]string
}

// known reports whether a cookie says where a mailbox is.
func (*affinity) known(name string) bool {
	return name == "exchangecookie" || name == "X-BackEndOverrideCookie" || name == "X-BackEndCookie"
}

const maxCookie = 4 << 10

func (a *affinity) take(h http.Header) {
	if len(h["Set-Cookie"]) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range (&http.Response{Header: h}).Cookies() {
		switch {
		case !a.known(c.Name) || len(c.Value) > maxCookie:
		case c.Value == "" || c.MaxAge < 0:
			delete(a.cookies, c.Name)
		default:
			if a.cookies == nil {
				a.cookies = map[string]string{}
			}
			a.cookies[c.Name] = c.Value
		}
	}
}

func (a *affinity) put(h http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := http.Request{Header: h}
	for _, name := range []string{"exchangecookie", "X-BackEndCookie", "X-BackEndOverrideCookie"} {
		if v := a.cookies[name]; v != "" {
			r.AddCookie(&http.Cookie{Name: name, Value: v}) //nolint:gosec // of a request: it has a name and a value
		}
	}
}

// lose forgets a server that does not answer for the mailbox any more.
func (a *affinity) lose(err error) {
	if errors.Is(err, connectors.ErrUnavailable) || errors.Is(err, connectors.ErrForbidden) || errors.Is(err, connectors.ErrUnknownOutcome) {
		a.mu.Lock()
		a.cookies = nil
		a.mu.Unlock()
	}
}
