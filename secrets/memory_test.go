package secrets_test

import (
	"testing"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestMemory(t *testing.T) {
	secretstest.RunStore(t, func(*testing.T) secrets.Store { return &secrets.Memory{} })
}
