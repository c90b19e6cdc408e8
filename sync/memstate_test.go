package sync_test

import (
	"testing"

	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/statetest"
)

func TestMemoryConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) lksync.StateStore { return &lksync.Memory{} })
}

func TestMemorySharedConformance(t *testing.T) {
	statetest.RunShared(t, func(*testing.T) (lksync.MeetingStore, lksync.StopStore) {
		return &lksync.MemoryMeetings{}, &lksync.MemoryStops{}
	})
}
