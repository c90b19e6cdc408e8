package connectors

import "strings"

// SmartDelimiter is the line that parts a description: above it is what people
// wrote, below it what the software appended and writes anew. Any line of at
// least ten plus signs and nothing else is taken for it.
const SmartDelimiter = "++++++++++++++++++++++++++++++++++++++++"

// LocationDelimiter parts the two places of a visit that a calendar has one
// field for.
const LocationDelimiter = " /-/-/ "

const leastDelimiter = 10

// CutSmart divides a description at its first delimiter into what people wrote
// and what was appended, both without white space around. A description without
// a delimiter is all people's own.
func CutSmart(s string) (own, smart string) {
	at := strings.Index(s, SmartDelimiter[:leastDelimiter])
	for rest := 0; at >= 0; {
		at += rest
		start, end := strings.LastIndexByte(s[:at], '\n')+1, len(s)
		if i := strings.IndexByte(s[at:], '\n'); i >= 0 {
			end = at + i
		}
		if line := strings.TrimSpace(s[start:end]); strings.Trim(line, "+") == "" {
			return strings.TrimSpace(s[:start]), strings.TrimSpace(s[end:])
		}
		rest = end
		at = strings.Index(s[rest:], SmartDelimiter[:leastDelimiter])
	}
	return strings.TrimSpace(s), ""
}

// JoinSmart is the inverse of CutSmart. Nothing to append means no delimiter.
// What would itself hold a delimiter is cut there first.
func JoinSmart(own, smart string) string {
	own, _ = CutSmart(own)
	if smart = strings.TrimSpace(smart); smart == "" {
		return own
	}
	if own == "" {
		return SmartDelimiter + "\n" + smart
	}
	return own + "\n\n" + SmartDelimiter + "\n" + smart
}

// CutLocation divides a location into its two places, the second "" if there is
// one only.
func CutLocation(s string) (first, second string) {
	a, b, _ := strings.Cut(s, strings.TrimSpace(LocationDelimiter))
	return strings.TrimSpace(a), strings.TrimSpace(b)
}

// JoinLocation is the inverse of CutLocation.
func JoinLocation(first, second string) string {
	first, second = strings.TrimSpace(first), strings.TrimSpace(second)
	switch {
	case second == "":
		return first
	case first == "":
		return strings.TrimSpace(LocationDelimiter + second)
	}
	return first + LocationDelimiter + second
}
