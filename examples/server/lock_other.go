//go:build !unix

package main

import "os"

// flock does nothing here: starting only one server on a directory is left to
// the person who starts it.
func flock(*os.File) error { return nil }
