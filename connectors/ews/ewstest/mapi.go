package ewstest

import (
	"strconv"
)

// alias is the property of the schema that a MAPI property is (MS-OXPROPS), and
// how its values are written; "" for one that is only itself.
func alias(kind, uri string) (of string, codec []string) {
	switch uri {
	case "tag:0x36":
		return "item:Sensitivity", []string{"Normal", "Personal", "Private", "Confidential"}
	case "ext:publicstrings:Keywords":
		return "item:Categories", nil
	case "tag:0x37":
		return "item:Subject", nil
	case "tag:0x1a":
		return "item:ItemClass", nil
	case "tag:0x3008":
		return "item:LastModifiedTime", nil
	case "tag:0x3007":
		return "item:DateTimeCreated", nil
	case "tag:0x1000":
		return "item:Body", nil
	case "tag:0x3001":
		if kind != "Contact" {
			return "item:Subject", nil
		}
	}
	if kind == "Task" {
		return map[string]string{"ext:task:33028": "task:StartDate", "ext:task:33029": "task:DueDate", "ext:task:33039": "task:CompleteDate"}[uri], nil
	}
	if kind != "Contact" {
		return "", nil
	}
	return map[string]string{"tag:0x3001": "contacts:DisplayName", "tag:0x3a06": "contacts:GivenName", "tag:0x3a11": "contacts:Surname", "tag:0x3a44": "contacts:MiddleName",
		"tag:0x3a05": "contacts:Generation", "tag:0x3a4f": "contacts:Nickname", "tag:0x3a16": "contacts:CompanyName", "tag:0x3a18": "contacts:Department", "tag:0x3a17": "contacts:JobTitle",
		"tag:0x3a51": "contacts:BusinessHomePage", "tag:0x3a42": "contacts:Birthday", "tag:0x3a48": "contacts:SpouseName", "tag:0x3a46": "contacts:Profession", "tag:0x3a19": "contacts:OfficeLocation",
		"tag:0x3a08": "contacts:PhoneNumber[BusinessPhone]", "tag:0x3a1c": "contacts:PhoneNumber[MobilePhone]", "tag:0x3a09": "contacts:PhoneNumber[HomePhone]", "tag:0x3a24": "contacts:PhoneNumber[BusinessFax]",
		"tag:0x3a21": "contacts:PhoneNumber[Pager]", "tag:0x3a25": "contacts:PhoneNumber[HomeFax]",
		"ext:address:32837": "contacts:PhysicalAddress:Street[Business]", "ext:address:32838": "contacts:PhysicalAddress:City[Business]", "ext:address:32839": "contacts:PhysicalAddress:State[Business]",
		"ext:address:32840": "contacts:PhysicalAddress:PostalCode[Business]", "ext:address:32841": "contacts:PhysicalAddress:CountryOrRegion[Business]"}[uri], nil
}

// settle writes what came as MAPI properties as what they are.
func settle(kind string, props map[string]string) {
	for uri, v := range props {
		of, codec := alias(kind, uri)
		if of == "" {
			continue
		}
		delete(props, uri)
		if n, err := strconv.Atoi(v); codec != nil && err == nil && n >= 0 && n < len(codec) {
			v = codec[n]
		}
		switch of {
		case "item:LastModifiedTime", "item:DateTimeCreated": // the store's own
		default:
			props[of] = v
		}
	}
}
