package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A change that is asked for by many at once under one key is made once; what
// failed is tried again by the next.
func TestOnce(t *testing.T) {
	o := newOnce()
	var made, tried atomic.Int32
	change := func() (any, error) {
		if tried.Add(1) == 1 {
			return nil, errors.New("the first try fails")
		}
		return int(made.Add(1)), nil
	}
	var all sync.WaitGroup
	var failed atomic.Int32
	for range 20 {
		all.Go(func() {
			out, err := o.do(t.Context(), onceKey{key: "k"}, []byte("body"), change)
			if err != nil {
				failed.Add(1)
				return
			}
			assert.Equal(t, 1, out)
		})
	}
	all.Wait()
	assert.EqualValues(t, 1, made.Load())
	assert.EqualValues(t, 1, failed.Load())

	for range 2 {
		_, err := o.do(t.Context(), onceKey{}, nil, change)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 3, made.Load(), "without a key each is made")
	_, err := o.do(t.Context(), onceKey{operation: "another", key: "k"}, []byte("body"), change)
	require.NoError(t, err)
	assert.EqualValues(t, 4, made.Load(), "a key is of one operation")
}

// Whoever waits for another may give up.
func TestOnceGivesUp(t *testing.T) {
	o := newOnce()
	began, end := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		_, _ = o.do(t.Context(), onceKey{key: "k"}, nil, func() (any, error) { close(began); <-end; return 1, nil })
	})
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.do(ctx, onceKey{key: "k"}, nil, func() (any, error) { return 2, nil })
	require.ErrorIs(t, err, context.Canceled)
	close(end)
	first.Wait()
}

// Of many keys the oldest are forgotten.
func TestOnceForgets(t *testing.T) {
	o := newOnce()
	for i := range onceMany + 5 {
		_, err := o.do(t.Context(), onceKey{key: fmt.Sprint(i)}, nil, func() (any, error) { return i, nil })
		require.NoError(t, err)
	}
	assert.Len(t, o.known, onceMany)
	assert.Len(t, o.order, onceMany)
	out, err := o.do(t.Context(), onceKey{key: "0"}, nil, func() (any, error) { return "anew", nil })
	require.NoError(t, err)
	assert.Equal(t, "anew", out)
}
