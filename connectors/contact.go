package connectors

// Contact is a person as both worlds know one, be it a contact at a company, a
// customer of their own, or a lead: flat text fields, one business
// address, up to three e-mail addresses of which the first is the main one.
// What a system holds beyond these stays where it is: an update never touches
// what it does not name.
type Contact struct {
	Prefix     string // academic or courtesy title before the name
	GivenName  string
	MiddleName string
	FamilyName string
	Suffix     string
	Nickname   string
	Company    string
	Department string
	JobTitle   string
	Email      string // main address
	Email2     string
	Email3     string
	Phone      string // business
	Mobile     string
	HomePhone  string
	Fax        string
	Street     string // business address
	City       string
	Region     string
	PostalCode string
	Country    string // ISO 3166-1 alpha-2 where known, else the text as written
	Birthday   string // YYYY-MM-DD, "" if unknown
	Website    string
	Note       string // plain text, lines end in LF
	Topic      string // of a lead: what they ask for

	Sensitivity Sensitivity
}

// Account is a company in the CRM.
type Account struct {
	Name       string
	Phone      string
	Email      string
	Website    string
	Street     string
	City       string
	Region     string
	PostalCode string
	Country    string
}
