//go:build !goexperiment.runtimesecret

package secrets

// erase runs f. What f leaves behind is the garbage collector's: builds with
// GOEXPERIMENT=runtimesecret overwrite it.
func erase(f func()) { f() }

// erases tells the measurement which build it is.
const erases = false
