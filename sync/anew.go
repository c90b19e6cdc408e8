package sync

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// anew says what a round looks at although nobody changed it.
type anew uint8

const (
	leftOut    anew = iota + 1 // what was out of the window or filter
	everything                 // all, for another policy holds
)

// theRule is the side under which a state keeps, instead of a cursor, a check of
// the policy that held at the last finished round, and when everything was last
// listed for its sake.
const theRule Side = 0

// renew finds out whether there is more to look at than what was changed.
func (k *kindRound) renew(ctx context.Context) error {
	was, err := k.st.Cursor(ctx, theRule, k.kind)
	if err != nil {
		return err
	}
	p := k.t.rule.Policy
	if p != nil && p.Version != "" {
		key, err := k.st.Key(ctx)
		if err != nil {
			return err
		}
		m := hmac.New(sha256.New, key)
		m.Write([]byte("policy\x00" + p.Version))
		k.ruled = hex.EncodeToString(m.Sum(nil)[:16])
	}
	if was != k.ruled {
		k.anew = everything
		return nil
	}
	if p == nil || !p.Slides {
		return nil
	}
	at, err := k.st.Swept(ctx, theRule, k.kind)
	if err == nil && k.now.Sub(at) >= k.e.o.SweepEvery {
		k.anew = leftOut
	}
	return err
}

// renewed adds to the last batch of a round what the next one has to know.
func (k *kindRound) renewed(last *Batch) {
	switch k.anew {
	case everything:
		last.Cursors = append(last.Cursors, Position{Side: theRule, Kind: k.kind, Cursor: k.ruled})
		fallthrough
	case leftOut:
		last.Sweeps = append(last.Sweeps, Position{Side: theRule, Kind: k.kind, At: k.now})
	}
}
