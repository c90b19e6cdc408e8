package c4ctest

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"
)

// session is what a user has after signing in with a cookie.
type session struct {
	user, token string
}

const sessionCookie = "SAP_SESSIONID_TST_100"

// authenticate finds out who asks.
func (s *Server) authenticate(r *http.Request) (User, string, bool) {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		i, ok := s.tokens[t]
		if !ok || !s.now().Before(i.until) {
			return User{}, "", false
		}
		return User{Communication: true}, i.user, true
	}
	name, password, ok := r.BasicAuth()
	u, known := s.opts.Users[name]
	if !ok || !known || subtle.ConstantTimeCompare([]byte(u.Password), []byte(password)) != 1 {
		return User{}, "", false
	}
	return u, name, true
}

// csrf gives tokens to who asks for one, and reports whether a request may pass.
func (s *Server) csrf(w http.ResponseWriter, r *http.Request, u User, name string) bool {
	if u.Communication {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var now session
	if c, err := r.Cookie(sessionCookie); err == nil {
		now = s.sessions[c.Value]
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		if strings.EqualFold(r.Header.Get("X-Csrf-Token"), "fetch") {
			if now.user != name {
				now = session{name, rand.Text()}
				id := rand.Text()
				s.sessions[id] = now
				http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/sap/", HttpOnly: true, Secure: r.TLS != nil})
				http.SetCookie(w, &http.Cookie{Name: "sap-usercontext", Value: "sap-client=100", Path: "/"})
			}
			w.Header().Set("X-Csrf-Token", now.token)
		}
		return true
	}
	return now.user == name && now.token != "" && subtle.ConstantTimeCompare([]byte(now.token), []byte(r.Header.Get("X-Csrf-Token"))) == 1
}

// issued is a token of the token endpoint.
type issued struct {
	user  string
	until time.Time
}
