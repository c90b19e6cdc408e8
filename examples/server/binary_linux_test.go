package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The disk that the states are on runs full in the middle of a round. The program
// says so and ends; nothing is lost or doubled when there is room again.
//
// fault: F10
func TestAFullDiskStopsTheProgramAndNothingElse(t *testing.T) {
	p := compiled(t, *records)
	p.killed(0)
	states := filepath.Join(p.data, statesDir)
	require.NoError(t, os.RemoveAll(states)) // nothing of it is known to anybody yet
	require.NoError(t, os.MkdirAll(states, 0o700))
	mount := func(size string, flags uintptr) error {
		return syscall.Mount("tmpfs", states, "tmpfs", flags, "mode=700,size="+size)
	}
	if err := mount("400k", 0); err != nil {
		t.Skip("LEFT OUT: a small disk needs the right to mount one: ", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(states, syscall.MNT_DETACH)) }()
	for range 2 {
		code, said := p.once()
		require.Equal(t, exitUnavailable, code, said)
		require.Contains(t, said, "no space left on device")
		require.NotContains(t, said, "goroutine ")
	}
	require.NoError(t, mount("64m", syscall.MS_REMOUNT))
	p.settle()
	p.everythingOnce()
}
