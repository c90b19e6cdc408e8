package c4ctest

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// SAML says whose assertions the token endpoint takes (RFC 7522). The subject
// of an assertion must be one of the server's users.
type SAML struct {
	Issuer       string              // entity id of the identity provider
	Certificates []*x509.Certificate // with which it signs
	Audience     string              // entity id of the tenant
	ClientID     string              // OAuth client, also expected as the attribute client_id
	ClientSecret string              // for Basic at the token endpoint; "": the client need not sign in
	Lifetime     time.Duration       // of a token; zero: one hour
}

const (
	samlNS    = "urn:oasis:names:tc:SAML:2.0:assertion"
	grantType = "urn:ietf:params:oauth:grant-type:saml2-bearer"
)

// token answers the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	user, why := s.exchange(r)
	status := http.StatusOK
	var a answer
	if why != "" {
		if status = http.StatusBadRequest; why == "invalid_client" {
			status = http.StatusUnauthorized
		}
		a = jsonAnswer(status, map[string]string{"error": why})
	} else {
		life := s.opts.SAML.Lifetime
		if life <= 0 {
			life = time.Hour
		}
		t := rand.Text() + rand.Text()
		s.mu.Lock()
		s.tokens[t] = issued{user, s.now().Add(life)}
		s.mu.Unlock()
		a = jsonAnswer(status, map[string]any{"access_token": t, "token_type": "Bearer", "expires_in": int(life.Seconds()), "scope": "UIWC:CC_HOME"})
	}
	a.header.Set("Cache-Control", "no-store")
	s.log(r, user, strings.TrimPrefix(TokenPath, "/"), "", status)
	a.write(w)
}

// exchange tests a token request and returns whose it is, or the error code of
// RFC 6749 section 5.2.
func (s *Server) exchange(r *http.Request) (string, string) {
	c := s.opts.SAML
	r.Body = http.MaxBytesReader(nil, r.Body, 1<<20)
	if c == nil || r.Method != http.MethodPost || r.ParseForm() != nil || r.PostForm.Get("grant_type") != grantType {
		return "", "unsupported_grant_type"
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
		var err1, err2 error
		id, err1 = url.QueryUnescape(id)
		secret, err2 = url.QueryUnescape(secret)
		if err1 != nil || err2 != nil {
			return "", "invalid_client"
		}
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if id != c.ClientID || c.ClientSecret != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(c.ClientSecret)) != 1 {
		return "", "invalid_client"
	}
	xml, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(r.PostForm.Get("assertion"), "="))
	if err != nil {
		return "", "invalid_grant"
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(xml); err != nil || doc.Root() == nil {
		return "", "invalid_grant"
	}
	store := &dsig.MemoryX509CertificateStore{Roots: c.Certificates}
	a, err := dsig.NewDefaultValidationContext(store).Validate(doc.Root())
	if err != nil || a.Tag != "Assertion" || a.NamespaceURI() != samlNS {
		return "", "invalid_grant"
	}
	return s.subject(r, c, a)
}

// subject tests what a verified assertion says.
func (s *Server) subject(r *http.Request, c *SAML, a *etree.Element) (string, string) {
	text := func(path string) string {
		if e := a.FindElement(path); e != nil {
			return strings.TrimSpace(e.Text())
		}
		return ""
	}
	attr := func(path, name string) string {
		if e := a.FindElement(path); e != nil {
			return e.SelectAttrValue(name, "")
		}
		return ""
	}
	here := "http://" + r.Host + TokenPath
	if r.TLS != nil {
		here = "https://" + r.Host + TokenPath
	}
	now := s.now()
	until := func(path string) bool {
		t, err := time.Parse(time.RFC3339Nano, attr(path, "NotOnOrAfter"))
		return err == nil && now.Before(t)
	}
	const confirmation = "./Subject/SubjectConfirmation"
	client := ""
	for _, e := range a.FindElements("./AttributeStatement/Attribute") {
		if e.SelectAttrValue("Name", "") == "client_id" {
			if v := e.FindElement("./AttributeValue"); v != nil {
				client = strings.TrimSpace(v.Text())
			}
		}
	}
	user := text("./Subject/NameID")
	_, known := s.opts.Users[user]
	id := a.SelectAttrValue("ID", "")
	switch {
	case text("./Issuer") != c.Issuer, !known,
		attr(confirmation, "Method") != "urn:oasis:names:tc:SAML:2.0:cm:bearer",
		attr(confirmation+"/SubjectConfirmationData", "Recipient") != here,
		!until(confirmation + "/SubjectConfirmationData"), !until("./Conditions"),
		text("./Conditions/AudienceRestriction/Audience") != c.Audience,
		client != c.ClientID, id == "":
		return "", "invalid_grant"
	}
	if t, err := time.Parse(time.RFC3339Nano, attr("./Conditions", "NotBefore")); err != nil || now.Before(t.Add(-time.Minute)) {
		return "", "invalid_grant"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, replayed := s.used[id]; replayed {
		return "", "invalid_grant"
	}
	s.used[id] = now
	return user, ""
}
