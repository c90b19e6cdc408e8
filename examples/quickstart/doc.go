// Package quickstart is the code of the README: two systems, one rule of who may
// do what, and a round of synchronisation between them. It is compiled and run
// with the tests, so that the README cannot lie.
package quickstart
