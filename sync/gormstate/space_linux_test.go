package gormstate

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// A state on a full disk says so, keeps what it had, and goes on when there is
// room again.
//
// fault: F10
func TestAFullDiskIsCalledByItsName(t *testing.T) {
	dir := t.TempDir()
	mount := func(size string, flags uintptr) error {
		return syscall.Mount("tmpfs", dir, "tmpfs", flags, "mode=700,size="+size)
	}
	if err := mount("300k", 0); err != nil {
		t.Skip("LEFT OUT: a small disk needs the right to mount one: ", err)
	}
	defer func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) }()
	s, err := New(dir, keyring(t), nil)
	require.NoError(t, err)
	h, err := s.Open(t.Context(), "a")
	require.NoError(t, err)
	kept := 0
	put := func() error {
		var b lksync.Batch
		for i := range 100 {
			b.Put = append(b.Put, lksync.Link{Kind: connectors.KindContact, Origin: lksync.Left, State: lksync.Linked,
				ID: [2]string{fmt.Sprint("left side ", kept+i), fmt.Sprint("right side ", kept+i)}})
		}
		err := h.Commit(t.Context(), b)
		if err == nil {
			kept += len(b.Put)
		}
		return err
	}
	for err = nil; err == nil; {
		err = put()
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.ErrorContains(t, err, "no space left on device")
	_ = h.Close()
	require.NoError(t, mount("16m", syscall.MS_REMOUNT))
	h, err = s.Open(t.Context(), "a")
	require.NoError(t, err)
	n, err := h.Count(t.Context(), connectors.KindContact)
	require.NoError(t, err)
	require.Contains(t, []int{kept, kept + 100}, n, "what was acknowledged, and at most the batch that failed, whole")
	kept += 100 // so that the next ids are others
	require.NoError(t, put())
	require.NoError(t, h.Close())
}
