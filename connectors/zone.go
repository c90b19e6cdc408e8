package connectors

import "github.com/lockkeeper/lockkeeper/connectors/internal/zone"

// IANAZone returns the IANA name of a time zone of Windows, as "Europe/Berlin"
// of "W. Europe Standard Time", in any case; "" if Windows has none of that
// name. Several places share a zone of Windows: the name is that of the one that
// CLDR takes for the whole world (CLDR supplemental data, windowsZones).
func IANAZone(windows string) string { return zone.IANA(windows) }

// WindowsZone returns the name that Windows has for an IANA time zone, under any
// of the names of that zone; "" if it has none. IANAZone of what it returns is
// the zone's main place, not always the zone itself.
func WindowsZone(iana string) string { return zone.WindowsName(iana) }
