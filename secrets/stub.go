package secrets

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
)

type Ref struct {
	owner authz.Resource
	name  string
}

func NewRef(owner authz.Resource, name string) (Ref, error) { return Ref{}, nil }
func (r Ref) Resource() authz.Resource                      { return authz.Resource{} } // owner/secrets/name
func (r Ref) String() string                                { return "" }
func (r Ref) IsZero() bool                                  { return r.name == "" }

type Safe struct{}
type Handle struct{}

func (s *Safe) Handle(g authz.Grant, ref Ref) (Handle, error) { return Handle{}, authz.ErrDenied }

type ClientPolicy struct {
	Origin      string         // "https://host:port"; the only origin the credential may reach
	Roots       *x509.CertPool // nil: the system's
	Timeout     time.Duration  // whole exchange; zero: 60 s
	MaxResponse int64          // bytes of one decoded response; zero: 64 MiB
	AllowLoopbackHTTP bool
}

func (h Handle) HTTPClient(ctx context.Context, p ClientPolicy) (*http.Client, error) {
	return nil, authz.ErrDenied
}
