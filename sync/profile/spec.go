package profile

// spec is a profile as it is written, all layers merged. The names of the keys
// and what each may hold are in the tags; see README.md for what they mean.
type spec struct {
	Version   int                 `key:"version" min:"1" max:"1"`
	Locked    []string            `key:"locked"`
	Zone      zoneName            `key:"zone"`
	Window    windowSpec          `key:"window"`
	Private   Private             `key:"private"`
	Own       people              `key:"own"`
	Blocklist people              `key:"blocklist"`
	FreeMail  []domain            `key:"free_mail"`
	Kinds     map[kindName]*kinds `key:"kinds"`
	Mail      mailSpec            `key:"mail"`
}

type windowSpec struct {
	Past  days `key:"past_days"`
	Ahead days `key:"ahead_days"`
}

type people struct {
	Addresses []address `key:"addresses"`
	Domains   []domain  `key:"domains"`
}

type kinds struct {
	Enabled     bool                 `key:"enabled"`
	Direction   Direction            `key:"direction"`
	Winner      Winner               `key:"winner"`
	Deletes     Deletes              `key:"deletes"`
	ReadOnly    bool                 `key:"read_only"`
	Windowed    bool                 `key:"windowed"`
	Marked      markedSpec           `key:"marked"`
	Filters     filterSpec           `key:"filters"`
	Attachments attachmentSpec       `key:"attachments"`
	Reminder    reminderSpec         `key:"reminder"`
	Fields      map[string]fieldSpec `key:"fields"`
	Attendees   attendeeSpec         `key:"attendees"`

	Cancels         bool `key:"cancels"`
	AttendeeDeletes bool `key:"attendee_deletes"`
	WindowDeletes   bool `key:"window_deletes"`

	Calendar Calendar `key:"calendar"`

	Account accountSpec `key:"account"`
}

type markedSpec struct {
	Needed     bool     `key:"needed"`
	Categories []string `key:"categories"`
	Folders    []string `key:"folders"`
}

type filterSpec struct {
	CRM     string `key:"crm"`
	Mailbox string `key:"mailbox"`
}

type attachmentSpec struct {
	Carry  bool        `key:"carry"`
	Allow  []extension `key:"allow"`
	Refuse []extension `key:"refuse"`
	Min    size        `key:"min_size"`
	Max    size        `key:"max_size"`
}

type reminderSpec struct {
	Set     Remind  `key:"set"`
	Minutes int     `key:"minutes" min:"0" max:"527040"`
	At      clockAt `key:"at"`
}

type fieldSpec struct {
	Carry   Carry    `key:"carry"`
	Default bothText `key:"default"`
	Compute bothText `key:"compute"`
}

// bothText has a text for each side.
type bothText struct {
	CRM     string `key:"crm"`
	Mailbox string `key:"mailbox"`
}

type attendeeSpec struct {
	Create  NewPeople  `key:"create"`
	Account NewCompany `key:"account"`
}

type accountSpec struct {
	Match     []Match   `key:"match"`
	Otherwise Otherwise `key:"otherwise"`
	Country   string    `key:"country"`
}

type mailSpec struct {
	AutoSave bool       `key:"auto_save"`
	Folders  []string   `key:"folders"`
	Match    []kindName `key:"match"`
	Inbound  bool       `key:"inbound"`
	Outbound bool       `key:"outbound"`
	Threads  bool       `key:"follow_threads"`
}

// Direction says which way records of a kind cross.
type Direction string

// Directions.
const (
	Both      Direction = "both"
	ToCRM     Direction = "to-crm"
	ToMailbox Direction = "to-mailbox"
)

func (Direction) choices() []string { return []string{"both", "to-crm", "to-mailbox"} }

// Winner says whose values stand when both sides changed.
type Winner string

// Winners. Ask leaves both as they are and tells a person.
const (
	Ask         Winner = "ask"
	CRMWins     Winner = "crm"
	MailboxWins Winner = "mailbox"
)

func (Winner) choices() []string { return []string{"ask", "crm", "mailbox"} }

// Deletes says what happens to a record whose partner was deleted.
type Deletes string

// What may happen. Unlink keeps the record and follows it no longer.
const (
	Follow Deletes = "follow"
	Unlink Deletes = "unlink"
)

func (Deletes) choices() []string { return []string{"follow", "unlink"} }

// Calendar says to whose calendar a record of the CRM comes.
type Calendar string

// Whose it may be. Visits only may come to their owner's.
const (
	OrganizersCalendar Calendar = "organizer"
	OwnersCalendar     Calendar = "owner"
)

func (Calendar) choices() []string { return []string{"organizer", "owner"} }

// Private says what becomes of what its owner marked as private.
type Private string

// What may become of it. Block lets an event cross as a block of time without
// any of its content; other kinds do not cross at all.
const (
	Skip  Private = "skip"
	Block Private = "block"
)

func (Private) choices() []string { return []string{"skip", "block"} }

// Carry says which way a field crosses.
type Carry string

// Ways of a field. The empty Carry is that of the record.
const (
	CarryAsRecord  Carry = ""
	CarryToCRM     Carry = "to-crm"
	CarryToMailbox Carry = "to-mailbox"
	CarryNever     Carry = "never"
)

func (Carry) choices() []string { return []string{"to-crm", "to-mailbox", "never"} }

// Remind says what becomes of the reminder of a record made in the mailbox.
type Remind string

// What may become of it.
const (
	RemindKeep   Remind = "keep" // as the record says
	RemindAlways Remind = "always"
	RemindNever  Remind = "never"
)

func (Remind) choices() []string { return []string{"keep", "always", "never"} }

// NewPeople says as what attendees whom the CRM does not know are created.
type NewPeople string

// What they may become.
const (
	NoPeople    NewPeople = "none"
	NewContacts NewPeople = "contacts"
	NewLeads    NewPeople = "leads"
)

func (NewPeople) choices() []string { return []string{"none", "contacts", "leads"} }

// NewCompany says which company a created attendee gets.
type NewCompany string

// Which it may get.
const (
	NoCompany     NewCompany = "none"
	DomainCompany NewCompany = "domain" // one named after the mail domain
)

func (NewCompany) choices() []string { return []string{"none", "domain"} }

// Match is one way of finding the account of a contact.
type Match string

// Ways, tried in the order in which a profile lists them.
const (
	Exact     Match = "exact"     // the same name; of several the oldest
	Substring Match = "substring" // the only account whose name has it in it
)

func (Match) choices() []string { return []string{"exact", "substring"} }

// Otherwise says what happens when no account matches.
type Otherwise string

// What may happen.
const (
	NoAccount     Otherwise = "none"
	CreateAccount Otherwise = "create"
)

func (Otherwise) choices() []string { return []string{"none", "create"} }
