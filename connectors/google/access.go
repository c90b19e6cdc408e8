package google

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// Google's addresses for credentials.
const (
	authURL   = "https://accounts.google.com/o/oauth2/v2/auth?access_type=offline&prompt=consent"
	tokenURL  = "https://oauth2.googleapis.com/token" //nolint:gosec // an address and no credential
	revokeURL = "https://oauth2.googleapis.com/revoke"
)

// Scopes are the least rights with which the connector serves the given kinds, and
// none for others: mails are in reach only where mails are asked for.
func Scopes(kinds ...connectors.Kind) []string {
	var out []string
	for _, k := range kinds {
		s := ""
		switch k {
		case connectors.KindContact:
			s = "https://www.googleapis.com/auth/contacts"
		case connectors.KindAppointment, connectors.KindVisit:
			s = "https://www.googleapis.com/auth/calendar.events"
		case connectors.KindTask:
			s = "https://www.googleapis.com/auth/tasks"
		case connectors.KindMail:
			s = "https://www.googleapis.com/auth/gmail.readonly"
		}
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// Consent is how a person lets the connector act for them: authorization code with
// PKCE, for the kinds given. The secret's value is what the client proves itself
// with.
func Consent(clientID, redirectURL string, kinds ...connectors.Kind) secrets.Scheme {
	return secrets.Scheme{Kind: secrets.OAuthCode, AuthURL: authURL, TokenURL: tokenURL, RevokeURL: revokeURL, ClientID: clientID,
		ClientAuth: secrets.ClientPost, RedirectURL: redirectURL, Scope: strings.Join(Scopes(kinds...), " ")}
}

// Delegation is a service account that a Workspace administrator let act for users
// of a domain. Google lets it act for each of them; Allow is for whom it may here.
// The zero Delegation acts for nobody.
type Delegation struct {
	Account string   // the service account's e-mail address
	KeyID   string   // of its key, "private_key_id" in the key file
	Allow   []string // addresses of users, compared without regard to case

	TokenURL string // empty: Google's
}

// Scheme is how the service account's key is used for one user and the kinds given.
// A user who is not on the list is refused with authz.ErrDenied before anything is
// sent or stored.
func (d Delegation) Scheme(user string, kinds ...connectors.Kind) (secrets.Scheme, error) {
	user = strings.TrimSpace(user)
	if d.Account == "" || user == "" || !strings.Contains(user, "@") ||
		!slices.ContainsFunc(d.Allow, func(a string) bool { return strings.EqualFold(strings.TrimSpace(a), user) }) {
		return secrets.Scheme{}, fmt.Errorf("google: delegation: the user is not on the list of those for whom the service account may act: %w", authz.ErrDenied)
	}
	scopes := Scopes(kinds...)
	if len(scopes) == 0 {
		return secrets.Scheme{}, fmt.Errorf("google: delegation: no kind of records that needs a right: %w", authz.ErrDenied)
	}
	s := secrets.Scheme{Kind: secrets.JWTBearer, TokenURL: tokenURL, Algorithm: "RS256", KeyID: d.KeyID, Issuer: d.Account, Subject: strings.ToLower(user),
		Scope: strings.Join(scopes, " "), Lifetime: time.Hour}
	if d.TokenURL != "" {
		s.TokenURL = d.TokenURL
	}
	return s, nil
}
