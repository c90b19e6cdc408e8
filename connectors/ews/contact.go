package ews

import (
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

func contactCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: batch, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range connectors.Fields(connectors.KindContact) {
		c.Fields[f] = connectors.Limit{}
	}
	return c
}

const (
	prefixTag    = "0x3a45" // PidTagDisplayNamePrefix (MS-OXOCNTC): the protocol's own title can only be read
	prefixURI    = `<t:ExtendedFieldURI PropertyTag="` + prefixTag + `" PropertyType="String"/>`
	contactExtra = `<t:FieldURI FieldURI="item:LastModifiedTime"/>`
)

// contactProperties are the mapped properties in the order of the schema.
func contactProperties() []property {
	entry := func(f connectors.Field, path, group, key string) property {
		return property{field: f, path: path, index: key, open: "<t:" + group + ">", close: "</t:" + group + ">",
			value: func(r *connectors.Record) string {
				if r.Text(f) == "" {
					return ""
				}
				return `<t:Entry Key="` + key + `">` + esc(r.Text(f)) + `</t:Entry>`
			}}
	}
	place := func(f connectors.Field, name string) property {
		return property{field: f, path: "contacts:PhysicalAddress:" + name, index: "Business", open: `<t:PhysicalAddresses><t:Entry Key="Business">`,
			close: `</t:Entry></t:PhysicalAddresses>`, value: func(r *connectors.Record) string { return tagged(name, r.Text(f)) }}
	}
	phone := func(f connectors.Field, key string) property {
		return entry(f, "contacts:PhoneNumber", "PhoneNumbers", key)
	}
	email := func(f connectors.Field, key string) property {
		return entry(f, "contacts:EmailAddress", "EmailAddresses", key)
	}
	return []property{
		sensitivityProperty(func(r *connectors.Record) connectors.Sensitivity { return r.Contact.Sensitivity }),
		bodyProperty(connectors.FieldNote),
		categoriesProperty(),
		extended(connectors.FieldPrefix, prefixURI, func(r *connectors.Record) string { return r.Contact.Prefix }),
		element(connectors.FieldGivenName, "contacts:GivenName", "GivenName"),
		element(connectors.FieldMiddleName, "contacts:MiddleName", "MiddleName"),
		element(connectors.FieldNickname, "contacts:Nickname", "Nickname"),
		element(connectors.FieldCompany, "contacts:CompanyName", "CompanyName"),
		email(connectors.FieldEmail, "EmailAddress1"),
		email(connectors.FieldEmail2, "EmailAddress2"),
		email(connectors.FieldEmail3, "EmailAddress3"),
		place(connectors.FieldStreet, "Street"),
		place(connectors.FieldCity, "City"),
		place(connectors.FieldRegion, "State"),
		place(connectors.FieldCountry, "CountryOrRegion"),
		place(connectors.FieldPostalCode, "PostalCode"),
		phone(connectors.FieldFax, "BusinessFax"),
		phone(connectors.FieldPhone, "BusinessPhone"),
		phone(connectors.FieldHomePhone, "HomePhone"),
		phone(connectors.FieldMobile, "MobilePhone"),
		{field: connectors.FieldBirthday, path: "contacts:Birthday", value: func(r *connectors.Record) string {
			if r.Contact.Birthday == "" {
				return ""
			}
			return "<t:Birthday>" + esc(r.Contact.Birthday) + "T00:00:00Z</t:Birthday>"
		}},
		element(connectors.FieldWebsite, "contacts:BusinessHomePage", "BusinessHomePage"),
		element(connectors.FieldDepartment, "contacts:Department", "Department"),
		element(connectors.FieldSuffix, "contacts:Generation", "Generation"),
		element(connectors.FieldJobTitle, "contacts:JobTitle", "JobTitle"),
		element(connectors.FieldFamilyName, "contacts:Surname", "Surname"),
	}
}

func bodyProperty(f connectors.Field) property {
	return property{field: f, path: "item:Body", value: func(r *connectors.Record) string {
		if r.Text(f) == "" {
			return ""
		}
		return `<t:Body BodyType="Text">` + esc(r.Text(f)) + `</t:Body>`
	}}
}

type contact struct {
	GivenName   string  `xml:"GivenName"`
	MiddleName  string  `xml:"MiddleName"`
	Nickname    string  `xml:"Nickname"`
	CompanyName string  `xml:"CompanyName"`
	Emails      []entry `xml:"EmailAddresses>Entry"`
	Places      []entry `xml:"PhysicalAddresses>Entry"`
	Phones      []entry `xml:"PhoneNumbers>Entry"`
	Birthday    string  `xml:"Birthday"`
	HomePage    string  `xml:"BusinessHomePage"`
	Department  string  `xml:"Department"`
	Generation  string  `xml:"Generation"`
	JobTitle    string  `xml:"JobTitle"`
	Surname     string  `xml:"Surname"`
}

type entry struct {
	Key        string `xml:"Key,attr"`
	Routing    string `xml:"RoutingType,attr"`
	Text       string `xml:",chardata"`
	Street     string `xml:"Street"`
	City       string `xml:"City"`
	State      string `xml:"State"`
	Country    string `xml:"CountryOrRegion"`
	PostalCode string `xml:"PostalCode"`
}

func readContact(it *item, _ *zone.Book) (*connectors.Record, error) {
	r := connectors.NewRecord(connectors.KindContact)
	set := func(f connectors.Field, s string) { r.SetText(f, s) }
	for _, p := range it.Extended {
		if strings.EqualFold(p.URI.Tag, prefixTag) {
			set(connectors.FieldPrefix, p.Value)
		}
	}
	r.Contact.Sensitivity = it.sensitivity()
	r.SetCategories(it.categories())
	set(connectors.FieldGivenName, it.GivenName)
	set(connectors.FieldMiddleName, it.MiddleName)
	set(connectors.FieldFamilyName, it.Surname)
	set(connectors.FieldSuffix, it.Generation)
	set(connectors.FieldNickname, it.Nickname)
	set(connectors.FieldCompany, it.CompanyName)
	set(connectors.FieldDepartment, it.Department)
	set(connectors.FieldJobTitle, it.JobTitle)
	set(connectors.FieldWebsite, it.HomePage)
	set(connectors.FieldNote, it.plain())
	keys := map[string]connectors.Field{"EmailAddress1": connectors.FieldEmail, "EmailAddress2": connectors.FieldEmail2, "EmailAddress3": connectors.FieldEmail3,
		"BusinessPhone": connectors.FieldPhone, "MobilePhone": connectors.FieldMobile, "HomePhone": connectors.FieldHomePhone, "BusinessFax": connectors.FieldFax}
	for _, e := range append(it.Emails, it.Phones...) {
		if f, ok := keys[e.Key]; ok && e.Routing != "EX" { // a distinguished name of the directory is no address
			set(f, e.Text)
		}
	}
	for _, e := range it.Places {
		if e.Key == "Business" {
			set(connectors.FieldStreet, e.Street)
			set(connectors.FieldCity, e.City)
			set(connectors.FieldRegion, e.State)
			set(connectors.FieldCountry, e.Country)
			set(connectors.FieldPostalCode, e.PostalCode)
		}
	}
	if day, _, ok := strings.Cut(it.Birthday, "T"); ok {
		set(connectors.FieldBirthday, day)
	}
	return r, nil
}
