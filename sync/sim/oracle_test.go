package sim

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/policy"
	lksync "github.com/lockkeeper/lockkeeper/sync"
)

// The oracle knows what people did: every value they typed is one that nobody
// typed before, so that whatever stands anywhere names the edit it comes from.
// It knows nothing of links, intents and plans.

// canary begins every text that users type.
const canary = "kyx"

func policyFiles() fs.FS { return policy.Files() }

// thing is what people think of as one contact or appointment, wherever it stands.
type thing struct {
	n       int
	kind    connectors.Kind
	users   uint8 // who may see it, by bit
	edits   []*edit
	byValue map[connectors.Field]map[string]*edit
	places  []place
	copies  int // how many of it people made on one side at most
	deleted []*deletion

	bornCRM   bool
	organizer int  // user who organizes it
	meeting   bool // has attendees
	private   bool // was marked so at some time
	doubled   bool // a system made two of one create, or a user copied it
	touched   [2]bool
	moved     bool // its owner in the CRM changed
	restored  uint8
	reported  map[lksync.Code]int // how often a person was told, by code
	adopted   bool                // people entered it on both sides before it was ever synced
	split     bool                // and changed one of them beyond recognition before that
	reborn    bool                // made again after it was deleted, because the other side was edited
	linked    uint8               // by mailbox: the engine knew both sides as one at some time
	untold    bool                // changed in its organizer's calendar without a word to the attendees
	unsaid    bool                // a mailbox wrote to the meeting's record, and died before it could say so
	windowed  bool                // was outside of a calendar's window
}

type place struct {
	s  *system
	it *item
}

// edit is one value typed by one person.
type edit struct {
	n      int
	field  connectors.Field
	value  string
	parent *edit // what stood there when it was typed
	s      *system
	told   bool // a person was told that it may not stand
	loser  bool // the rule says that the other side wins
}

// deletion is one record deleted by a person who saw what stood in it.
type deletion struct {
	s    *system
	it   *item
	seen map[connectors.Field]*edit
}

// from reports whether e is x or was typed over x, however long ago.
func (e *edit) from(x *edit) bool {
	for ; e != nil; e = e.parent {
		if e == x {
			return true
		}
	}
	return x == nil
}

func (t *thing) edit(f connectors.Field, value string) *edit {
	if value == "" {
		return nil
	}
	return t.byValue[f][value]
}

// tracked are the fields in which each value is unique.
func tracked(f connectors.Field) bool {
	return f != connectors.FieldSensitivity && f != connectors.FieldOrganizer
}

// token is a new text that says which thing it belongs to.
func (t *thing) token(n int) string { return fmt.Sprintf("%s%dv%d", canary, t.n, n) }

// thingIn returns the number of the thing that a text belongs to, -1 if none.
func thingIn(s string) int {
	s = strings.ToLower(s)
	i := strings.Index(s, canary)
	if i < 0 {
		return -1
	}
	s = s[i+len(canary):]
	v := strings.IndexByte(s, 'v')
	if v < 0 {
		return -1
	}
	n, err := strconv.Atoi(s[:v])
	if err != nil {
		return -1
	}
	return n
}

func (w *world) thingOf(r *connectors.Record) *thing {
	s := r.Text(connectors.FieldFamilyName)
	if r.Appointment != nil {
		s = r.Appointment.Subject
	}
	if n := thingIn(s); n >= 0 && n < len(w.things) {
		return w.things[n]
	}
	return nil
}

// judgeDraft is called with every record that the engine sends.
func (w *world) judgeDraft(d driver, r *connectors.Record) {
	for _, f := range fieldsOf(r.Kind) {
		if n := thingIn(r.Text(f)); n >= 0 && w.things[n].users&(1<<d.user) == 0 {
			w.violate("I6", "thing %d, which user %d never saw, in a call for that user", n, d.user)
		}
	}
	if d.s.frozen {
		w.violate("I8", "a dry run wrote")
	}
}

// engineCreates judges a create that takes effect.
func (w *world) engineCreates(d driver, r *connectors.Record) *item {
	w.some(engineWrites)
	w.some(engineCreates)
	t := w.thingOf(r)
	if t == nil {
		w.violate("I3", "%s: a record that nobody made", d.s.name)
	}
	w.judgeValues(d, t, r, fieldsOf(r.Kind))
	there := 0
	for _, p := range t.places {
		if p.s == d.s && !p.it.gone {
			there++
		}
	}
	if there+1 > t.copies && !d.s.w.spurious(t) {
		w.violate("I2", "%s: %d records of thing %d where people made %d", d.s.name, there+1, t.n, t.copies)
	}
	it := d.s.add(r, t, d.user)
	it.made, it.written[d.user] = true, it.rec.Rev
	for _, p := range t.places {
		t.reborn = t.reborn || p.s == d.s && p.it.gone
	}
	if a := r.Appointment; a != nil && !d.s.crm() {
		// Whoever makes it in a calendar organizes it there.
		a.Organizer = connectors.Party{}
		it.org = true
	}
	w.note("    %s: engine creates %s, thing %d: %s", d.s.name, r.ID, t.n, show(r))
	return it
}

// spurious says that more records than people made are nobody's fault.
func (w *world) spurious(t *thing) bool { return t.restored != 0 }

func (w *world) judgeValues(d driver, t *thing, r *connectors.Record, fields []connectors.Field) {
	for _, f := range fields {
		v := valueOf(r, f)
		if tracked(f) && v != "" && t.edit(f, v) == nil {
			w.violate("I3", "%s: field %s of thing %d says what nobody typed there", d.s.name, f, t.n)
		}
	}
	if a := r.Appointment; a != nil && d.s.crm() && a.Sensitivity != connectors.Public {
		w.violate("G11", "a private appointment in the CRM")
	}
}

// engineUpdates judges an update that takes effect, field by field.
func (w *world) engineUpdates(d driver, it *item, r *connectors.Record, fields []connectors.Field) {
	w.some(engineWrites)
	w.some(engineUpdates)
	t := it.what
	w.judgeValues(d, t, r, fields)
	var news []connectors.Field
	for _, f := range fields {
		if !tracked(f) {
			if valueOf(r, f) != valueOf(it.rec, f) {
				news = append(news, f)
			}
			continue
		}
		a, b := t.edit(f, valueOf(r, f)), it.prov[f]
		if a == b {
			continue
		}
		news = append(news, f)
		if b != nil && !a.from(b) && !b.told {
			loser := w.set.winner == lksync.LeftWins && d.s.side() == 1 || w.set.winner == lksync.RightWins && d.s.side() == 0
			if loser {
				for ; b != nil; b = b.parent {
					b.loser = true
				}
				w.some(winnerRules)
			} else if t.restored == 0 {
				w.violate("I3", "%s: %s of thing %d: edit %d, made at %s, is overwritten by edit %d, which knows nothing of it, and nobody was told",
					d.s.name, f, t.n, b.n, b.s.name, number(a))
			}
		}
		it.prov[f] = a
	}
	if len(news) == 0 {
		w.violate("I8", "%s: an update of thing %d that changes nothing", d.s.name, t.n)
	}
	w.note("    %s: engine updates %s, thing %d, %v: %s", d.s.name, it.rec.ID, t.n, fields, show(r))
	if d.s.d.invites && it.org && len(r.Appointment.Attendees) > 0 {
		w.message(d.s, it, news, false)
	}
}

func number(e *edit) int {
	if e == nil {
		return 0
	}
	return e.n
}

// engineDeletes judges a deletion that takes effect: some person who was
// entitled to it deleted the other side and had seen everything that stands here.
func (w *world) engineDeletes(d driver, it *item) {
	w.some(engineWrites)
	w.some(engineDeletes)
	t := it.what
	why := "nobody deleted it on the other side"
	for _, x := range t.deleted {
		if x.s.crm() == d.s.crm() || x.s.crm() && d.user >= len(w.boxes) || !x.s.crm() && x.s.user != d.user {
			continue
		}
		ok := true
		for f, e := range it.prov {
			if e != nil && !x.seen[f].from(e) && !e.told && readOnlyNowhere(w, d, t.kind, f) {
				ok = false
				why = fmt.Sprintf("whoever deleted it had not seen edit %d of %s", e.n, f)
			}
		}
		if !ok {
			continue
		}
		if t.kind == ka && t.meeting {
			if !d.s.crm() && len(it.rec.Appointment.Attendees) > 0 {
				w.violate("G3", "%s: thing %d has attendees and is deleted in a mailbox", d.s.name, t.n)
			}
			if d.s.crm() && x.s.user != t.organizer {
				why = "who deleted it does not organize it"
				continue
			}
		}
		if t.kind == ka && !d.s.crm() && !t.bornCRM && !t.reborn && (t.restored == 0 || !it.made) { // a state put back takes its own copy for news
			why = "it was made in the mailbox"
			continue
		}
		w.note("    %s: engine deletes %s, thing %d", d.s.name, it.rec.ID, t.n)
		return
	}
	w.violate("I4", "%s: thing %d (%s) is deleted: %s", d.s.name, t.n, it.rec.ID, why)
}

func readOnlyNowhere(w *world, d driver, k connectors.Kind, f connectors.Field) bool {
	return !w.caps[w.boxes[d.user].d.name].Kinds[k].Fields[f].ReadOnly
}

// message is what attendees get from the mail system. Each must tell something
// that a person did and that they were not told yet.
func (w *world) message(s *system, it *item, news []connectors.Field, user bool) {
	w.some(messages)
	if it.told == nil {
		it.told = map[connectors.Field]*edit{}
	}
	fresh := user
	for _, f := range news {
		e := it.prov[f]
		if was := it.told[f]; e != was && (e.from(was) || was.loser || was.told) {
			fresh = true
		}
		it.told[f] = e
	}
	w.note("    MESSAGE to the attendees of thing %d about %v, by a user: %v", it.what.n, news, user)
	if !fresh {
		w.violate("I5", "%s: attendees of thing %d get a message that no person's action explains", s.name, it.what.n)
	}
}

// duplicated is told when the network delivers a create twice.
func (w *world) duplicated(d driver, first connectors.Written) {
	if it := d.s.byID[first.ID]; it != nil {
		it.what.copies++
		it.what.doubled = true
		w.some(doubles)
	}
}

// told is called with every commit: what people are told there.
func (w *world) told(b lksync.Batch) {
	defer w.noted(b.Put)
	for _, x := range b.Raise {
		var t *thing
		var ends [2]*item
		for i, s := range []*system{w.crm, w.boxes[w.box]} {
			if it := s.byID[x.ID[i]]; it != nil {
				t, ends[i] = it.what, it
			}
		}
		if t == nil {
			continue
		}
		if t.reported == nil {
			t.reported = map[lksync.Code]int{}
		}
		t.reported[x.Code]++
		switch x.Code {
		case lksync.CodeLater, lksync.CodeUnknown:
			continue // will be tried again: nothing is settled by it
		case lksync.CodeConflict:
			w.some(conflicts)
			w.judgeConflict(t, ends)
		case lksync.CodeAmbiguous:
			if t.copies < 2 && t.restored == 0 && !w.twice(t) {
				w.violate("I3", "thing %d is called ambiguous, and there is one of it", t.n)
			}
			w.some(ambiguous)
		case lksync.CodePrivate:
			if !t.private {
				w.violate("I3", "thing %d is called private and never was", t.n)
			}
			w.some(privates)
		case lksync.CodeDuplicate:
			if !t.doubled && t.restored == 0 {
				w.violate("I3", "thing %d is called double, and no create of it was doubled", t.n)
			}
		}
		for _, e := range t.edits {
			e.told = true
		}
	}
}

// unnoted reports whether a round wrote the record and could not note it.
func (it *item) unnoted() bool { return it.written != [maxBoxes]string{} }

// noted is told which revisions the engine remembers.
func (w *world) noted(put []lksync.Link) {
	for _, l := range put {
		// A meeting's copy that was only found by its key, and edited since, tells
		// nothing of what both sides said when they were alike.
		found := l.Rev[0] == "" || l.Rev[1] == ""
		if it := w.crm.byID[l.ID[0]]; it != nil && l.ID[1] != "" && l.State == lksync.Linked && !(it.what.meeting && found) {
			it.what.linked |= 1 << w.box
		}
		if l.State == lksync.Unlinked {
			continue // it remembers what stands there, and says nothing of who wrote it
		}
		for i, s := range []*system{w.crm, w.boxes[w.box]} {
			if it := s.byID[l.ID[i]]; it != nil && (l.Rev[i] == it.written[w.box] || l.Rev[i] == it.rec.Rev) {
				it.written[w.box] = ""
			}
		}
	}
}

// twice reports whether a thing stands more than once on some side.
func (w *world) twice(t *thing) bool {
	n := map[*system]int{}
	for _, p := range t.places {
		if !p.it.gone {
			if n[p.s]++; n[p.s] > 1 {
				return true
			}
		}
	}
	return false
}

// judgeConflict holds that a conflict is one: each side knows something that the
// other does not.
func (w *world) judgeConflict(t *thing, ends [2]*item) {
	for _, it := range ends {
		// Nobody can know whether a record was edited that the engine wrote and
		// did not hear of, or could not note.
		if it != nil && it.unnoted() {
			return
		}
	}
	if ends[0] == nil || ends[1] == nil || t.adopted && t.linked == 0 || t.touched[0] || t.touched[1] || t.restored != 0 || t.copies > 1 {
		return
	}
	var ahead [2]bool
	for _, f := range fieldsOf(t.kind) {
		if !tracked(f) {
			continue
		}
		l, r := ends[0].prov[f], ends[1].prov[f]
		if !r.from(l) && !w.caps[w.boxes[w.box].d.name].Kinds[t.kind].Fields[f].ReadOnly {
			ahead[0] = true
		}
		if !l.from(r) {
			ahead[1] = true
		}
	}
	if t.private {
		return // the mark itself is an edit
	}
	if t.meeting && t.unsaid {
		return // nobody can tell its words from those of people in the CRM
	}
	if ahead[0] && t.meeting && t.linked&(1<<w.box) == 0 {
		// The record came by way of an attendee's mailbox and was edited since;
		// now the organizer's is synced for the first time. Whether the calendar
		// moved since as well could only be told by what the meeting said then,
		// and content is not kept.
		return
	}
	if !ahead[0] || !ahead[1] {
		w.violate("I3", "thing %d is called a conflict, and only one side was changed (%v)", t.n, ahead)
	}
}

// judge looks at the world at rest.
func (w *world) judge() {
	open := w.openIssues()
	for _, t := range w.things {
		w.judgeSurvival(t)
		for m := range w.boxes {
			if t.users&(1<<m) != 0 {
				w.judgeConverged(t, m, open)
			}
		}
	}
}

// judgeSurvival: each value that somebody typed stands somewhere, or was typed
// over or deleted by somebody who saw it, or a person was told.
func (w *world) judgeSurvival(t *thing) {
	for _, e := range t.edits {
		if e.told || e.loser || t.restored != 0 {
			continue
		}
		alive := false
		for _, p := range t.places {
			if !p.it.gone && p.it.prov[e.field].from(e) && p.it.prov[e.field] != nil {
				alive = true
				break
			}
		}
		for _, x := range t.deleted {
			alive = alive || x.seen[e.field] != nil && x.seen[e.field].from(e)
		}
		if !alive {
			w.violate("I3", "edit %d, %s of thing %d, made at %s, is nowhere, and nobody was told", e.n, e.field, t.n, e.s.name)
		}
	}
}

// judgeConverged: both sides of a mailbox say the same of a thing, unless a
// person was told or the outcomes table says that they part.
func (w *world) judgeConverged(t *thing, m int, open []map[string]lksync.Code) {
	var side [2][]*item
	for _, p := range t.places {
		if p.it.gone || p.s != w.crm && p.s != w.boxes[m] || p.s == w.crm && !w.crm.sees(p.it, m) {
			continue
		}
		i := p.s.side()
		side[i] = append(side[i], p.it)
		if code, ok := open[m][p.it.rec.ID]; ok {
			if code == lksync.CodeLater || code == lksync.CodeUnknown {
				w.violate("I9", "thing %d: %s is still open at rest", t.n, code)
			}
			w.some(settledByIssue)
			return
		}
		if t.meeting && p.s == w.crm && open[t.organizer][p.it.rec.ID] == lksync.CodeConflict && t.organizer != m {
			// The organizer has to decide, and was told; nobody else's calendar
			// can be brought into line before that.
			w.some(settledByIssue)
			return
		}
	}
	l, r := len(side[0]), len(side[1])
	if l > t.copies && t.restored == 0 || r > t.copies && t.restored == 0 {
		w.violate("I2", "thing %d stands %d times in the CRM and %d times in mailbox %d, and people made %d", t.n, l, r, m, t.copies)
	}
	if t.parted(m) {
		w.some(parted)
		return
	}
	w.some(strict)
	if l != r {
		w.violate("I1", "at rest thing %d stands %d times in the CRM and %d times in mailbox %d (%s)", t.n, l, r, m, w.boxes[m].d.name)
	}
	if l != 1 {
		return
	}
	ra, rb := side[0][0].rec, side[1][0].rec
	for _, f := range fieldsOf(t.kind) {
		if w.caps[w.boxes[m].d.name].Kinds[t.kind].Fields[f].ReadOnly {
			continue
		}
		if valueOf(ra, f) != valueOf(rb, f) {
			w.violate("I1", "at rest %s of thing %d differs between the CRM (%s) and mailbox %d (%s): edits %d and %d", f, t.n, ra.ID, m, rb.ID,
				number(side[0][0].prov[f]), number(side[1][0].prov[f]))
		}
	}
}

// parted says that the two sides of a thing may differ at rest.
func (t *thing) parted(m int) bool {
	if t.moved || t.windowed || t.restored != 0 || t.copies > 1 || t.private || t.reborn {
		return true
	}
	if t.untold && m != t.organizer {
		return true
	}
	for _, x := range t.deleted {
		if !x.s.crm() && x.s.user != m {
			continue
		}
		if t.reported[lksync.CodeConflict] > 0 {
			return true // a conflict and a deletion: unlinked
		}
		if t.kind == kc {
			continue
		}
		if !x.s.crm() && t.meeting && t.linked&(1<<m) == 0 {
			// Cancelled before the organizer's mailbox was ever linked to the
			// record, which an attendee's mailbox had brought: nobody can tell
			// that from a mailbox that never had it, and absence deletes nothing.
			return true
		}
		if !x.s.crm() && t.meeting { // cancelled, and edited in the CRM by somebody who did not know: not sent out again
			if t.touched[0] { // which looks like an edit
				return true
			}
			for _, p := range t.places { // as does an edit that the engine carried across and could not note
				if p.it.unnoted() {
					return true
				}
			}
			for _, e := range t.edits {
				if e.s.crm() && (x.seen[e.field] == nil || !x.seen[e.field].from(e)) {
					return true
				}
			}
		}
		if x.s.crm() && (t.meeting || !t.bornCRM) || !x.s.crm() && t.meeting && x.s.user != t.organizer {
			return true
		}
		// A meeting is not made again in its organizer's calendar, nor deleted
		// with what the organizer never saw: the two part.
		for _, p := range t.places {
			for f, e := range p.it.prov {
				if t.meeting && !p.it.gone && e != nil && !x.seen[f].from(e) {
					return true
				}
			}
		}
	}
	return false
}

// openIssues asks as the user would.
func (w *world) openIssues() []map[string]lksync.Code {
	out := make([]map[string]lksync.Code, len(w.boxes))
	for m := range w.boxes {
		out[m] = map[string]lksync.Code{}
		p := w.pairs[m]
		p.OnBehalfOf = authz.Principal{}
		page, err := w.e.Issues(context.Background(), w.a.users[m], p, lksync.IssueQuery{Limit: 1000, Names: true})
		if err != nil {
			w.violate("I9", "issues cannot be read: %v", err)
		}
		for _, i := range page.Issues {
			w.leaks("an issue", i.What, i.Undone, i.Next)
			for _, id := range []string{i.Left, i.Right} {
				if id != "" {
					out[m][id] = i.Code
				}
			}
		}
	}
	return out
}

func show(r *connectors.Record) string {
	var b strings.Builder
	for _, f := range fieldsOf(r.Kind) {
		if v := valueOf(r, f); v != "" && v != "0" {
			fmt.Fprintf(&b, "%s=%s ", f, v)
		}
	}
	return b.String()
}
