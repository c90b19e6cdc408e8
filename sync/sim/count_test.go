package sim

// some is a state that a run must reach often enough to mean anything.
type some uint8

const (
	userCreates some = iota
	userEdits
	userDeletes
	midEdits
	adoptions
	touches
	copied
	conflicts
	ambiguous
	privates
	engineWrites
	engineCreates
	engineUpdates
	engineDeletes
	lostReplies
	lostRequests
	lateRequests
	doubles
	expired
	denials
	diskFaults
	crashes
	takeovers
	meanwhiles
	pagesAgain
	pagesShuffled
	listedTwice
	throttled
	refusedCredentials
	unreadable
	clocksOff
	lagged
	tableFaults
	fenced
	restores
	clockJumps
	winnerRules
	messages
	fanOuts
	plans
	settledByIssue
	parted
	strict
	somes
)

func (s some) String() string {
	return [...]string{"people create", "people edit", "people delete", "edits in the middle of a round", "known on both sides at first", "touches",
		"copies", "conflicts", "ambiguous", "private", "engine writes", "engine creates", "engine updates", "engine deletes", "replies lost after the effect",
		"requests lost", "requests late", "delivered twice", "cursors expired", "denials", "disk full", "crashes", "second worker", "another mailbox's round in the middle",
		"pages replayed", "pages out of order", "listed twice", "asked to slow down", "credentials refused", "one record unreadable",
		"a system's clock is off", "writes invisible for a while", "table of meetings not written", "fenced",
		"states restored", "clock put back", "winner rule", "messages to attendees", "meetings in several mailboxes", "dry runs", "at rest with an issue",
		"at rest, parted by rule", "at rest, equal"}[s]
}

func (w *world) some(s some) { w.count.some[s]++ }

func (c *counters) add(o counters) {
	c.steps += o.steps
	c.faulty += o.faulty
	c.rounds += o.rounds
	for i := range c.some {
		c.some[i] += o.some[i]
	}
}
