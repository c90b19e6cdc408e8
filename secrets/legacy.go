package secrets

import (
	"fmt"
	"net"
	"strings"
)

// clouds are services that ended passwords, or where ours never go by NTLM.
var clouds = [...]string{
	"office.com", "office365.com", "outlook.com", "office.de", "office365.us", "partner.outlook.cn", "microsoft.com", "microsoftonline.com",
	"hotmail.com", "live.com", "windows.net", "googleapis.com", "google.com", "gmail.com", "googlemail.com", "googleusercontent.com",
	"ondemand.com", "sap.com", "salesforce.com", "force.com", "icloud.com", "me.com", "yahoo.com",
}

// passwordless are those of them that refuse passwords of people everywhere, so
// that one sent there is only lost.
var passwordless = [...]string{
	"office.com", "office365.com", "outlook.com", "office365.us", "partner.outlook.cn", "microsoft.com", "microsoftonline.com", "hotmail.com",
	"live.com", "googleapis.com", "google.com", "gmail.com", "googlemail.com", "googleusercontent.com",
}

func cloud(host string) bool { return within(host, clouds[:]) }

// within reports whether a host, with or without a port, is one of the domains
// or below one.
func within(host string, domains []string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, d := range domains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// reaches is nil if the scheme lets its credential go to an authority, that is
// host:port. It is asked before anything is dialled.
func (s Scheme) reaches(authority string) error {
	if s.Host != "" && !strings.EqualFold(authority, s.Host) {
		if host, _, err := net.SplitHostPort(authority); err != nil || !strings.EqualFold(host, strings.Trim(s.Host, "[]")) {
			return fmt.Errorf("secrets: the scheme names another host: %w", ErrOrigin)
		}
	}
	if s.Kind == NTLM && cloud(authority) || s.Kind == Basic && within(authority, passwordless[:]) {
		return fmt.Errorf("secrets: this service takes no passwords, use oauth-code: %w", ErrOrigin)
	}
	return nil
}
