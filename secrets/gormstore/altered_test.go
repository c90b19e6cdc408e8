package gormstore_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockkeeper/lockkeeper/authz/sqlite"
	"github.com/lockkeeper/lockkeeper/secrets/gormstore"
	"github.com/lockkeeper/lockkeeper/secrets/secretstest"
)

// Every column of every row that a use reads, altered in the database itself, and
// every row removed: the secret is not used, and is used again when it is put
// back.
//
// evidence: T9
func TestEveryColumnIsProtected(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "a.db"), bytes.Repeat([]byte{3}, sqlite.KeySize))
	require.NoError(t, err)
	defer db.Close()
	g, err := sqlite.Gorm(db)
	require.NoError(t, err)
	s, err := gormstore.New(t.Context(), g)
	require.NoError(t, err)
	f := secretstest.Fill(t, s)
	exec := func(text string, args ...any) {
		t.Helper()
		r, err := db.ExecContext(t.Context(), text, args...)
		require.NoError(t, err, text)
		n, err := r.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n, text)
	}
	tried := 0
	for _, ref := range f.Refs {
		name, tenant := ref.String(), ref.Resource().Segments()[1]
		for table, c := range map[string]struct {
			where   string
			args    []any
			columns []string
		}{
			"secret_tenants":  {"name = ?", []any{tenant}, []string{"name", "generation", "head_key", "erased"}},
			"secret_heads":    {"name = ?", []any{name}, []string{"name", "tenant", "revision", "current", "oldest", "revoked", "kind", "scope", "created", "changed", "expires", "due", "mac"}},
			"secret_versions": {"name = ? AND number = 3", []any{name}, []string{"name", "number", "tenant", "kind", "created", "expires", "key_version", "wrap", "body"}},
		} {
			for _, col := range c.columns {
				var was any
				require.NoError(t, db.QueryRowContext(t.Context(), "SELECT "+col+" FROM "+table+" WHERE "+c.where, c.args...).Scan(&was))
				for _, altered := range alterations(was) {
					if altered, ok := altered.(string); ok && altered == was.(string) {
						continue
					}
					exec("UPDATE "+table+" SET "+col+" = ? WHERE "+c.where, append([]any{altered}, c.args...)...)
					require.Error(t, f.Use(t, ref), "%s.%s = %v", table, col, altered)
					args, where := c.args, c.where
					switch col {
					case "name":
						args, where = []any{altered}, "name = ?"
						if table == "secret_versions" {
							where += " AND number = 3"
						}
					case "number":
						args, where = []any{name, altered}, "name = ? AND number = ?"
					}
					exec("UPDATE "+table+" SET "+col+" = ? WHERE "+where, append([]any{was}, args...)...)
					require.NoError(t, f.Use(t, ref), "%s.%s put back", table, col)
					tried++
				}
			}
		}
	}
	require.Greater(t, tried, 300)
}

// alterations are a few values that are not the given one.
func alterations(was any) []any {
	switch v := was.(type) {
	case int64:
		return []any{v + 7, v + 1<<31, -v - 1}
	case string:
		return []any{v + "x", "tenants/acme/secrets/none", ""}
	case []byte:
		flipped, last := bytes.Clone(v), bytes.Clone(v)
		flipped[0] ^= 0x40
		last[len(last)-1] ^= 1
		return []any{flipped, last, v[:len(v)-1], append(bytes.Clone(v), 0), []byte{}}
	default:
		panic(fmt.Sprintf("%T", was))
	}
}
