//go:build unix

package main

import (
	"os"
	"syscall"
)

// flock takes the lock of a file or fails at once. The kernel lets go of it
// when the process ends, however it ends.
func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
