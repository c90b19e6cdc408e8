package authz

import (
	"fmt"
	"net/netip"
	"time"
)

// Context is what is known about the circumstances of a request. The zero
// Context knows nothing. It is comparable, is never recorded, and is worth what
// the caller's knowledge is worth: take the address from the connection and not
// from a header that anybody can send.
type Context struct {
	Network netip.Addr // where the request comes from; a zone is ignored
	Device  string     // the name of the device, as its owner registered it; MaxSegment bytes at most
}

// network is the text that a condition compares: an IPv4 address in an IPv6 one
// is the IPv4 address.
func (c Context) network() string {
	if !c.Network.IsValid() {
		return ""
	}
	return c.Network.Unmap().WithZone("").String()
}

// condition is the Condition of an Authorization, ready to be asked. It may be
// asked by several goroutines; a nil condition is one that nobody can evaluate.
//
// The language is a part of the one that Casbin's matchers are written in.
// A condition compares
//
//	network   the address, as text
//	device    the name of the device, as text
//	hour      0 to 23, by the Authorizer's clock, in UTC
//	minute    0 to 59
//	weekday   1 to 7, Monday to Sunday
//
// with literals by == and !=, numbers also by < <= > >=, or asks whether one is
// in a list, as in hour in (8, 9). ipMatch(network, '10.0.0.0/8') asks for an
// address or a range of them. Comparisons are joined by &&, || and !, the last
// before a parenthesis or ipMatch, and grouped by parentheses. There are no
// loops, no arithmetic and no other functions, so that asking takes a time that
// the length bounds.
//
// What is not known cannot be compared: a condition that needs the address of a
// request without one cannot be evaluated. Where it says what to do then, by
// comparing with ” anywhere, an unknown text is ”.
type condition struct {
	text string
	expr expression
	mind [2]bool // the condition says what to do when network or device are not known
}

// counts is the rule: an allow gives only where its condition is certainly
// satisfied, and a deny takes unless it certainly is not.
func (c *condition) counts(e Effect, ctx Context, now time.Time) bool {
	ok, err := c.satisfied(ctx, now)
	if e == Allow {
		return ok // never with an error
	}
	return ok || err != nil
}

// fact returns the value of a name.
func (c *condition) fact(name string, ctx Context, now time.Time) (any, error) {
	text := func(s string, minded bool) (any, error) {
		if s == "" && !minded {
			return nil, fmt.Errorf("%s is not known", name)
		}
		return s, nil
	}
	switch now = now.UTC(); name {
	case "network":
		return text(ctx.network(), c.mind[0])
	case "device":
		if len(ctx.Device) > MaxSegment {
			return nil, fmt.Errorf("device: %d bytes, %d at most", len(ctx.Device), MaxSegment)
		}
		return text(ctx.Device, c.mind[1])
	case "hour":
		return float64(now.Hour()), nil
	case "minute":
		return float64(now.Minute()), nil
	case "weekday":
		return float64((now.Weekday()+6)%7 + 1), nil
	}
	return nil, fmt.Errorf("%.40q is not known", name)
}
