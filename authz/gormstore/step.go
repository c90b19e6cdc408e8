package gormstore

import (
	"context"
	"database/sql/driver"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
)

// stepper is a statement of a driver that shows columns where they lie, as that
// of package sqlite does. Handing over values, as drivers otherwise do, costs
// more than all that is done with them here.
type stepper interface {
	Step() bool
	Err() error
	ColumnRawText(column int) []byte // until the next Step
}

// step reads all assignments row by row, if the driver can be asked to.
func (t transaction) step(p *parser, each func(authz.Authorization) error) (can bool, err error) {
	if t.under == nil {
		return false, nil
	}
	err = t.under.Raw(func(conn any) error {
		c, ok := conn.(driver.ConnPrepareContext)
		if !ok {
			return nil
		}
		stmt, err := c.PrepareContext(t.ctx, "SELECT "+strings.Join(columns(), ", ")+" FROM authz_assignments")
		if err != nil {
			return err
		}
		defer stmt.Close()
		var rows stepper
		if rows, can = stmt.(stepper); can {
			err = walk(t.ctx, rows, p, each)
		}
		return err
	})
	return can, err
}

func walk(ctx context.Context, rows stepper, p *parser, each func(authz.Authorization) error) error {
	var f fields
	for n := 0; rows.Step(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for i := range f {
			f[i] = rows.ColumnRawText(i)
		}
		var x authz.Authorization
		if err := p.row(&f, &x); err != nil {
			return err
		}
		if err := each(x); err != nil {
			return err
		}
	}
	return rows.Err()
}
