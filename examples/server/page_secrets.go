package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/secrets"
)

// The pages of the credentials show what is known of each and never a value:
// there is nothing here that could ask for one.

type secretsData struct {
	Keeper keeperData
	Rows   []secretRow
	Next   string   // address of the next page
	Later  bool     // it is not the first page
	Said   string   // what was just done
	Rotate *refusal // why the persona may not make a new key; nil: it may
}

// keeperData is who keeps the keys, for those who may know of credentials.
type keeperData struct {
	keeperState
	Is    string
	Probe bool   // it is asked how it is
	Also  string // the keyring that opens the keys as well
}

type secretRow struct {
	secrets.Description
	Name, Link string
	Overdue    bool
}

const secretsPage = 50 // credentials of one page

func (p *page) keeper() keeperData {
	k := keeperData{keeperState: p.h.watch.read(), Is: p.h.dir.keeperIs(), Probe: p.h.watch.probe != nil}
	if p.h.dir.vault != nil && p.h.dir.keyed {
		k.Also = p.h.dir.keyPath
	}
	return k
}

func rowOf(d secrets.Description) secretRow {
	_, name, _ := strings.Cut(d.Ref, "/secrets/")
	return secretRow{d, name, "/credential?" + url.Values{"ref": {d.Ref}}.Encode(), !d.Due.IsZero() && d.Due.Before(now())}
}

// secrets lists the tenant's credentials, a page at a time.
func (p *page) secrets(w http.ResponseWriter, r *http.Request) {
	g, err := p.grant(r, "secrets.describe", p.h.tenant)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	after := r.URL.Query().Get("after")
	d := secretsData{Keeper: p.keeper(), Later: after != "", Rotate: p.may(r, "secrets.rotate", p.h.tenant)}
	if r.URL.Query().Get("done") == "key" {
		d.Said = "The tenant has a new key, and every credential is sealed under it."
	}
	for e, err := range p.h.safe.ListAfter(r.Context(), g, p.h.tenant, after) {
		if err != nil {
			p.problem(w, r, err)
			return
		}
		if len(d.Rows) == secretsPage {
			d.Next = "/credentials?" + url.Values{"after": {d.Rows[secretsPage-1].Ref}}.Encode()
			break
		}
		d.Rows = append(d.Rows, rowOf(e))
	}
	p.show(w, r, http.StatusOK, "page_secrets.html", "Credentials", false, d)
}

type secretData struct {
	Row      secretRow
	Versions []secrets.VersionInfo
	Said     string
	Problem  string
	Revoke   *refusal // why the persona may not; nil: it may
	Replace  *refusal
	Ours     bool // it can be replaced here: it is the login of an embedded system
}

// named reads which credential a request is about.
func (p *page) named(ref string) (secrets.Ref, error) {
	out, err := secrets.ParseRef(ref)
	if err != nil || !strings.HasPrefix(out.String(), p.h.tenant.String()+"/") {
		return secrets.Ref{}, secrets.ErrNotFound
	}
	return out, nil
}

// secret shows one credential and its versions.
func (p *page) secret(w http.ResponseWriter, r *http.Request) {
	said := map[string]string{
		"replaced": "There is a new password. The system takes no other from now on.",
		"revoked":  "Revoked. No version of it is kept, and nothing more is sent for it.",
	}[r.URL.Query().Get("done")]
	ref, err := p.named(r.URL.Query().Get("ref"))
	if err != nil {
		p.problem(w, r, err)
		return
	}
	p.showSecret(w, r, http.StatusOK, ref, said, "")
}

func (p *page) showSecret(w http.ResponseWriter, r *http.Request, status int, ref secrets.Ref, said, problem string) {
	g, err := p.grant(r, "secrets.describe", ref.Resource())
	d := secretData{Said: said, Problem: problem}
	if err == nil {
		var x secrets.Description
		x, err = p.h.safe.Describe(r.Context(), g, ref)
		d.Row = rowOf(x)
	}
	if err == nil {
		d.Versions, err = p.h.safe.Versions(r.Context(), g, ref)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	d.Revoke, d.Replace = p.may(r, "secrets.revoke", ref.Resource()), p.may(r, "secrets.write", ref.Resource())
	_, d.Ours = p.h.logins[ref.String()]
	p.show(w, r, status, "page_secret.html", "Credential", false, d)
}

// revokeSecret ends a credential for good.
func (p *page) revokeSecret(w http.ResponseWriter, r *http.Request) {
	ref, err := p.named(r.PostFormValue("ref"))
	if err != nil {
		p.problem(w, r, err)
		return
	}
	g, err := p.grant(r, "secrets.revoke", ref.Resource())
	if err != nil {
		p.problem(w, r, err)
		return
	}
	if r.PostFormValue("sure") != "yes" {
		p.showSecret(w, r, http.StatusUnprocessableEntity, ref, "", "Nothing was revoked: tick the box to say that you mean it.")
		return
	}
	if err := p.h.safe.Revoke(r.Context(), g, ref); err != nil && !errors.Is(err, secrets.ErrNotWithdrawn) {
		p.problem(w, r, err)
		return
	}
	http.Redirect(w, r, rowOf(secrets.Description{Ref: ref.String()}).Link+"&done=revoked", http.StatusSeeOther)
}

// replaceSecret makes a new password in the system and in the safe.
func (p *page) replaceSecret(w http.ResponseWriter, r *http.Request) {
	ref, err := p.named(r.PostFormValue("ref"))
	if err != nil {
		p.problem(w, r, err)
		return
	}
	g, err := p.grant(r, "secrets.write", ref.Resource())
	if err == nil {
		err = p.h.replace(r.Context(), g, ref)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	http.Redirect(w, r, rowOf(secrets.Description{Ref: ref.String()}).Link+"&done=replaced", http.StatusSeeOther)
}

const rewrapTime = 30 * time.Second // of one request; what is left then is done by the next

// rotateKey makes a new key for the tenant and seals its credentials under it.
func (p *page) rotateKey(w http.ResponseWriter, r *http.Request) {
	g, err := p.grant(r, "secrets.rotate", p.h.tenant)
	if err == nil {
		_, err = p.h.safe.RotateTenant(r.Context(), g, p.h.tenant)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), rewrapTime)
	defer cancel()
	done, err := p.h.safe.Rewrap(ctx, g, p.h.tenant, nil)
	if errors.Is(err, context.DeadlineExceeded) || err == nil && done.Failed > 0 {
		err = fmt.Errorf("the tenant has a new key, but not every credential is sealed under it: %s. Those that are not go on to work under the old one; ask again to go on", done)
	}
	if err != nil {
		p.problem(w, r, err)
		return
	}
	http.Redirect(w, r, "/credentials?done=key", http.StatusSeeOther)
}

// grant hands over a permission to the persona of a request. The decision is
// recorded.
func (p *page) grant(r *http.Request, permission string, on authz.Resource) (authz.Grant, error) {
	return p.h.az.Authorize(r.Context(), authz.Request{Principal: p.persona(r).Principal, Permission: authz.MustPermission(permission), Resource: on})
}
