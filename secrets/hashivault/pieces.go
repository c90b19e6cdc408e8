package hashivault

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Vault's storages take documents of half a mebibyte, so that a longer body is in
// pieces. They are written before the version that names them and removed after
// it; what a crash leaves over is sealed, and no row has its key.

func fillRandom(b []byte) { _, _ = rand.Read(b) } // it never fails

func (s *Store) piece(name, id string, n int) string {
	return fmt.Sprintf("%s/%s-%d", mustFolder(bodiesFolder, name), id, n)
}

// putBody stores a body in pieces.
func (s *Store) putBody(ctx context.Context, name string, body []byte) (pieces, error) {
	id := make([]byte, 16)
	fillRandom(id)
	p := pieces{ID: hex.EncodeToString(id)}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for ; len(body) > 0; p.Count++ {
		n := min(len(body), pieceMax)
		part, path := body[:n], s.piece(name, p.ID, p.Count)
		body = body[n:]
		g.Go(func() error {
			_, err := s.docs.write(ctx, path, pieceDoc{pieceFormat, part}, 0)
			return err
		})
	}
	return p, g.Wait()
}

// body reads the pieces of a body.
func (s *Store) body(ctx context.Context, name string, p pieces) ([]byte, error) {
	parts := make([][]byte, p.Count)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for i := range parts {
		g.Go(func() error {
			var d pieceDoc
			path := s.piece(name, p.ID, i)
			version, err := s.docs.read(ctx, path, &d)
			if err == nil && (version == 0 || d.Format != pieceFormat) {
				err = fmt.Errorf("hashivault: read secrets: %s: %w", path, ErrDamaged)
			}
			parts[i] = d.Data
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return bytes.Join(parts, nil), nil
}

// drop removes the pieces of versions that are gone.
func (s *Store) drop(ctx context.Context, name string, gone []versionRow) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for _, v := range gone {
		for i := range v.Pieces.Count {
			g.Go(func() error { return s.docs.remove(ctx, s.piece(name, v.Pieces.ID, i)) })
		}
	}
	return g.Wait()
}

// dropAll removes all pieces of a secret, also those that a crash left over.
func (s *Store) dropAll(ctx context.Context, name string) error {
	folder := mustFolder(bodiesFolder, name)
	all, err := s.docs.list(ctx, folder)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(abreast)
	for _, n := range all {
		if !strings.HasSuffix(n, "/") {
			g.Go(func() error { return s.docs.remove(ctx, folder+"/"+n) })
		}
	}
	return g.Wait()
}
