//go:build !race

package hashivault_test

const raceEnabled = false
