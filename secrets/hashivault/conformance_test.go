package hashivault_test

import (
	"testing"

	"github.com/lockkeeper/lockkeeper/secrets"
	"github.com/lockkeeper/lockkeeper/secrets/hashivault"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

func TestKeeper(t *testing.T) {
	s := server(t)
	secretstest.RunKeeper(t, func(t *testing.T) secrets.Keeper {
		return newRig(t, s, nil, hashivault.Rotating).open(t).Transit()
	})
}

func TestKeyStore(t *testing.T) {
	s := server(t)
	secretstest.RunKeyStore(t, func(t *testing.T) secrets.KeyStore { return newRig(t, s, nil).open(t).KV() })
}

func TestKeyStoreApart(t *testing.T) {
	s := server(t)
	secretstest.RunKeyStore(t, func(t *testing.T) secrets.KeyStore {
		return newRig(t, s, func(c *hashivault.Config) { c.Apart = true }).open(t).KV()
	})
}

func TestStore(t *testing.T) {
	s := server(t)
	secretstest.RunStore(t, func(t *testing.T) secrets.Store { return newRig(t, s, nil, hashivault.Storing).open(t).Store() })
}
