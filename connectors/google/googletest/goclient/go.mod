// Google's own client for Go as a judge of the emulator. A module of its own: no
// user of the connector gets what it needs.
module github.com/lockkeeper/lockkeeper/connectors/google/googletest/goclient

go 1.26.0

require google.golang.org/api v0.251.0
