package sync

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// recover settles every create that was announced and not finished: found on the
// other side, it is linked; not found for long enough, it never happened, and its
// source is looked at again. It returns what to look at beside the changes.
func (k *kindRound) recover(ctx context.Context) ([]recordAt, error) {
	all, err := k.st.Intents(ctx)
	if err != nil {
		return nil, err
	}
	var again []recordAt
	for _, s := range []Side{Left, Right} {
		var open []Intent
		for _, in := range all {
			if in.Kind == k.kind && in.Side == s {
				open = append(open, in)
			}
		}
		for chunk := range slices.Chunk(open, max(1, min(k.t.caps[s.at()].Batch, connectors.MaxItems))) {
			keys := make([]string, len(chunk))
			for i, in := range chunk {
				keys[i] = in.Key
			}
			found, err := k.p.conn(s).Find(ctx, k.kind, keys)
			if err != nil {
				return nil, fmt.Errorf("recover %s: %w", s, err)
			}
			looked := k.e.o.Clock()
			var b Batch
			for _, in := range chunk {
				// The source is read again in any case: it may have changed or
				// gone since, and its copy too.
				source := recordAt{s.Other(), in.SourceID}
				again = append(again, source)
				hits := found[in.Key]
				if len(hits) == 0 {
					k.keys[in.Key] = source
					if k.overdue(in, s, looked, &b) {
						k.unsettled[source] = in.Key
					} else {
						k.waiting[source] = true // it may still be on its way
					}
					continue
				}
				// The intent ends with the round that looked at both records,
				// not before: what else would remember to look?
				k.settled = append(k.settled, in.Key)
				k.foundBy[source], k.foundBy[recordAt{s, hits[0].ID}] = in.Key, in.Key
				l, linked, err := k.st.Find(ctx, k.kind, s.Other(), in.SourceID)
				if err != nil {
					return nil, err
				}
				_, taken, err := k.st.Find(ctx, k.kind, s, hits[0].ID)
				if err != nil {
					return nil, err
				}
				if (taken || linked && l.ID[s.at()] != "") && (s == Right || k.table == nil) {
					continue // settled already, perhaps by an earlier round
				}
				rev, err := k.copyRev(ctx, s, hits[0].ID, in.Key, in.Check)
				if err != nil {
					return nil, err
				}
				if s == Left && rev != "" {
					k.made[hits[0].ID] = rev
				}
				if taken || linked && l.ID[s.at()] != "" {
					continue
				}
				l.Kind, l.Origin, l.State, l.Seen = k.kind, s.Other(), Linked, k.now
				l.ID[s.at()], l.Rev[s.at()] = hits[0].ID, rev
				l.ID[s.Other().at()], l.Rev[s.Other().at()] = in.SourceID, in.Rev
				b.Put = append(b.Put, l)
				if len(hits) > 1 {
					u := &unit{}
					u.views[s.at()].id, u.views[s.Other().at()].id = hits[0].ID, in.SourceID
					k.raise(&b, u, CodeDuplicate)
				}
			}
			if err := k.commit(ctx, b); err != nil {
				return nil, err
			}
		}
	}
	return again, nil
}

// overdue reports whether a create was looked for in vain for so long that it did
// not happen. The wait counts from the first look that found nothing, which is kept:
// the announcement may be far older than the end of the call, and what is made at
// its end is not to be seen at once.
func (k *kindRound) overdue(in Intent, s Side, looked time.Time, b *Batch) bool {
	if in.Missed.IsZero() || looked.Before(in.Missed.Add(-time.Second)) { // or the clock was put back
		b.Begin = append(b.Begin, missed(in, looked))
		return false
	}
	return k.now.Sub(in.Missed) >= k.patience(in.Kind, s) // from the beginning of the round: a clock may jump in it
}

// missed notes in an intent that it was looked for and not found.
func missed(in Intent, looked time.Time) Intent {
	in.Missed = looked.UTC().Truncate(time.Second).Add(time.Second) // not earlier than it was
	return in
}

// patience is how long a create has to be looked for before it is sent again.
func (k *kindRound) patience(kind connectors.Kind, s Side) time.Duration {
	c, _ := k.p.conn(s).Capability(kind)
	return k.e.o.Settle + c.Lag
}
