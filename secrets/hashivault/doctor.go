package hashivault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/lockkeeper/lockkeeper/secrets"
)

// Finding is something about how Vault is set up that is to be mended.
type Finding struct {
	Code   string // names it, for programs: one of the constants
	Broken bool   // it does not work, or is about to lose keys; otherwise it works, less safely than it could or not for long
	What   string // what is wrong, for an operator; mounts, paths and names of the Config, never a credential or what Vault answered
	Fix    string // what to do, with the command of Vault's CLI where there is one
}

// String is one line.
func (f Finding) String() string {
	word := "WARNING"
	if f.Broken {
		word = "BROKEN"
	}
	return word + " " + f.Code + ": " + f.What + ". Fix: " + f.Fix
}

// Report is what Doctor found.
type Report struct {
	Findings []Finding // in the order in which to mend them; what is behind a broken one may not have been looked at
	Policy   string    // the least policy that the Config needs, in HCL, to be printed below the findings; empty if the Config cannot work
}

// Fit reports whether nothing is broken.
func (r Report) Fit() bool {
	return !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Broken })
}

// String is one finding per line, or that there is none.
func (r Report) String() string {
	if len(r.Findings) == 0 {
		return "OK: Vault is there, lets us in, and is set up as it must be\n"
	}
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Codes of Findings.
const (
	FindConfig       = "config"        // the Config cannot work
	FindUnreachable  = "unreachable"   // no connection
	FindTLS          = "tls"           // its certificate is not to be trusted, or it speaks no TLS
	FindNotVault     = "not-vault"     // something else answers
	FindUnready      = "unready"       // it answers and does not work
	FindUninit       = "uninitialised" // it was never initialised
	FindSealed       = "sealed"
	FindStandby      = "standby"
	FindNamespace    = "namespace"       // it has no namespaces, and one is configured
	FindCredential   = "credential"      // there is none to log in with, or it is refused
	FindAuthMethod   = "auth-method"     // the method is not enabled at the mount, or not for us
	FindAuthConfig   = "auth-config"     // the method is enabled and not set up
	FindRole         = "role"            // there is no such role
	FindOnce         = "not-logged-in"   // the credential is good for one login, which Doctor does not use up
	FindToken        = "token"           // the token does not last
	FindRootToken    = "root-token"      // it may do everything
	FindNarrow       = "policy-narrow"   // the policy lacks something
	FindWide         = "policy-wide"     // the policy has something that it should not
	FindTransit      = "transit-mount"   // there is no Transit engine
	FindKey          = "key-missing"     // there is no key
	FindKeyType      = "key-type"        // it does not wrap keys, or not in the way that it must
	FindKeyDerived   = "key-not-derived" // it ignores what a wrapped key belongs to
	FindKeyExport    = "key-exportable"  // it may leave Vault
	FindKeyDeletable = "key-deletable"   // it may be deleted
	FindKV           = "kv-mount"        // there is no KV engine of version 2
	FindKVDeletes    = "kv-deletes"      // Vault deletes what is in it after a time
	FindKVDamaged    = "kv-damaged"      // a document is not as it was written
	FindWrongVault   = "wrong-vault"     // it is another one, or an older copy
	FindUse          = "use"             // wrapping and unwrapping a key does not work
)

// Doctor looks how the Vault of a Config is set up: whether it can be reached and
// trusted, lets us in, for how long, to do what and no more, and whether engines
// and key are as they must be. It logs in, and out again; it wraps a key that
// nobody uses, and writes nothing. A WrappedAppRole is not logged in with, since
// its token opens once: use Client.Doctor. The duties are those of Policy.
func Doctor(ctx context.Context, cfg Config, duties ...Duty) Report {
	c, err := New(cfg)
	if err != nil {
		return Report{Findings: []Finding{{FindConfig, true, plain(err), "correct this setting"}}}
	}
	defer c.Close()
	d := newDoctor(ctx, c, duties)
	if cfg.Auth.once {
		d.once()
	} else {
		d.all()
	}
	return d.Report
}

// Doctor is the function Doctor for a Client that is in use, with its login. It
// asks Vault even if the Client knows of a moment ago that Vault is not there.
func (c *Client) Doctor(ctx context.Context, duties ...Duty) Report {
	d := newDoctor(ctx, c, duties)
	d.all()
	return d.Report
}

// doctor is one look.
type doctor struct {
	Report
	ctx    context.Context
	c      *Client
	cfg    Config
	rules  []rule
	rotate bool
	store  bool
	caps   map[string][]string // nil: they could not be asked for
}

func newDoctor(ctx context.Context, c *Client, duties []Duty) *doctor {
	d := &doctor{ctx: ctx, c: c, cfg: c.cfg}
	var err error
	if d.rules, err = c.cfg.rules(duties); err != nil {
		d.find(FindConfig, true, plain(err), "correct this setting")
	}
	d.Policy = hcl(d.rules)
	d.rotate, d.store = slices.Contains(duties, Rotating), slices.Contains(duties, Storing)
	return d
}

func (d *doctor) find(code string, broken bool, what, fix string) {
	d.Findings = append(d.Findings, Finding{code, broken, what, fix})
}

// plain is an error without the package's name before it.
func plain(err error) string {
	s := strings.TrimPrefix(err.Error(), "hashivault: ")
	return strings.TrimPrefix(s, "config: ")
}

func (d *doctor) all() {
	if !d.reach() {
		return
	}
	d.wake()
	if !d.token() {
		return
	}
	d.policy()
	if d.key() && d.kv() && d.Fit() {
		d.use()
	}
}

// once is all for a credential that a login uses up.
func (d *doctor) once() {
	if d.reach() {
		d.find(FindOnce, false, "the wrapping token opens once, so that it was not tried and nothing behind the login was looked at", "nothing; the program's own health tells the rest once it runs")
	}
}

// reach asks how Vault is, without a token.
func (d *doctor) reach() bool {
	h, err := d.c.health(d.ctx)
	if err != nil {
		d.failed(err)
		return false
	}
	if h.Standby {
		d.find(FindStandby, false, "a standby node answers and hands each request on", "give the address of the active node, or of a balancer that asks sys/health")
	}
	if d.cfg.Namespace != "" && !h.Enterprise {
		d.find(FindNamespace, true, "this Vault has no namespaces and ignores the one that is configured, "+d.cfg.Namespace, "leave the namespace out, or give the address of the Vault Enterprise that has it")
	}
	return true
}

// wake waits, a second at most, until the Client no longer goes by what it knew
// of a moment ago: Vault has just answered.
func (d *doctor) wake() {
	for end := time.Now().Add(2 * pause); d.c.breaker.State() == gobreaker.StateOpen && time.Now().Before(end); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-d.ctx.Done():
			return
		}
	}
}

// failed turns an error into a finding.
func (d *doctor) failed(err error) {
	var e *Error
	if !errors.As(err, &e) {
		what := "no answer in time"
		if errors.Is(err, ErrDamaged) {
			d.find(FindKVDamaged, true, plain(err), "undelete that version (vault kv undelete) or restore Vault's newest backup; write nothing before")
			return
		}
		d.find(FindUnreachable, true, what, "check address, firewall and load of Vault")
		return
	}
	code, fix := FindUse, "see Vault's log of this moment"
	switch {
	case errors.Is(err, ErrWrongVault):
		code, fix = FindWrongVault, "give the address of the right Vault, or restore its newest backup; only if that is meant to be another one, forget the expected Identity"
	case e.State == secrets.Sealed && e.Reason == whyUninit:
		code, fix = FindUninit, "vault operator init, then vault operator unseal"
	case e.State == secrets.Sealed:
		code, fix = FindSealed, "vault operator unseal"
	case e.State == secrets.Standby:
		code, fix = FindStandby, "give the address of the active node, or of a balancer that asks sys/health"
	case e.Reason == whyNotVault:
		code, fix = FindNotVault, "check scheme, host and port of the address"
	case e.State == secrets.Denied:
		code, fix = FindNarrow, "write the policy below, and give it to the token or role"
	case e.State == secrets.Unreachable:
		code, fix = FindUnreachable, "check address, firewall and load of Vault"
		if known, ok := mend[e.Reason]; ok {
			code, fix = known.code, known.fix
		}
	}
	d.find(code, true, e.Reason, fix)
}

// mend says what to do about what keeps a connection from being made.
var mend = map[string]struct{ code, fix string }{
	whyAuthority: {FindTLS, "give the PEM of the authority that issued Vault's certificate as CA"},
	whyHost:      {FindTLS, "give the address by a name that is in Vault's certificate, or have one issued for this name"},
	whyCert:      {FindTLS, "look at its dates and chain: openssl s_client -showcerts -connect HOST:PORT"},
	whyNoTLS:     {FindTLS, "give the port on which Vault speaks TLS"},
	whyDNS:       {FindUnreachable, "check the host in the address, and the resolver of this machine"},
	whyRefused:   {FindUnreachable, "start Vault, or correct the port in the address"},
	whyReset:     {FindUnreachable, "see whether a firewall or balancer in between ends the connection"},
	whyLate:      {FindUnreachable, "check address, firewall and load of Vault"},
	whyInside:    {FindUnready, "see Vault's log: its storage is the most likely cause"},
	whyNotReady:  {FindUnready, "wait for it, or see Vault's log"},
	whyTooMany:   {FindUnready, "raise Vault's rate limit quota for us, or lower AtOnce"},
}

// ask sends a query with a token, past what is known of a moment ago.
func (d *doctor) ask(q query) (answer, error) { return d.c.once(d.ctx, q) }

// token logs in and looks at the token.
func (d *doctor) token() bool {
	if _, err := d.c.session.ensure(d.ctx); err != nil {
		d.login(err)
		return false
	}
	a, err := d.ask(query{op: "look at the token", method: http.MethodGet, path: "auth/token/lookup-self"})
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.State != secrets.Denied {
			d.failed(err)
			return false
		}
		return true // the policy says so in its turn; or else the token is over, as all that follows tells
	}
	var t struct {
		TTL, Period int64
		MaxTTL      int64 `json:"explicit_max_ttl"`
		Created     int64 `json:"creation_ttl"`
		Uses        int64 `json:"num_uses"`
		Renewable   bool
		Policies    []string
	}
	if err := a.into("look at the token", &t); err != nil {
		d.failed(err)
		return false
	}
	left := time.Duration(t.TTL) * time.Second
	lent := d.cfg.Auth.lent
	if slices.Contains(t.Policies, "root") {
		d.find(FindRootToken, false, "the token is a root token: it may do everything, and whoever gets hold of it too", "log in by AppRole, Kubernetes or JWT with the policy below, and revoke this token")
	}
	switch {
	case t.Uses > 0:
		d.find(FindToken, true, fmt.Sprintf("the token is good for %d more uses and then ends", t.Uses), "set token_num_uses=0 in the role, or make the token without uses")
	case lent && t.TTL > 0 && !t.Renewable:
		d.find(FindToken, false, fmt.Sprintf("the token ends in %v and cannot be renewed", left), "vault token create -period=24h -policy=NAME, or log in by AppRole, Kubernetes or JWT")
	case lent && t.TTL > 0 && t.Period == 0:
		d.find(FindToken, false, fmt.Sprintf("the token ends for good at its greatest age, however often it is renewed; in %v if it is not", left), "vault token create -period=24h -policy=NAME, or log in by AppRole, Kubernetes or JWT")
	case lent && t.TTL == 0 && !slices.Contains(t.Policies, "root"):
		d.find(FindToken, false, "the token never ends", "vault token create -period=24h -policy=NAME, or log in by AppRole, Kubernetes or JWT")
	case t.Created > 0 && t.Created < 60:
		d.find(FindToken, false, fmt.Sprintf("a token lasts %v: logging in anew so often is load, and an outage of the login for that long is one of everything", time.Duration(t.Created)*time.Second), "set token_ttl=1h or so in the role")
	}
	return true
}

// login says why there is no token.
func (d *doctor) login(err error) {
	a := d.cfg.Auth
	var e *Error
	if !errors.As(err, &e) {
		d.failed(err)
		return
	}
	at := "auth/" + a.mount
	also := ""
	if d.cfg.Namespace != "" {
		also = "; see too whether the namespace " + d.cfg.Namespace + " exists and is the right one"
	}
	switch e.Reason {
	case whyNoMethod:
		if a.kind == "kubernetes" { // it answers a service account that it refuses in the same way
			d.find(FindAuthMethod, true, fmt.Sprintf("kubernetes is not enabled at %s, or the service account was refused", at), fmt.Sprintf("vault auth enable -path=%s kubernetes, or correct the mount; else %s", a.mount, a.remedy(also)))
			return
		}
		d.find(FindAuthMethod, true, fmt.Sprintf("logging in at %s is not allowed to anybody: %s is not enabled there", at, a.kind), fmt.Sprintf("vault auth enable -path=%s %s, or correct the mount%s", a.mount, a.kind, also))
	case whyUnconfigured:
		d.find(FindAuthConfig, true, fmt.Sprintf("%s at %s is enabled, but it is not set up or another method", a.kind, at), fmt.Sprintf("vault write %s/config ..., see the page of Vault's documentation about %s%s", at, a.kind, also))
	case whyNoRole:
		d.find(FindRole, true, fmt.Sprintf("%s has no role of this name", at), fmt.Sprintf("vault list %s/role shows which there are%s", at, also))
	case whyRefusedCred:
		d.find(FindCredential, true, fmt.Sprintf("the credential was refused at %s", at), a.remedy(also))
	case whyTokenOver:
		d.find(FindCredential, true, "the token is not valid, or no longer, or its policy does not let it look at itself", "vault token create -period=24h -policy=NAME with the policy below, or log in by AppRole, Kubernetes or JWT"+also)
	default:
		if e.State == secrets.Denied {
			d.find(FindCredential, true, e.Reason, "see that the file is there, is readable for this process, and has the credential and nothing else in it")
			return
		}
		d.failed(err)
	}
}

// policy compares what the token may with what it must and what it should not.
func (d *doctor) policy() {
	paths := map[string]bool{}
	for _, r := range d.rules {
		paths[sample(r.path)] = true
	}
	wide := d.forbidden()
	for _, w := range wide {
		paths[w.path] = true
	}
	var list []string
	for p := range paths {
		list = append(list, p)
	}
	slices.Sort(list)
	a, err := d.ask(query{op: "look at the policy", method: http.MethodPut, path: "sys/capabilities-self", body: map[string]any{"paths": list}})
	var e *Error
	if errors.As(err, &e) && e.State == secrets.Denied {
		d.find(FindNarrow, true, "the policy does not allow update on sys/capabilities-self, so that the rest of it cannot be looked at", "write the policy below, and give it to the token or role")
		return
	}
	if err == nil {
		var caps map[string]json.RawMessage
		if err = a.into("look at the policy", &caps); err == nil {
			d.caps = map[string][]string{}
			for p, raw := range caps {
				var c []string
				if paths[p] && json.Unmarshal(raw, &c) == nil {
					d.caps[p] = c
				}
			}
		}
	}
	if err != nil {
		d.failed(err)
		return
	}
	for _, r := range d.rules {
		has := d.caps[sample(r.path)]
		var lacks []string
		for _, c := range r.caps {
			if !slices.Contains(has, c) && !slices.Contains(has, "root") {
				lacks = append(lacks, c)
			}
		}
		if len(lacks) > 0 {
			d.find(FindNarrow, true, fmt.Sprintf("the policy does not allow %s on %s", strings.Join(lacks, ", "), r.path), "write the policy below, and give it to the token or role")
		}
	}
	for _, w := range wide {
		has := d.caps[w.path]
		if slices.Contains(has, "root") {
			break // one finding is enough, see token
		}
		var more []string
		for _, c := range w.caps {
			if slices.Contains(has, c) {
				more = append(more, c)
			}
		}
		if len(more) > 0 {
			d.find(FindWide, false, fmt.Sprintf("the policy allows %s on %s: %s", strings.Join(more, ", "), w.path, w.comment), "take it out: the policy below is enough")
		}
	}
}

// sample is a path that a rule's path is for.
func sample(path string) string {
	if p, ok := strings.CutSuffix(path, "*"); ok {
		return p + "0001"
	}
	return path
}

// forbidden is what no worker should be allowed.
func (d *doctor) forbidden() []rule {
	t, kv, key := d.cfg.Transit, d.cfg.KV, d.cfg.Key
	doc := d.cfg.Path + "/keys-0001"
	if d.cfg.Apart {
		doc = d.cfg.Path + "/tenant-0001"
	}
	out := []rule{
		{"encrypt would make a new key in the place of one that is missing", t + "/encrypt/" + key, []string{"create"}},
		{"it could read the root key", t + "/export/encryption-key/" + key, []string{"read"}},
		{"it could read the root key", t + "/backup/" + key, []string{"read"}},
		{"it could put another root key in the place of this one", t + "/restore/" + key, []string{"create", "update"}},
		{"it could delete the root key, or make another", t + "/keys/" + key, []string{"create", "update", "delete"}},
		{"it could use keys that are not its own", t + "/decrypt/" + key + "-of-another", []string{"create", "update"}},
		{"it could delete tenants' keys", kv + "/data/" + doc, []string{"delete"}},
		{"it could delete tenants' keys with all their versions, or have Vault do so", kv + "/metadata/" + doc, []string{"create", "update", "delete"}},
		{"it could read or write what is not its own", kv + "/data/" + d.cfg.Path + "-of-another/keys-0001", []string{"create", "read", "update", "delete"}},
		{"it could change policies, its own too", "sys/policies/acl/lockkeeper", []string{"create", "update", "delete"}},
		{"it could change mounts", "sys/mounts/lockkeeper-probe", []string{"create", "update", "delete", "sudo"}},
		{"it could let others in", "sys/auth/lockkeeper-probe", []string{"create", "update", "delete", "sudo"}},
		{"it could make tokens that outlive it", "auth/token/create", []string{"create", "update"}},
		{"it could seal Vault", "sys/seal", []string{"update", "sudo"}},
		{"it could end Vault's audit", "sys/audit/file", []string{"create", "update", "delete", "sudo"}},
	}
	if !d.rotate {
		out = append(out, rule{"it could let the root key be exported, deleted, or lose versions", t + "/keys/" + key + "/config", []string{"create", "update"}},
			rule{"it could destroy versions of the root key", t + "/keys/" + key + "/trim", []string{"create", "update"}},
			rule{"it could rotate the root key, which is a duty of its own", t + "/keys/" + key + "/rotate", []string{"create", "update"}})
	}
	return out
}

// key looks at the Transit engine and its key.
func (d *doctor) key() bool {
	path := d.cfg.Transit + "/keys/" + d.cfg.Key
	made := fmt.Sprintf("vault write %s type=aes256-gcm96 derived=true", path)
	a, err := d.ask(query{op: "read the key", method: http.MethodGet, path: path})
	var e *Error
	switch {
	case errors.As(err, &e) && e.State == secrets.Denied:
		return false // said already
	case err != nil:
		d.failed(err)
		return false
	case a.status != http.StatusOK && (len(a.errs) > 0 || a.warned):
		d.find(FindTransit, true, "there is no Transit engine at "+d.cfg.Transit, fmt.Sprintf("vault secrets enable -path=%s transit, or correct the mount", d.cfg.Transit))
		return false
	case a.status != http.StatusOK && (d.cfg.Expect.Version > 0 || d.c.known.was()):
		d.find(FindWrongVault, true, "the Transit key is gone", "restore Vault's newest backup: a new key opens nothing")
		return false
	case a.status != http.StatusOK:
		d.find(FindKey, true, "there is no Transit key "+path, made)
		return false
	}
	var k transitKey
	if err := a.into("read the key", &k); err != nil {
		d.failed(err)
		return false
	}
	fine := true
	for _, m := range k.misuses() {
		fine = false
		d.find(m.code, true, m.what, "make another key and give its name as Key: vault write "+d.cfg.Transit+"/keys/NAME type=aes256-gcm96 derived=true; nothing was wrapped under this one, since such a key is refused")
	}
	if k.Deletable {
		d.find(FindKeyDeletable, false, "the Transit key may be deleted, and everything with it", fmt.Sprintf("vault write %s/config deletion_allowed=false", path))
	}
	if fine {
		if _, err := d.c.look(d.ctx); err != nil {
			d.failed(err)
			return false
		}
	}
	return fine
}

// kv looks at the KV engine and at what is in it.
func (d *doctor) kv() bool {
	enable := fmt.Sprintf("vault secrets enable -path=%s -version=2 kv, or correct the mount", d.cfg.KV)
	a, err := d.ask(query{op: "look at the mount", method: http.MethodGet, path: "sys/internal/ui/mounts/" + d.cfg.KV})
	var e *Error
	if errors.As(err, &e) && e.State == secrets.Denied {
		d.find(FindKV, true, "there is no KV engine at "+d.cfg.KV+", or the policy allows nothing there", enable)
		return false
	}
	var m struct {
		Type    string
		Options struct{ Version string }
	}
	if err == nil {
		err = a.into("look at the mount", &m)
	}
	switch {
	case err != nil:
		d.failed(err)
		return false
	case m.Type != "kv":
		d.find(FindKV, true, "the engine at "+d.cfg.KV+" is not KV", enable)
		return false
	case m.Options.Version != "2":
		d.find(FindKV, true, "the KV engine at "+d.cfg.KV+" is of version 1, which keeps no versions and knows no check-and-set", fmt.Sprintf("vault kv enable-versioning %s, if nobody else uses it, or one of its own: %s", d.cfg.KV, enable))
		return false
	}
	kv := d.c.KV()
	names, err := kv.names(d.ctx)
	if err == nil {
		_, err = kv.writes(d.ctx)
	}
	if errors.As(err, &e) && e.State == secrets.Denied {
		return false // said already
	}
	if err != nil {
		d.failed(err)
		return false
	}
	for _, name := range names {
		if !d.keeps(kv.docs, name, "tenants' keys") {
			return false
		}
	}
	return !d.store || d.rows()
}

// rows looks at the documents of tenants in Store, and of those whether Vault would
// delete the first: what is set on the mount it is set for all.
func (d *doctor) rows() bool {
	s := d.c.Store()
	first := ""
	err := s.docs.walk(d.ctx, tenantsFolder, "", "", func(name string) (bool, error) {
		first = name
		return false, nil
	})
	if err == nil && first != "" {
		_, _, err = s.tenant(d.ctx, first)
	}
	var e *Error
	if errors.As(err, &e) && e.State == secrets.Denied {
		return false // said already
	}
	if err != nil {
		d.failed(err)
		return false
	}
	return first == "" || d.keeps(s.docs, mustFolder(tenantsFolder, first), "sealed secrets")
}

// keeps looks whether Vault would delete a document by itself.
func (d *doctor) keeps(docs documents, name, what string) bool {
	a, err := d.ask(query{op: "look at a document", method: http.MethodGet, path: docs.path("metadata", name)})
	var meta struct {
		After    string `json:"delete_version_after"`
		Versions map[string]struct {
			Deleted string `json:"deletion_time"`
		}
		Current uint64 `json:"current_version"`
	}
	if err == nil && a.status == http.StatusOK {
		err = a.into("look at a document", &meta)
	}
	var e *Error
	if errors.As(err, &e) && e.State == secrets.Denied {
		return false // said already
	}
	if err != nil {
		d.failed(err)
		return false
	}
	if v := meta.Versions[fmt.Sprint(meta.Current)]; v.Deleted != "" || meta.After != "" && meta.After != "0s" {
		d.find(FindKVDeletes, true, "Vault deletes the document "+name+", with its "+what+", after a time that is set on the mount or the document",
			fmt.Sprintf("vault write %s/config delete_version_after=0s and vault kv metadata put -mount=%s -delete-version-after=0s %s/%s; then let any change of it write it anew, or vault kv undelete", d.cfg.KV, d.cfg.KV, docs.under, name))
		return false
	}
	return true
}

// use wraps and unwraps a key that nobody has.
func (d *doctor) use() {
	probe := make([]byte, keySize)
	w, err := d.c.Transit().Wrap(d.ctx, probe, []byte("doctor"))
	if err == nil {
		_, err = d.c.Transit().Unwrap(d.ctx, w, []byte("doctor"))
	}
	if err != nil {
		d.failed(err)
	}
}
