package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// roundArgs are the arguments of a job that keeps one mailbox in sync. Jobs are
// stored in the clear within their database, so arguments hold ids only.
type roundArgs struct {
	Mailbox string `json:"mailbox" river:"unique"`
}

// Kind implements river.JobArgs.
func (roundArgs) Kind() string { return "mailbox_round" }

// InsertOpts allows one job of a mailbox at a time. Completed jobs are left out
// of the states, or the next round would be refused until they are cleaned up.
func (roundArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
		rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled, rivertype.JobStateRetryable}}}
}

const (
	roundTimeout = 2 * time.Minute
	rescueAfter  = 3 * time.Minute // must be longer than a round may take
	longestWait  = time.Minute     // between tries of a mailbox whose rounds fail
	pauseWait    = 5 * time.Second // between two looks of a mailbox whether there are keys again
)

// jobs runs the rounds of all mailboxes on River: one job each, which snoozes
// from round to round.
type jobs struct {
	db     *sql.DB
	client *river.Client[*sql.Tx]
	ids    map[string]int64 // job of each mailbox
}

// startJobs begins to serve every mailbox and goes on until stop.
func startJobs(ctx context.Context, h *house, interval time.Duration) (_ *jobs, err error) {
	j := &jobs{ids: map[string]int64{}}
	if j.db, err = h.dir.database(ctx, jobsDB); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = j.db.Close()
		}
	}()
	driver := riversqlite.New(j.db)
	quiet := slog.New(atLeast{h.log.Handler(), slog.LevelWarn})
	m, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("jobs: migrate: %w", err)
	}
	if _, err := j.db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS wanted (mailbox TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT`); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	// The lock on the data directory says that no other process runs these, so
	// jobs that still count as running were cut off. River would find out too,
	// after rescueAfter.
	if _, err := j.db.ExecContext(ctx, `UPDATE river_job SET state = 'available' WHERE state = 'running'`); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &roundWorker{h: h, j: j, interval: interval})
	j.client, err = river.NewClient(driver, &river.Config{
		Logger:               quiet,
		Workers:              workers,
		FetchCooldown:        50 * time.Millisecond,
		FetchPollInterval:    200 * time.Millisecond,
		JobTimeout:           roundTimeout,
		RescueStuckJobsAfter: rescueAfter,
		// One round at a time: the mailboxes share a CRM, and the same person
		// in two of them is to be created there once.
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
	})
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	for _, m := range h.mailboxes {
		res, err := j.client.Insert(ctx, roundArgs{m.ID}, nil)
		if err != nil {
			return nil, fmt.Errorf("jobs: mailbox %s: %w", m.ID, err)
		}
		j.ids[m.ID] = res.Job.ID
		if res.UniqueSkippedAsDuplicate {
			j.hurry(ctx, m.ID)
		}
	}
	// Its own context: stopping is stop's, which lets a running round end.
	if err := j.client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return j, nil
}

// stop lets running rounds end, or cancels them when patience runs out: they
// settle at the next start.
func (j *jobs) stop(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := j.client.Stop(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		hard, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = j.client.StopAndCancel(hard)
	}
	return errors.Join(err, j.db.Close())
}

// want asks for a round of a mailbox now. If one is running, which may have
// read past what changed, another follows it: that is what the counter is for.
func (j *jobs) want(ctx context.Context, mailbox string) error {
	if _, err := j.db.ExecContext(ctx, `INSERT INTO wanted VALUES (?, 1) ON CONFLICT (mailbox) DO UPDATE SET count = count + 1`, mailbox); err != nil {
		return fmt.Errorf("jobs: mailbox %s: %w", mailbox, err)
	}
	j.hurry(ctx, mailbox)
	return nil
}

// hurry makes a snoozing job run now. A running one is left alone.
func (j *jobs) hurry(ctx context.Context, mailbox string) {
	_, _ = j.client.JobRetry(ctx, j.ids[mailbox]) // no loss: the job comes up by itself
}

// hurryAll makes the jobs of all mailboxes run now.
func (j *jobs) hurryAll(ctx context.Context) {
	for id := range j.ids {
		j.hurry(ctx, id)
	}
}

func (j *jobs) wanted(ctx context.Context, mailbox string) (n int64, err error) {
	err = j.db.QueryRowContext(ctx, `SELECT count FROM wanted WHERE mailbox = ?`, mailbox).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return n, err
}

// roundWorker runs one round and snoozes until the next.
type roundWorker struct {
	river.WorkerDefaults[roundArgs]
	h        *house
	j        *jobs
	interval time.Duration
}

// Work implements river.Worker. A round that fails is no failed job: River keeps
// the text of every failure, and there is no last try here. It is repeated at
// growing distances.
func (w *roundWorker) Work(ctx context.Context, job *river.Job[roundArgs]) error {
	m := w.h.mailbox(job.Args.Mailbox)
	if m == nil {
		return river.JobCancel(fmt.Errorf("mailbox %q is not known", job.Args.Mailbox))
	}
	if is := w.h.watch.read(); !is.Ready() {
		return w.pause(m, is)
	}
	before, err := w.j.wanted(ctx, m.ID)
	if err != nil {
		return err
	}
	_, err = w.h.round(ctx, m)
	if ctx.Err() != nil {
		return river.JobSnooze(0)
	}
	if err != nil {
		if is := w.h.watch.look(ctx); !is.Ready() { // that is why
			return w.pause(m, is)
		}
		w.h.log.Warn("round failed", "mailbox", m.ID, "error", err)
	}
	wait := w.interval
	for range w.h.board.read(m.ID).Failures {
		wait = min(2*wait, max(longestWait, w.interval))
	}
	if after, err := w.j.wanted(ctx, m.ID); err != nil || after != before {
		wait = 0
	}
	w.h.board.due(m.ID, now().Add(wait))
	return river.JobSnooze(wait)
}

// pause puts a mailbox off while there are no keys. When they are back every
// mailbox is hurried, and otherwise looks again by itself.
func (w *roundWorker) pause(m *mailbox, is keeperState) error {
	w.h.board.paused(m.ID, fmt.Sprintf("%s: there are no keys, %s. It goes on by itself.", is.Code, is.Detail))
	w.h.board.due(m.ID, now().Add(pauseWait))
	return river.JobSnooze(pauseWait)
}

// atLeast passes records of a level and above.
type atLeast struct {
	slog.Handler
	level slog.Level
}

// Enabled implements slog.Handler.
func (a atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= a.level && a.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (a atLeast) WithAttrs(as []slog.Attr) slog.Handler {
	return atLeast{a.Handler.WithAttrs(as), a.level}
}

// WithGroup implements slog.Handler.
func (a atLeast) WithGroup(name string) slog.Handler {
	return atLeast{a.Handler.WithGroup(name), a.level}
}
