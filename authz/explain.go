package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Explanation says why a request is allowed, or what is nearest to allowing it.
type Explanation struct {
	Decision Decision
	Reason   string   // one sentence
	Nearest  []string // for a refusal: what is almost there, or which roles would do
}

// Explain answers as Check does, in words. For a refusal it names, in this
// order, Authorizations that would do if they stood here or now, and the roles
// that carry the permission.
func (a *Authorizer) Explain(ctx context.Context, req Request) (Explanation, error) {
	d, err := a.Check(ctx, req)
	if err != nil {
		return Explanation{Decision: d, Reason: d.Reason()}, err
	}
	x := Explanation{Decision: d, Reason: d.Reason()}
	ix := a.ix
	bit, known := ix.cat().number[req.Permission.name]
	if d.Allowed || !known {
		return x, nil
	}
	now := a.now()
	for _, holder := range append([]Principal{d.Principal}, ix.teamsOf(d.Principal)...) {
		for _, h := range ix.heldBy(holder) {
			if h.Effect != Allow || !ix.cat().sets[h.Role.name].has(bit) {
				continue
			}
			switch {
			case h.Resource.Contains(req.Resource) && now.Before(h.From):
				x.Nearest = append(x.Nearest, fmt.Sprintf("%s on %s begins at %s", h.Role, h.Resource, h.From.UTC().Format("2006-01-02 15:04 MST")))
			case h.Resource.Contains(req.Resource) && !h.active(now):
				x.Nearest = append(x.Nearest, fmt.Sprintf("%s on %s ended at %s", h.Role, h.Resource, h.Until.UTC().Format("2006-01-02 15:04 MST")))
			case h.active(now) && !h.Resource.Contains(req.Resource):
				x.Nearest = append(x.Nearest, fmt.Sprintf("%s is held on %s, not here", h.Role, h.Resource))
			}
		}
	}
	slices.Sort(x.Nearest)
	if len(x.Nearest) > 5 {
		x.Nearest = x.Nearest[:5]
	}
	var roles []string
	for _, r := range ix.cat().roles {
		if ix.cat().sets[r].has(bit) {
			roles = append(roles, r)
		}
	}
	x.Nearest = append(x.Nearest, "carried by "+strings.Join(roles, ", "))
	return x, nil
}
