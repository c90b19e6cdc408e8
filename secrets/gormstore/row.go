package gormstore

import (
	"database/sql"
	"time"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Rows as they are scanned. Each column may be null, where a join found nothing.

type tenantRow struct {
	name               sql.NullString
	generation, erased sql.NullInt64
	headKey            []byte
}

func (t *tenantRow) fields() []any { return []any{&t.name, &t.generation, &t.headKey, &t.erased} }

func (t *tenantRow) value() secrets.Tenant {
	return secrets.Tenant{Name: t.name.String, Generation: uint32(t.generation.Int64), HeadKey: some(t.headKey), Erased: when(t.erased)}
}

type headRow struct {
	name, tenant, kind, scope           sql.NullString
	revision, current, oldest, revoked  sql.NullInt64
	created, changed, expires, due, use sql.NullInt64
	mac                                 []byte
}

func (h *headRow) fields() []any {
	return []any{&h.name, &h.tenant, &h.revision, &h.current, &h.oldest, &h.revoked, &h.kind, &h.scope, &h.created, &h.changed, &h.expires, &h.due, &h.use, &h.mac}
}

func (h *headRow) value() secrets.Head {
	return secrets.Head{Name: h.name.String, Tenant: h.tenant.String, Revision: uint64(h.revision.Int64), Current: uint64(h.current.Int64),
		Oldest: uint64(h.oldest.Int64), Revoked: h.revoked.Int64 != 0, Kind: secrets.Kind(h.kind.String), Scope: h.scope.String,
		Created: when(h.created), Changed: when(h.changed), Expires: when(h.expires), Due: when(h.due), LastUse: when(h.use), MAC: some(h.mac)}
}

type versionRow struct {
	name, tenant, kind            sql.NullString
	number, created, expires, key sql.NullInt64
	wrap, body                    []byte
}

func (v *versionRow) fields() []any {
	return []any{&v.name, &v.number, &v.tenant, &v.kind, &v.created, &v.expires, &v.key, &v.wrap, &v.body}
}

func (v *versionRow) value() secrets.Version {
	return secrets.Version{Name: v.name.String, Tenant: v.tenant.String, Number: uint64(v.number.Int64), Kind: secrets.Kind(v.kind.String),
		Created: when(v.created), Expires: when(v.expires), KeyVersion: uint32(v.key.Int64), Wrap: some(v.wrap), Body: some(v.body)}
}

// when reads seconds since 1970, 0 for none.
func when(n sql.NullInt64) time.Time {
	if n.Int64 == 0 {
		return time.Time{}
	}
	return time.Unix(n.Int64, 0).UTC()
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

// bytesOf is never nil: columns of bytes are not null.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
