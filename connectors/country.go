package connectors

import (
	"strings"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// CountryCode finds the ISO 3166-1 alpha-2 code of a country given as a two- or
// three-letter code or by its English name, "" if it is none that CLDR knows.
func CountryCode(s string) string {
	s = strings.TrimSpace(s)
	if len(s) == 2 || len(s) == 3 {
		if r, err := language.ParseRegion(strings.ToUpper(s)); err == nil && r.IsCountry() {
			return r.String()
		}
	}
	switch strings.ToLower(strings.ReplaceAll(s, ".", "")) {
	case "":
		return ""
	case "usa", "united states of america":
		return "US"
	case "uk", "great britain", "england", "scotland", "wales":
		return "GB"
	case "deutschland":
		return "DE"
	}
	namer := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string([]rune{a, b}))
			if err == nil && r.IsCountry() && strings.EqualFold(namer.Name(r), s) {
				return r.String()
			}
		}
	}
	return ""
}

func canonicalCountry(s string) string {
	if c := CountryCode(s); c != "" {
		return c
	}
	return strings.ToLower(s)
}
