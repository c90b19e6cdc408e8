package gormstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"

	"gorm.io/gorm"

	"github.com/lockkeeper/lockkeeper/authz"
)

type historyRow struct {
	Revision uint64
	Change   string
}

// Changes implements authz.Store. It reads page by page and holds no connection
// while it yields. A revision that is missing is an error: whoever follows the
// history would miss what it did.
func (s *Store) Changes(ctx context.Context, after uint64) iter.Seq2[authz.Change, error] {
	return func(yield func(authz.Change, error) bool) {
		if after >= math.MaxInt64 {
			return
		}
		for last := after; ; {
			rows, err := page(s.db.WithContext(ctx), last)
			if err != nil {
				yield(authz.Change{}, fmt.Errorf("gormstore: changes: %w", err))
				return
			}
			for _, r := range rows {
				c, err := r.value(last + 1)
				if err != nil {
					yield(authz.Change{}, fmt.Errorf("gormstore: changes: %w", err))
					return
				}
				if !yield(c, nil) {
					return
				}
				last = c.Revision
			}
			if len(rows) < historyPage {
				return
			}
		}
	}
}

// historyPage bounds what is in memory: a change may be as large as an import.
const historyPage = 50

func page(db *gorm.DB, after uint64) (rows []historyRow, err error) {
	err = db.Table("authz_history").Where("revision > ?", after).Order("revision").Limit(historyPage).Find(&rows).Error
	return rows, err
}

// value returns the change that makes a revision.
func (r historyRow) value(want uint64) (c authz.Change, err error) {
	if r.Revision != want {
		return c, fmt.Errorf("revision %d is missing", want)
	}
	if err := json.Unmarshal([]byte(r.Change), &c); err != nil {
		return c, fmt.Errorf("revision %d: %w", want, err)
	}
	if c.Revision != want {
		return c, errors.New("a change is not of the revision it is kept under")
	}
	return c, nil
}
