package authz

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// imported stands before everything that came from Casbin, so that nothing of
// it is taken for what was here before.
const imported = "casbin"

// actNames returns the permission and the role for an action of Casbin. Short
// words of lower-case letters and digits keep their name, others are written
// in hex, and those too long for that are named by their digest.
func actNames(act string) (perm, role string, err error) {
	if err := checkSegment(act); err != nil {
		return "", "", err
	}
	plainWord := act[0] >= 'a'
	var p, r strings.Builder
	for i := range len(act) {
		b := act[i]
		if 'a' <= b && b <= 'z' || '0' <= b && b <= '9' {
			p.WriteByte(b)
			r.WriteByte(b)
			continue
		}
		plainWord = false
		fmt.Fprintf(&p, "_%02x", b)
		fmt.Fprintf(&r, "-%02x", b)
	}
	sum := sha256.Sum256([]byte(act))
	digest := hex.EncodeToString(sum[:28])
	switch {
	case p.Len() > 96:
		perm = imported + ".digest.x" + digest
	case plainWord:
		perm = imported + "." + p.String()
	default:
		perm = imported + ".act.x" + p.String()
	}
	switch {
	case r.Len() > 56:
		role = "role:digest-" + digest
	case plainWord:
		role = "role:" + imported + "-" + r.String()
	default:
		role = "role:act-x" + r.String()
	}
	return perm, role, nil
}

// roleTeam returns the team that a Casbin role becomes, one in every domain.
func roleTeam(in []string, role string) (Principal, error) {
	parts := []string{imported}
	for _, p := range append(slices.Clip(in), role) {
		if err := checkSegment(p); err != nil {
			return Principal{}, err
		}
		parts = append(parts, escape(p))
	}
	return Team(strings.Join(parts, "/"))
}
