package connectors

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"
)

// CountryCode finds the ISO 3166-1 alpha-2 code of a country given as a two- or
// three-letter code or by its English name, "" if it is none that CLDR knows.
func CountryCode(s string) string {
	s = strings.TrimSpace(s)
	if len(s) == 2 || len(s) == 3 {
		if r, err := language.ParseRegion(strings.ToUpper(s)); err == nil && r.IsCountry() {
			return r.Canonicalize().String()
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
	return countryNames()[fold(s)]
}

// countryNames maps folded English names to codes. Naming every region takes
// milliseconds, and records have countries by the thousand.
var countryNames = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	namer := display.English.Regions()
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			r, err := language.ParseRegion(string([]rune{a, b}))
			// Codes that were given up share the name of what came after
			// them: DD is called Germany too.
			if err != nil || !r.IsCountry() || r != r.Canonicalize() {
				continue
			}
			if name := namer.Name(r); name != "" {
				out[fold(name)] = r.String()
			}
		}
	}
	return out
})

// fold makes texts equal that strings.EqualFold calls equal.
func fold(s string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for d := unicode.SimpleFold(c); d != c; d = unicode.SimpleFold(d) {
			least = min(least, d)
		}
		return least
	}, s)
}

func canonicalCountry(s string) string {
	if c := CountryCode(s); c != "" {
		return c
	}
	return strings.ToLower(s)
}
