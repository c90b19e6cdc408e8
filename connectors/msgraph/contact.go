package msgraph

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// Graph's contact has no fax number of a business; Outlook's has, under this
// property (MS-OXOCNTC, PidTagBusinessFaxNumber).
const faxProperty = "String 0x3A24"

const contactSelect = "id,lastModifiedDateTime,givenName,middleName,surname,title,generation,nickName,companyName,department,jobTitle," +
	"emailAddresses,businessPhones,mobilePhone,homePhones,businessAddress,birthday,businessHomePage,personalNotes,categories,parentFolderId"

func contactCapability() connectors.Capability {
	c := connectors.Capability{Create: true, Update: true, Delete: true, Tombstones: true, Batch: maxBatch, Fields: map[connectors.Field]connectors.Limit{}}
	for _, f := range connectors.Fields(connectors.KindContact) {
		c.Fields[f] = connectors.Limit{}
	}
	delete(c.Fields, connectors.FieldSensitivity) // Graph's contact has none
	return c
}

// contact is a contact as Graph writes it (resource type "contact").
type contact struct {
	item
	GivenName       string         `json:"givenName"`
	MiddleName      string         `json:"middleName"`
	Surname         string         `json:"surname"`
	Title           string         `json:"title"`
	Generation      string         `json:"generation"`
	NickName        string         `json:"nickName"`
	CompanyName     string         `json:"companyName"`
	Department      string         `json:"department"`
	JobTitle        string         `json:"jobTitle"`
	EmailAddresses  []emailAddress `json:"emailAddresses"`
	BusinessPhones  []string       `json:"businessPhones"`
	MobilePhone     string         `json:"mobilePhone"`
	HomePhones      []string       `json:"homePhones"`
	BusinessAddress address        `json:"businessAddress"`
	Birthday        string         `json:"birthday"`
	HomePage        string         `json:"businessHomePage"`
	Notes           string         `json:"personalNotes"`
	Categories      []string       `json:"categories"`
}

type emailAddress struct {
	Name    string `json:"name,omitempty"`
	Address string `json:"address"`
}

type address struct {
	Street     string `json:"street"`
	City       string `json:"city"`
	State      string `json:"state"`
	PostalCode string `json:"postalCode"`
	Country    string `json:"countryOrRegion"`
}

// emailFields are the addresses in the order of Graph's list.
func emailFields() []connectors.Field {
	return []connectors.Field{connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3}
}

func readContact(b []byte) (*connectors.Record, error) {
	var v contact
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a contact"}
	}
	r := connectors.NewRecord(connectors.KindContact)
	r.ID, r.Rev, r.Modified = v.ID, v.ETag, v.Modified
	r.SetCategories(categories(v.Categories))
	set := func(f connectors.Field, s string) { r.SetText(f, s) }
	set(connectors.FieldPrefix, v.Title)
	set(connectors.FieldGivenName, v.GivenName)
	set(connectors.FieldMiddleName, v.MiddleName)
	set(connectors.FieldFamilyName, v.Surname)
	set(connectors.FieldSuffix, v.Generation)
	set(connectors.FieldNickname, v.NickName)
	set(connectors.FieldCompany, v.CompanyName)
	set(connectors.FieldDepartment, v.Department)
	set(connectors.FieldJobTitle, v.JobTitle)
	for i, f := range emailFields() {
		if i < len(v.EmailAddresses) {
			set(f, v.EmailAddresses[i].Address)
		}
	}
	set(connectors.FieldPhone, first(v.BusinessPhones))
	set(connectors.FieldMobile, v.MobilePhone)
	set(connectors.FieldHomePhone, first(v.HomePhones))
	set(connectors.FieldFax, v.property(faxProperty))
	set(connectors.FieldStreet, v.BusinessAddress.Street)
	set(connectors.FieldCity, v.BusinessAddress.City)
	set(connectors.FieldRegion, v.BusinessAddress.State)
	set(connectors.FieldPostalCode, v.BusinessAddress.PostalCode)
	set(connectors.FieldCountry, v.BusinessAddress.Country)
	set(connectors.FieldWebsite, v.HomePage)
	set(connectors.FieldNote, v.Notes)
	if day, _, ok := strings.Cut(v.Birthday, "T"); ok {
		set(connectors.FieldBirthday, day)
	}
	return r, nil
}

func first(s []string) string {
	if len(s) == 0 {
		return ""
	}
	return s[0]
}

// writeContact makes the body that gives fields their values. What a list holds
// beyond what is mapped stays in it.
func writeContact(r *connectors.Record, fields []connectors.Field, now *item) (map[string]any, error) {
	var old contact
	if now != nil {
		if err := json.Unmarshal(now.raw, &old); err != nil {
			return nil, &connectors.Error{Class: connectors.ErrMalformed, Detail: "not a contact"}
		}
	}
	out := map[string]any{}
	var mails, place bool
	where := map[string]any{}
	for _, f := range fields {
		v := r.Text(f)
		switch f {
		case connectors.FieldPrefix:
			out["title"] = v
		case connectors.FieldGivenName:
			out["givenName"] = v
		case connectors.FieldMiddleName:
			out["middleName"] = v
		case connectors.FieldFamilyName:
			out["surname"] = v
		case connectors.FieldSuffix:
			out["generation"] = v
		case connectors.FieldNickname:
			out["nickName"] = v
		case connectors.FieldCompany:
			out["companyName"] = v
		case connectors.FieldDepartment:
			out["department"] = v
		case connectors.FieldJobTitle:
			out["jobTitle"] = v
		case connectors.FieldEmail, connectors.FieldEmail2, connectors.FieldEmail3:
			mails = true
		case connectors.FieldPhone:
			out["businessPhones"] = withFirst(old.BusinessPhones, v)
		case connectors.FieldMobile:
			out["mobilePhone"] = v
		case connectors.FieldHomePhone:
			out["homePhones"] = withFirst(old.HomePhones, v)
		case connectors.FieldFax:
			if v != "" || old.property(faxProperty) != "" {
				out[extended] = []map[string]any{{"id": faxProperty, "value": v}}
			}
		case connectors.FieldStreet:
			place, where["street"] = true, v
		case connectors.FieldCity:
			place, where["city"] = true, v
		case connectors.FieldRegion:
			place, where["state"] = true, v
		case connectors.FieldPostalCode:
			place, where["postalCode"] = true, v
		case connectors.FieldCountry:
			place, where["countryOrRegion"] = true, v
		case connectors.FieldWebsite:
			out["businessHomePage"] = v
		case connectors.FieldNote:
			out["personalNotes"] = v
		case connectors.FieldCategories:
			out["categories"] = written(r.Categories())
		case connectors.FieldBirthday:
			b, err := birthday(v)
			if err != nil {
				return nil, err
			}
			out["birthday"] = b
		}
	}
	if place {
		// An address is replaced as a whole.
		for k, v := range map[string]string{"street": old.BusinessAddress.Street, "city": old.BusinessAddress.City, "state": old.BusinessAddress.State,
			"postalCode": old.BusinessAddress.PostalCode, "countryOrRegion": old.BusinessAddress.Country} {
			if _, ok := where[k]; !ok {
				where[k] = v
			}
		}
		out["businessAddress"] = where
	}
	if mails {
		list, err := addresses(r, fields, old.EmailAddresses)
		if err != nil {
			return nil, err
		}
		out["emailAddresses"] = list
	}
	return out, nil
}

// addresses makes the list of e-mail addresses. It has no gaps: a second address
// without a first would become the first, and is refused.
func addresses(r *connectors.Record, fields []connectors.Field, old []emailAddress) ([]emailAddress, error) {
	list := make([]emailAddress, max(len(old), len(emailFields())))
	copy(list, old)
	for i, f := range emailFields() {
		for _, g := range fields {
			if v := r.Text(f); f == g && list[i].Address != v {
				list[i] = emailAddress{Address: v}
			}
		}
	}
	for len(list) > 0 && list[len(list)-1].Address == "" {
		list = list[:len(list)-1]
	}
	for i, a := range list {
		if a.Address == "" {
			return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: emailFields()[i], Detail: "the address before another one is empty, and the mailbox keeps no gaps"}
		}
	}
	return list, nil
}

// withFirst replaces the first of several numbers.
func withFirst(old []string, v string) []string {
	out := []string{}
	if v != "" {
		out = append(out, v)
	}
	if len(old) > 1 {
		out = append(out, old[1:]...)
	}
	return out
}

// birthday is a date at midnight UTC, nil for none.
func birthday(v string) (any, error) {
	if v == "" {
		return nil, nil
	}
	if !regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`).MatchString(v) {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Field: connectors.FieldBirthday, Detail: "not a date"}
	}
	return v + "T00:00:00Z", nil
}
