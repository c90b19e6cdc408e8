package gormstate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// spaceless says of an error of writing that the disk is full, if that is why.
// SQLite calls it an error of input and output, which helps nobody; so some room
// is asked for and given back.
func spaceless(dir string, err error) error {
	for _, other := range []error{lksync.ErrFenced, lksync.ErrState, context.Canceled, context.DeadlineExceeded, syscall.ENOSPC} {
		if errors.Is(err, other) {
			return err
		}
	}
	if err == nil || !errors.Is(room(dir), syscall.ENOSPC) {
		return err
	}
	return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
}

// room tries to write a file of a size that any further work needs.
func room(dir string) error {
	f, err := os.CreateTemp(dir, ".scratch-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
