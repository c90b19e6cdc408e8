package sync

import (
	"context"
	"log/slog"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/connectors"
)

// StateStore opens the state of pairs, one physically separate store each.
type StateStore interface{}

type Options struct {
	Clock      func() time.Time
	Logger     *slog.Logger
	Progress   func(Event)   // called from the syncing goroutine; must not block
	SweepEvery time.Duration // how often a side without tombstones is searched for silent deletions; zero: 24 h
}

// Event is live progress.
type Event struct {
	Pair  PairID
	Kind  connectors.Kind
	Phase string // recover, read, plan, write, done
	Done  int
	Total int // -1: unknown yet
}

type Engine struct{}

func New(az *authz.Authorizer, st StateStore, opts *Options) (*Engine, error) {
	return nil, authz.ErrDenied
}

// Plan is the dry run: what Sync would do now.
func (e *Engine) Plan(ctx context.Context, who authz.Principal, p Pair) (Plan, error) {
	return Plan{}, authz.ErrDenied
}

// Sync runs one round.
func (e *Engine) Sync(ctx context.Context, who authz.Principal, p Pair) (Report, error) {
	return Report{}, authz.ErrDenied
}

// Issues lists what a person must see; names only with sync.issues.names.read.
func (e *Engine) Issues(ctx context.Context, who authz.Principal, p Pair, q IssueQuery) (IssuePage, error) {
	return IssuePage{}, authz.ErrDenied
}

type Plan struct {
	Pair    PairID   `json:"pair"`
	Actions []Action `json:"actions"`
}

type Action struct {
	Op     string             `json:"op"` // create update delete unlink adopt conflict hold
	Side   Side               `json:"side"`
	Kind   connectors.Kind    `json:"kind"`
	Left   string             `json:"left,omitempty"`  // id
	Right  string             `json:"right,omitempty"` // id
	Fields []connectors.Field `json:"fields,omitempty"`
	Why    string             `json:"why"` // a sentence without content
}

type Report struct {
	Pair     PairID                          `json:"pair"`
	Started  time.Time                       `json:"started"`
	Wall     time.Duration                   `json:"wall_ns"`
	CPU      time.Duration                   `json:"cpu_ns"`
	Requests int64                           `json:"requests"`
	Kinds    map[connectors.Kind]*KindReport `json:"kinds"`
	Held     string                          `json:"held,omitempty"` // why the round stopped short, e.g. the mass-change brake
	Plan     Plan                            `json:"-"`
}

type KindReport struct {
	Read      [2]int `json:"read"`    // left, right
	Created   [2]int `json:"created"` // on left, on right
	Updated   [2]int `json:"updated"`
	Deleted   [2]int `json:"deleted"`
	Linked    int    `json:"linked"`
	Unlinked  int    `json:"unlinked"`
	Conflicts int    `json:"conflicts"`
	Issues    int    `json:"issues"` // open after the round
	Links     int    `json:"links"`  // remembered pairs after the round
}

type Issue struct {
	Code                 string           `json:"code"` // stable, e.g. LK-FIELD-TOO-LONG
	Kind                 connectors.Kind  `json:"kind"`
	Left                 string           `json:"left,omitempty"`
	Right                string           `json:"right,omitempty"`
	Field                connectors.Field `json:"field,omitempty"`
	Text                 string           `json:"text"`           // what failed, why, what was not done, next step; no content
	Name                 string           `json:"name,omitempty"` // only with sync.issues.names.read
	First, Last, NextTry time.Time
	Tries                int
}

type IssueQuery struct {
	After string
	Limit int
	Names bool
}
type IssuePage struct {
	Issues []Issue
	Next   string
}
