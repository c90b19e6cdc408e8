// Package zone knows the time zones by all the names that calendars give them.
package zone

import (
	"strings"
	"time"
)

// Name is the IANA name of a zone, UTC under one name only.
func Name(l *time.Location) string {
	if l == time.UTC {
		return "UTC"
	}
	return l.String()
}

// Location finds an IANA zone by its name, by a name that ends in one, as
// /mozilla.org/20050126_1/Europe/Berlin does, or by the name Windows has for it.
func Location(tzid string) *time.Location {
	tzid = strings.Trim(strings.TrimSpace(tzid), `"`)
	if w := windowsZone(tzid); w != "" {
		tzid = w
	}
	if tzid == "UTC" || tzid == "GMT" || tzid == "Z" || tzid == "Etc/UTC" {
		return time.UTC
	}
	parts := strings.Split(strings.Trim(tzid, "/"), "/")
	for from := 0; from < len(parts) && from < 6; from++ {
		name := strings.Join(parts[from:], "/")
		if len(parts)-from < 2 && !strings.Contains(name, "T") && from > 0 {
			break
		}
		if name == "" || name == "Local" || len(name) > 64 {
			continue
		}
		if l, err := time.LoadLocation(name); err == nil {
			return l
		}
	}
	return nil
}

// windowsZone translates the zone names of Windows, for the territory that CLDR
// gives as the default (CLDR supplemental data, windowsZones).
func windowsZone(s string) string {
	for row := range strings.Lines(windowsZones) {
		if w, iana, ok := strings.Cut(strings.TrimSpace(row), "="); ok && strings.EqualFold(w, s) {
			return iana
		}
	}
	return ""
}

// Windows is the name that Windows has for a zone, "" where none is known here.
func Windows(l *time.Location) string {
	if l == time.UTC {
		return "UTC"
	}
	for row := range strings.Lines(windowsZones) {
		if w, iana, ok := strings.Cut(strings.TrimSpace(row), "="); ok && iana == l.String() {
			return w
		}
	}
	return ""
}

const windowsZones = `Dateline Standard Time=Etc/GMT+12
Hawaiian Standard Time=Pacific/Honolulu
Alaskan Standard Time=America/Anchorage
Pacific Standard Time=America/Los_Angeles
Pacific Standard Time (Mexico)=America/Tijuana
US Mountain Standard Time=America/Phoenix
Mountain Standard Time=America/Denver
Mountain Standard Time (Mexico)=America/Mazatlan
Central America Standard Time=America/Guatemala
Central Standard Time=America/Chicago
Central Standard Time (Mexico)=America/Mexico_City
Canada Central Standard Time=America/Regina
SA Pacific Standard Time=America/Bogota
Eastern Standard Time=America/New_York
Eastern Standard Time (Mexico)=America/Cancun
US Eastern Standard Time=America/Indianapolis
Venezuela Standard Time=America/Caracas
Paraguay Standard Time=America/Asuncion
Atlantic Standard Time=America/Halifax
Central Brazilian Standard Time=America/Cuiaba
SA Western Standard Time=America/La_Paz
Pacific SA Standard Time=America/Santiago
Newfoundland Standard Time=America/St_Johns
E. South America Standard Time=America/Sao_Paulo
Argentina Standard Time=America/Buenos_Aires
SA Eastern Standard Time=America/Cayenne
Greenland Standard Time=America/Godthab
Montevideo Standard Time=America/Montevideo
Bahia Standard Time=America/Bahia
Azores Standard Time=Atlantic/Azores
Cape Verde Standard Time=Atlantic/Cape_Verde
GMT Standard Time=Europe/London
Greenwich Standard Time=Atlantic/Reykjavik
Morocco Standard Time=Africa/Casablanca
W. Europe Standard Time=Europe/Berlin
Central Europe Standard Time=Europe/Budapest
Romance Standard Time=Europe/Paris
Central European Standard Time=Europe/Warsaw
W. Central Africa Standard Time=Africa/Lagos
Namibia Standard Time=Africa/Windhoek
Jordan Standard Time=Asia/Amman
GTB Standard Time=Europe/Bucharest
Middle East Standard Time=Asia/Beirut
Egypt Standard Time=Africa/Cairo
Syria Standard Time=Asia/Damascus
E. Europe Standard Time=Europe/Chisinau
South Africa Standard Time=Africa/Johannesburg
FLE Standard Time=Europe/Kiev
Turkey Standard Time=Europe/Istanbul
Israel Standard Time=Asia/Jerusalem
Kaliningrad Standard Time=Europe/Kaliningrad
Libya Standard Time=Africa/Tripoli
Arabic Standard Time=Asia/Baghdad
Arab Standard Time=Asia/Riyadh
Belarus Standard Time=Europe/Minsk
Russian Standard Time=Europe/Moscow
E. Africa Standard Time=Africa/Nairobi
Iran Standard Time=Asia/Tehran
Arabian Standard Time=Asia/Dubai
Azerbaijan Standard Time=Asia/Baku
Russia Time Zone 3=Europe/Samara
Mauritius Standard Time=Indian/Mauritius
Georgian Standard Time=Asia/Tbilisi
Caucasus Standard Time=Asia/Yerevan
Afghanistan Standard Time=Asia/Kabul
West Asia Standard Time=Asia/Tashkent
Ekaterinburg Standard Time=Asia/Yekaterinburg
Pakistan Standard Time=Asia/Karachi
India Standard Time=Asia/Calcutta
Sri Lanka Standard Time=Asia/Colombo
Nepal Standard Time=Asia/Katmandu
Central Asia Standard Time=Asia/Bishkek
Bangladesh Standard Time=Asia/Dhaka
N. Central Asia Standard Time=Asia/Novosibirsk
Myanmar Standard Time=Asia/Rangoon
SE Asia Standard Time=Asia/Bangkok
North Asia Standard Time=Asia/Krasnoyarsk
China Standard Time=Asia/Shanghai
North Asia East Standard Time=Asia/Irkutsk
Singapore Standard Time=Asia/Singapore
W. Australia Standard Time=Australia/Perth
Taipei Standard Time=Asia/Taipei
Ulaanbaatar Standard Time=Asia/Ulaanbaatar
Tokyo Standard Time=Asia/Tokyo
Korea Standard Time=Asia/Seoul
Yakutsk Standard Time=Asia/Yakutsk
Cen. Australia Standard Time=Australia/Adelaide
AUS Central Standard Time=Australia/Darwin
E. Australia Standard Time=Australia/Brisbane
AUS Eastern Standard Time=Australia/Sydney
West Pacific Standard Time=Pacific/Port_Moresby
Tasmania Standard Time=Australia/Hobart
Vladivostok Standard Time=Asia/Vladivostok
Magadan Standard Time=Asia/Magadan
Central Pacific Standard Time=Pacific/Guadalcanal
New Zealand Standard Time=Pacific/Auckland
Fiji Standard Time=Pacific/Fiji
Tonga Standard Time=Pacific/Tongatapu
Samoa Standard Time=Pacific/Apia
Line Islands Standard Time=Pacific/Kiritimati
Kamchatka Standard Time=Asia/Kamchatka
`
