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
	const piece = 1 << 16 // bytes of text that rows share
	var text strings.Builder
	var at [len(fields{}) + 1]int
	for n := 0; rows.Step(); n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		var f fields
		at[0] = text.Len()
		for i := range f {
			text.Write(rows.ColumnRawText(i))
			at[i+1] = text.Len()
		}
		all := text.String()
		for i := range f {
			f[i] = all[at[i]:at[i+1]]
		}
		var x authz.Authorization
		if err := p.row(&f, &x); err != nil {
			return err
		}
		if err := each(x); err != nil {
			return err
		}
		if text.Cap()-text.Len() < piece/16 {
			text.Reset()
			text.Grow(piece)
		}
	}
	return rows.Err()
}
