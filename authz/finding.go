package authz

import "fmt"

// Severity is how bad a Finding is.
type Severity uint8

// Severities, the worst last.
const (
	Note    Severity = iota + 1 // worth knowing, nothing to repair
	Warning                     // the policy works and probably means something else
	Error                       // New refuses the policy, or it breaks a rule of this package
)

// String returns "note", "warning" or "error".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Error:
		return "error"
	}
	return "none"
}

// MarshalText writes the text form.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is something about a policy that its author should look at.
type Finding struct {
	File     string   `json:"file"`
	Line     int      `json:"line"` // zero: the file as a whole
	Rule     string   `json:"rule"` // the kind of finding, as in shadowed-row
	Severity Severity `json:"severity"`
	Text     string   `json:"text"` // what is wrong and how to repair it
}

// String writes file, line, severity, rule and text on one line.
func (f Finding) String() string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	return fmt.Sprintf("%s: %s: %s [%s]", at, f.Severity, f.Text, f.Rule)
}
