//go:build !unix

package sync

import "time"

// cpuTime is not known here.
func cpuTime() time.Duration { return 0 }
