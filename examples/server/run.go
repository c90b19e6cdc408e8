package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lockkeeper/lockkeeper/examples/server/demo"
)

// Exit codes.
const (
	exitDone        = 0
	exitFound       = 1 // doctor found something
	exitWrongUse    = 2
	exitUnavailable = 7
	exitInterrupted = 130
)

// run is the whole program with nothing of the process in it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	err := command(ctx, args, stdout, stderr, getenv)
	var misused wrongUse
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errFound):
		return exitFound
	case errors.As(err, &misused):
		fmt.Fprintln(stderr, "server:", misused)
		return exitWrongUse
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "server: interrupted. What was done is kept; the next start goes on from there.")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "server: %v.\n", err)
	return exitUnavailable
}

// command runs the command that is asked for: the server, if none is.
func command(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	switch name {
	case "doctor":
		d, err := parseDoctor(args[1:], stdout, getenv)
		if err != nil {
			return err
		}
		return doctor(ctx, d, stdout)
	case "migrate":
		m, err := parseMigrate(args[1:], stdout, getenv)
		if err != nil {
			return err
		}
		return migrate(ctx, m, stdout, stderr, getenv)
	}
	c, err := parse(args, stdout, getenv)
	if err != nil {
		return err
	}
	return start(ctx, c, stdout, stderr, getenv)
}

// start builds everything from a configuration, works, and takes it down again
// in the opposite order.
func start(ctx context.Context, c config, stdout, stderr io.Writer, getenv func(string) string) error {
	var listener net.Listener
	if !c.once { // first: a port that is taken must not leave a data directory behind
		l, err := net.Listen("tcp", c.listen)
		if err != nil {
			return fmt.Errorf("%s cannot be listened on, another program may hold the port: %w. Choose another with -listen, as in -listen localhost:0 for a free one", c.listen, cause(err))
		}
		defer l.Close()
		listener = l
	}
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	d, err := openDataDir(ctx, c.data, []byte(getenv(passphraseV)), c.vault)
	if err != nil {
		return err
	}
	defer d.close()
	b := newBoard()
	h, err := build(ctx, d, b, logger)
	if err != nil {
		return err
	}
	defer h.close()
	s, err := startSystems(d.file(systemsDir), h.issuer, c.imports)
	if err != nil {
		return err
	}
	defer s.stop()
	if s.imported != "" && !c.json {
		fmt.Fprintln(stdout, s.imported)
	}
	if err := h.connect(ctx, s); err != nil {
		return err
	}
	if c.once {
		return once(ctx, h, c.json, stdout)
	}
	return serve(ctx, h, s, listener, c.interval, stdout)
}

// cause drops the address that a network error repeats.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// How long stopping may take; together less than ten seconds.
const (
	patienceForRounds = 3 * time.Second
	patienceForPages  = 2 * time.Second
)

// serve runs rounds and the page until the context ends.
func serve(ctx context.Context, h *house, s *systems, l net.Listener, interval time.Duration, stdout io.Writer) (err error) {
	t := &terminal{w: stdout, began: now()}
	h.board.listen, h.board.ended = t.event, t.round
	t.welcome(h, s, l.Addr())
	j, err := startJobs(ctx, h, interval)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.stop(patienceForRounds)) }()
	h.watch.told = func(is keeperState) {
		t.keeper(is)
		if is.Ready() {
			j.hurryAll(ctx)
		}
	}
	var watching sync.WaitGroup
	looking, end := context.WithCancel(ctx)
	watching.Go(func() { h.watch.run(looking) })
	defer watching.Wait()
	defer end()

	page, err := newPage(h, j)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: page, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 32 << 10, ErrorLog: log.New(discard{}, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{h.pageCert}, MinVersion: tls.VersionTLS12},
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("page: %w", err)
	case <-ctx.Done():
	}
	t.say("Stopping.")
	patience, cancel := context.WithTimeout(context.Background(), patienceForPages)
	defer cancel()
	if srv.Shutdown(patience) != nil {
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// users is how many mailboxes there are.
func users() int { return len(demo.Users()) }
