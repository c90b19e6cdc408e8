package ews

import (
	"encoding/xml"
	"strings"

	"github.com/lockkeeper/lockkeeper/connectors"
)

// item is an item as an answer has it: what is common, and what is of each kind.
type item struct {
	XMLName     xml.Name
	ItemID      itemID   `xml:"ItemId"`
	Parent      itemID   `xml:"ParentFolderId"`
	Modified    string   `xml:"LastModifiedTime"`
	Class       string   `xml:"ItemClass"`
	Subject     string   `xml:"Subject"`
	Sensitivity string   `xml:"Sensitivity"`
	Importance  string   `xml:"Importance"`
	Categories  []string `xml:"Categories>String"`
	ReminderDue string   `xml:"ReminderDueBy"`
	ReminderSet bool     `xml:"ReminderIsSet"`
	Minutes     int      `xml:"ReminderMinutesBeforeStart"`
	Body        struct {
		Type string `xml:"BodyType,attr"`
		Text string `xml:",chardata"`
	} `xml:"Body"`
	Files struct {
		List []file `xml:",any"`
	} `xml:"Attachments"`
	Extended []struct {
		URI struct {
			Set  string `xml:"PropertySetId,attr"`
			Name string `xml:"PropertyName,attr"`
			Tag  string `xml:"PropertyTag,attr"`
		} `xml:"ExtendedFieldURI"`
		Value string `xml:"Value"`
	} `xml:"ExtendedProperty"`

	contact
	event
	task
	mail
}

// plain is the text of a body. Bodies are asked for as text; what comes as HTML
// nevertheless is read as people see it.
func (it *item) plain() string {
	if strings.EqualFold(it.Body.Type, "HTML") {
		return connectors.HTMLToText(it.Body.Text)
	}
	return it.Body.Text
}

func (it *item) sensitivity() connectors.Sensitivity {
	if it.Sensitivity == "Personal" {
		return connectors.Private
	}
	return index[connectors.Sensitivity](sensitivities(), it.Sensitivity)
}

// categories are the marks of an item, as many as a record may have.
func (it *item) categories() []string {
	var out []string
	for _, c := range it.Categories {
		if c = connectors.NormalizeText(connectors.FieldCategories, c); c != "" && len(out) < connectors.MaxCategories {
			out = append(out, c)
		}
	}
	return out
}

// own is a text property of this module's own set, "" if the item has none.
func (it *item) own(name string) string {
	for _, p := range it.Extended {
		if strings.EqualFold(p.URI.Set, keySet) && p.URI.Name == name {
			return p.Value
		}
	}
	return ""
}
