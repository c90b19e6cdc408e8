package connectors

import (
	"fmt"
	"net/url"
	"regexp"
)

// Plugin is a connector as it is offered to a Hub. Only NewPlugin makes one;
// the zero Plugin is refused.
type Plugin struct {
	name string
	caps Capabilities
	open func(Settings) (Driver, error)
}

// Settings is what a driver learns of its endpoint: where it is, never how to
// get in.
type Settings struct {
	URL       *url.URL          // absolute; nil for a connector without network
	Elsewhere map[Kind]*url.URL // of kinds that are at another address
	Options   map[string]string // the connector's own, documented by each; nothing secret
}

// At returns the address for a kind.
func (s Settings) At(k Kind) *url.URL {
	if u := s.Elsewhere[k]; u != nil {
		return u
	}
	return s.URL
}

// NewPlugin offers a connector under a name of lower-case letters and digits.
// The open function must not touch the network and fails on settings that it
// does not understand, naming the option.
func NewPlugin(name string, caps Capabilities, open func(Settings) (Driver, error)) (Plugin, error) {
	switch {
	case !regexp.MustCompile(`^[a-z][a-z0-9]{0,31}$`).MatchString(name):
		return Plugin{}, fmt.Errorf("connectors: plugin name %q: want 1 to 32 lower-case letters and digits", name)
	case caps.Area != CRM && caps.Area != Mailbox:
		return Plugin{}, fmt.Errorf("connectors: plugin %s: area is neither crm nor mailbox", name)
	case len(caps.Kinds) == 0:
		return Plugin{}, fmt.Errorf("connectors: plugin %s: offers no kind of record", name)
	case caps.Kinds[KindMail].Update:
		return Plugin{}, fmt.Errorf("connectors: plugin %s: mails are never updated", name)
	case open == nil:
		return Plugin{}, fmt.Errorf("connectors: plugin %s: no open function", name)
	}
	return Plugin{name: name, caps: caps, open: open}, nil
}

// Name returns the name under which endpoints ask for this connector.
func (p Plugin) Name() string { return p.name }

// Capabilities returns what the connector can do. Do not change the maps.
func (p Plugin) Capabilities() Capabilities { return p.caps }
