package connectors_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/zone"
)

// Each zone of Windows has a place, and that place is in it; each place of the
// table is in a zone of Windows.
func TestZonesOfWindows(t *testing.T) {
	names := zone.Names()
	require.Greater(t, len(names), 135)
	for _, w := range names {
		iana := connectors.IANAZone(w)
		require.NotEmpty(t, iana, w)
		require.Equal(t, iana, connectors.IANAZone(" "+strings.ToUpper(w)))
		require.Equal(t, w, connectors.WindowsZone(iana), iana)
		l, err := time.LoadLocation(iana)
		require.NoError(t, err, w)
		require.Equal(t, zone.Name(l), zone.Name(zone.Location(w)))
	}
	for in, want := range map[string]string{"Asia/Kolkata": "India Standard Time", "Asia/Calcutta": "India Standard Time", "Europe/Kyiv": "FLE Standard Time",
		"America/Argentina/Buenos_Aires": "Argentina Standard Time", "Europe/Zurich": "W. Europe Standard Time", "US/Pacific": "Pacific Standard Time",
		"UTC": "UTC", "Etc/UTC": "UTC", "Etc/GMT": "UTC", "": "", "Nowhere": "", "W. Europe Standard Time": ""} {
		assert.Equal(t, want, connectors.WindowsZone(in), in)
	}
	for in, want := range map[string]string{"": "", "Nowhere Standard Time": "", "Europe/Berlin": "", "utc": "UTC"} {
		assert.Equal(t, want, connectors.IANAZone(in), in)
	}
}
