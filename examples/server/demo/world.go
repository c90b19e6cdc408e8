// Package demo invents people and meetings, the same ones for the same seed, and
// writes them as the two embedded systems of the example server want them.
//
// Nobody in it exists. The names come from sixteen places and eleven scripts,
// because most software that moves other people's data fails on those first:
// letters that fold wrongly, text that runs from right to left, characters
// outside the basic plane, family names that are two words or hold a comma.
// E-mail addresses end in example, a domain that belongs to nobody (RFC 2606
// section 2).
package demo

import (
	"math/rand/v2"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// User is a person with a mailbox.
type User struct {
	ID      string // the name of the user's node, as in tenants/acme/users/ana
	Name    string
	Address string
}

// Users are the people of the demonstration, in the order in which their
// mailboxes are served.
func Users() []User {
	return []User{
		{"ana", "Ana Vidmarić", "ana@acme.example"},
		{"bo", "Bo Lindqvist-Åkesson", "bo@acme.example"},
		{"chen", "陳 美玲", "chen@acme.example"},
	}
}

// World is everything that is there before the first round: some records on
// both sides, some on one.
type World struct {
	CRM       []*connectors.Record            // contacts and appointments
	Mailboxes map[string][]*connectors.Record // by user id
}

// Sizes of a World.
const (
	people   = 240
	meetings = 96
)

// New makes a world. The same seed makes the same one; now is the day around
// which meetings are laid, so that they are neither all past nor all far away.
func New(seed uint64, now time.Time) World {
	g := &generator{r: rand.New(rand.NewPCG(seed, 0x10c4)), places: locales(), used: map[string]int{},
		today: now.UTC().Truncate(24 * time.Hour), w: World{Mailboxes: map[string][]*connectors.Record{}}}
	for i := range people {
		g.person(i)
	}
	g.strange()
	for i := range meetings {
		g.meeting(i)
	}
	return g.w
}

type generator struct {
	r      *rand.Rand
	places []locale
	used   map[string]int // addresses
	today  time.Time
	w      World
}

func pick[T any](g *generator, from []T) T { return from[g.r.IntN(len(from))] }

func (g *generator) crm(r *connectors.Record) { g.w.CRM = append(g.w.CRM, r) }

func (g *generator) mailbox(user string, r *connectors.Record) {
	g.w.Mailboxes[user] = append(g.w.Mailboxes[user], r)
}

// Texts returns what must never be seen outside the two systems and the memory
// of the process: the distinctive texts of every record, each at least eight
// bytes long.
func (w World) Texts() []string {
	var out []string
	seen := map[string]bool{}
	add := func(rs []*connectors.Record) {
		for _, r := range rs {
			for _, f := range connectors.Fields(r.Kind) {
				switch f {
				case connectors.FieldUID, connectors.FieldZone, connectors.FieldCountry, connectors.FieldPostalCode:
					continue // not content, or shared with the whole world
				}
				if t := r.Text(f); len(t) >= 8 && !seen[t] {
					seen[t] = true
					out = append(out, t)
				}
			}
		}
	}
	add(w.CRM)
	for _, u := range Users() {
		add(w.Mailboxes[u.ID])
	}
	return out
}
