package c4ctest

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

//go:embed model.csv
var modelCSV string

// property is one property of an entity set, or with nav set, a navigation.
type property struct {
	name, typ string
	length    int
	nav       string // entity set behind a navigation
}

// entitySet is one entity set of the service.
type entitySet struct {
	name  string
	props map[string]property
	order []string

	parent, nav string // of what it stands below, "" if of nothing
}

// model is the part of the service's metadata that is emulated.
type model map[string]*entitySet

// loadModel reads the embedded metadata, which is a constant: it cannot fail at
// run time without failing every test.
func loadModel() model {
	r := csv.NewReader(strings.NewReader(modelCSV))
	r.Comment = '#'
	rows, err := r.ReadAll()
	if err != nil {
		panic(err)
	}
	m := model{}
	for _, row := range rows {
		set := m[row[0]]
		if set == nil {
			set = &entitySet{name: row[0], props: map[string]property{}}
			m[row[0]] = set
		}
		p := property{name: row[1], typ: row[2]}
		switch {
		case p.typ == "nav":
			p.nav = row[3]
		case row[3] != "":
			if p.length, err = strconv.Atoi(row[3]); err != nil {
				panic(err)
			}
		}
		set.props[p.name] = p
		set.order = append(set.order, p.name)
	}
	for _, s := range m {
		for _, p := range s.props {
			if p.nav != "" {
				m[p.nav].parent, m[p.nav].nav = s.name, p.name
			}
		}
	}
	return m
}

// drop takes an entity set or one of its properties away.
func (m model) drop(name string) {
	set, property, one := strings.Cut(name, "/")
	if !one {
		delete(m, set)
		for _, s := range m {
			for _, p := range s.props {
				if p.nav == set {
					m.drop(s.name + "/" + p.name)
				}
			}
		}
		return
	}
	if s := m[set]; s != nil {
		delete(s.props, property)
		s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == property })
	}
}

// describe writes the description of the service.
func (m model) describe() []byte {
	var b, sets bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices>` +
		`<Schema Namespace="c4codata" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">`)
	for _, n := range m.names() {
		typ := strings.TrimSuffix(n, "Collection")
		fmt.Fprintf(&b, `<EntityType Name="%s"><Key><PropertyRef Name="ObjectID"/></Key>`, typ)
		for _, name := range m[n].order {
			p := m[n].props[name]
			if p.nav != "" {
				fmt.Fprintf(&b, `<NavigationProperty Name="%s"/>`, name)
				continue
			}
			fmt.Fprintf(&b, `<Property Name="%s" Type="Edm.%s"/>`, name, p.typ)
		}
		b.WriteString(`</EntityType>`)
		fmt.Fprintf(&sets, `<EntitySet Name="%s" EntityType="c4codata.%s"/>`, n, typ)
	}
	fmt.Fprintf(&b, `<EntityContainer Name="c4codata">%s</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>`, sets.String())
	return b.Bytes()
}

func (m model) names() []string {
	var out []string
	for n := range m {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// parent says which navigation of which set leads to a set.
func (m model) parent(set string) (parent, nav string) {
	return m[set].parent, m[set].nav
}

// readOnly are properties that the system sets itself.
func readOnly(set, name string) bool {
	switch name {
	case "ObjectID", "ETag", "EntityLastChangedOn", "ChangedOn", "ChangedBy", "CreationOn", "CreatedOn", "CreatedBy", "UpdatedOn",
		"LastUpdatedBy", "LastUpdatedOn", "LastChangeDateTime", "CreationDateTime", "CustomerID", "FormattedName", "DocumentLink", "MergeID", "LastChangedBy",
		"ContactID", "ContactUUID", "UUID", "AccountFormattedName", "AccountUUID",
		"BusinessPartnerFormattedName", "FormattedPostalAddressDescription", "NormalisedPhone", "NormalisedMobile", "Draft", "CreatedBySSI":
		return true
	case "AccountID":
		return set == "CorporateAccountCollection"
	case "ID": // numbers of activities
		return set == "AppointmentCollection" || set == "VisitCollection" || set == "TasksCollection" || set == "EMailCollection" || set == "PhoneCallCollection" || set == "LeadCollection"
	case "Name":
		return set == "ContactCollection"
	}
	return strings.HasSuffix(name, "CodeText")
}

// PropertyLength returns how many characters the published metadata gives a
// text property, zero if it names no limit, and whether there is such a
// property at all.
func PropertyLength(set, name string) (int, bool) {
	s := loadModel()[set]
	if s == nil {
		return 0, false
	}
	p, ok := s.props[name]
	return p.length, ok
}
