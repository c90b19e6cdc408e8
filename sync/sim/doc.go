// Package sim runs the real engine, authorizer and hub in a world that it
// makes up from a number: one CRM, a few mailboxes with the habits of Graph,
// EWS, Google and CalDAV, users who edit at any moment, and everything that goes
// wrong between them. An oracle that knows only what people did, and nothing of
// how the engine decides, judges what is left.
//
// It is all in tests:
//
//	go test ./sync/sim -run Sim                          the first seeds
//	go test ./sync/sim -run Sim -sim.first=9 -sim.seeds=1000
//	go test ./sync/sim -run Sim -sim.seed=42 -v           one seed, told step by step
//	go test ./sync/sim -run Sim -sim.seed=42 -sim.keep=3,7,12
//
// A failure prints the command that repeats it with the fewest steps that still
// fail. The same seed makes the same trace, on any number of processors.
package sim
