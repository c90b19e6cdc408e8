package connectors

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Network says where endpoints may be.
type Network struct {
	// Inside are the hosts that may be at any address, as an Exchange server in
	// the house is; compared without case and port.
	Inside []string
	// Lookup finds the addresses of a host; nil: the machine's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Confine lets endpoints be at public addresses only, and at the hosts that n
// lists: an address that somebody writes into a configuration, or that a system
// names, must not lead to what only this machine can reach. It is asked when a
// connection is opened and, after the name was looked up, at every verb. A name
// that points elsewhere between that and the connection ends at the server's
// certificate. Call it before the first Open.
//
// Without it, addresses are the deployment's own affair; those of the link, where
// clouds keep their credentials, are refused all the same.
func (h *Hub) Confine(n Network) { h.network = &n }

// reach refuses a host that endpoints may not be at.
func (h *Hub) reach(ctx context.Context, host string) error {
	confined, lookup := h.network != nil, net.DefaultResolver.LookupNetIP
	if confined && slices.ContainsFunc(h.network.Inside, func(in string) bool { return strings.EqualFold(in, host) }) {
		return nil
	}
	var all []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		all = []netip.Addr{a}
	} else if confined {
		if h.network.Lookup != nil {
			all, err = h.network.Lookup(ctx, host)
		} else {
			all, err = lookup(ctx, "ip", host)
		}
		if err != nil || len(all) == 0 {
			return &Error{Op: "look up", Class: ErrUnavailable, Detail: "the host has no address"}
		}
	}
	for _, a := range all {
		if a = a.Unmap().WithZone(""); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || confined && !public(a) {
			return fmt.Errorf("connectors: the host is at an address where no endpoint may be: %w", authz.ErrDenied)
		}
	}
	return nil
}

// public reports whether an address is one of the Internet's, and none that leads
// back to another range (RFC 6890).
func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() {
		return false
	}
	return !slices.ContainsFunc(special(), func(p netip.Prefix) bool { return p.Contains(a) })
}

func special() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "fec0::/10"} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}
