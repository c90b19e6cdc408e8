package main

import (
	"fmt"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/c4c/c4ctest"
)

// Entity sets of the CRM.
const (
	contactSet     = "ContactCollection"
	accountSet     = "CorporateAccountCollection"
	appointmentSet = "AppointmentCollection"
)

// seedCRM enters records as people in the CRM would have, companies first.
func seedCRM(s *c4ctest.Server, rs []*connectors.Record) error {
	companies := map[string]string{}
	for _, r := range rs {
		var set string
		var p c4ctest.Props
		switch r.Kind {
		case connectors.KindContact:
			c := r.Contact
			if c.Company != "" && companies[c.Company] == "" {
				id, err := s.Seed(accountSet, c4ctest.Props{"Name": c.Company})
				if err != nil {
					return fmt.Errorf("CRM: company: %w", err)
				}
				account, _ := s.Get(accountSet, id)
				companies[c.Company], _ = account["AccountID"].(string)
			}
			set, p = contactSet, contactProps(c, companies[c.Company])
		case connectors.KindAppointment:
			set, p = appointmentSet, appointmentProps(r.Appointment)
		default:
			continue
		}
		if _, err := s.Seed(set, p); err != nil {
			return fmt.Errorf("CRM: %s: %w", r.Kind, err)
		}
	}
	return nil
}

func contactProps(c *connectors.Contact, account string) c4ctest.Props {
	p := c4ctest.Props{}
	for name, v := range map[string]string{"FirstName": c.GivenName, "LastName": c.FamilyName, "JobTitle": c.JobTitle, "Email": c.Email, "Phone": c.Phone,
		"Mobile": c.Mobile, "BusinessAddressStreet": c.Street, "BusinessAddressCity": c.City, "BusinessAddressStreetPostalCode": c.PostalCode,
		"BusinessAddressStateCodeTextUpdatable": c.Region, "BusinessAddressCountryCode": c.Country, "AccountID": account} {
		if v != "" {
			p[name] = v
		}
	}
	if t, err := time.Parse(time.DateOnly, c.Birthday); err == nil {
		p["BirthDate"] = t
	}
	if c.Note != "" {
		p["ContactTextCollection"] = []c4ctest.Props{{"Text": c.Note}}
	}
	return p
}

func appointmentProps(a *connectors.Appointment) c4ctest.Props {
	p := c4ctest.Props{"Subject": a.Subject, "Location": a.Location, "StartDate": a.Start, "EndDate": a.End, "FullDayIndicator": a.AllDay,
		"AvailabilityCode": map[connectors.Availability]string{connectors.Free: "1", connectors.Busy: "3"}[a.Availability]}
	if a.Description != "" {
		p["AppointmentTextCollection"] = []c4ctest.Props{{"Text": a.Description, "TypeCode": "10002"}}
	}
	return p
}
