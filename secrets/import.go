package secrets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"

	"github.com/lockkeeper/lockkeeper/authz"
)

// Item is a secret to import: where it goes and where its value comes from.
type Item struct {
	Ref     Ref
	Options PutOptions
	Value   func() ([]byte, error) // called once; what it returns is cleared
}

// Imported is what became of an import.
type Imported struct {
	Secrets int
	Failed  []Failure
}

// count notes one. Only what would fail all the others too is returned.
func (x *Imported) count(ref Ref, err error) error {
	switch {
	case err == nil:
		x.Secrets++
	case errors.Is(err, ErrKeeper), errors.Is(err, authz.ErrAuditUnavailable), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		x.Failed = append(x.Failed, Failure{Name: ref.String(), Err: err})
	}
	return nil
}

// absent refuses a secret that is there.
func absent(h Head) error {
	if h.Name != "" && !h.Revoked {
		return ErrConflict
	}
	return nil
}

// Import puts secrets from elsewhere, each by a Grant of secrets.write that
// covers it. One that is there already is left as it is, so that an import may be
// repeated: it is a failure of ErrConflict. What fails does not stop the others;
// the error is for what stopped all of them.
func (s *Safe) Import(ctx context.Context, g authz.Grant, items iter.Seq[Item]) (Imported, error) {
	var x Imported
	for it := range items {
		err := s.may(g, "secrets.write", it.Ref) // before the value is taken
		var value []byte
		if err == nil {
			value, err = it.Value()
		}
		if err == nil {
			_, err = s.put(ctx, g, it.Ref, "import", value, it.Options, absent)
		}
		clear(value)
		if err := x.count(it.Ref, err); err != nil {
			return x, fmt.Errorf("secrets: import: %w", err)
		}
	}
	return x, nil
}

// FromEnvironment is a value from an environment variable, which it removes, so
// that neither this process goes on to show it nor one that it starts. What the
// process was started with the operating system may still show.
func FromEnvironment(name string) func() ([]byte, error) {
	return func() ([]byte, error) {
		v, ok := os.LookupEnv(name)
		if !ok || v == "" {
			return nil, fmt.Errorf("secrets: environment variable %s is not set", name)
		}
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("secrets: environment variable %s: not removed", name)
		}
		return []byte(v), nil
	}
}
