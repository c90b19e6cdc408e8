//go:build !unix

package local

// lock does nothing here: only one process may use the keyring.
func lock(string) (func(), error) { return func() {}, nil }
