//go:build goexperiment.runtimesecret

package secrets

import "runtime/secret"

// erase runs f and has the registers, the stack and, once it is garbage, the
// memory that f used overwritten. Needs GOEXPERIMENT=runtimesecret.
func erase(f func()) { secret.Do(f) }

// erases tells the measurement which build it is.
const erases = true
