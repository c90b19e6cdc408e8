package sync_test

import (
	"testing"

	lksync "github.com/lockkeeper/lockkeeper/sync"
	"github.com/lockkeeper/lockkeeper/sync/statetest"
)

func TestMemoryConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) lksync.StateStore { return &lksync.Memory{} })
}
