package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/authz"
	"github.com/lockkeeper/lockkeeper/examples/server/api"
	"github.com/lockkeeper/lockkeeper/secrets"
)

//go:embed web
var web embed.FS

// page is the web page of the server. It works without scripts, loads nothing
// from elsewhere, and reads nothing that the chosen persona may not read.
type page struct {
	h         *house
	j         *jobs
	templates map[string]*template.Template
}

// newPage returns the handler of the page, with everything around it that every
// answer needs.
func newPage(h *house, j *jobs) (http.Handler, error) {
	p := &page{h: h, j: j, templates: map[string]*template.Template{}}
	names, err := fs.Glob(web, "web/page_*.html")
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		t, err := template.New("layout.html").Funcs(template.FuncMap{"ago": ago, "in": in, "age": age, "clock": clock, "count": count}).ParseFS(web, "web/layout.html", n)
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		p.templates[path.Base(n)] = t
	}
	programs, err := api.New(api.Options{Authorizer: h.az, Records: h.audit, Root: h.all, Who: func(r *http.Request) (authz.Principal, bool) { return p.persona(r).Principal, true }})
	if err != nil {
		return nil, err
	}
	m := http.NewServeMux()
	m.Handle("/", limited(p.routes()))
	m.Handle("/v1/", programs)
	m.Handle("/openapi.json", programs)
	return guarded(http.NewCrossOriginProtection().Handler(m)), nil
}

// limited bounds what a form may send.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}

// guarded puts on every answer what keeps others out: browsers that were sent
// here by another site, or by a name that somebody else has pointed at this
// machine.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("Referrer-Policy", "same-origin")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if !ourHost(r.Host) {
			http.Error(w, "This page is only for the machine it runs on: ask for localhost.", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func ourHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// asset serves a file of the folder web under its own name.
func (p *page) asset(contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b, err := web.ReadFile("web" + r.URL.Path)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(b)
	}
}

// frame is what every page shows around its own.
type frame struct {
	Title    string
	Here     string // path
	Back     string // where choosing a persona returns to
	Persona  persona
	Personas []persona
	Refresh  bool // the page asks for itself again every few seconds
	Live     bool // the page can be kept up to date that way
	Keeper   keeperState
	Data     any
}

// show renders a page, whole or not at all.
func (p *page) show(w http.ResponseWriter, r *http.Request, status int, name, title string, live bool, data any) {
	f := frame{Title: title, Here: r.URL.Path, Back: back(r), Persona: p.persona(r), Personas: p.h.personas, Live: live, Keeper: p.h.watch.read(), Data: data}
	f.Refresh = live && r.URL.Query().Get("live") == "1"
	var b bytes.Buffer
	if err := p.templates[name].Execute(&b, f); err != nil {
		p.h.log.Error("page not rendered", "page", name, "error", err)
		http.Error(w, "This page could not be made.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// back is the page that shows what a request is about.
func back(r *http.Request) string {
	switch ref := r.FormValue("ref"); {
	case strings.HasPrefix(r.URL.Path, "/credential/"), r.URL.Path == "/credential":
		return rowOf(secrets.Description{Ref: ref}).Link
	case strings.HasPrefix(r.URL.Path, "/credentials/"):
		return "/credentials"
	}
	return r.URL.Path
}

// problem shows a page that says why there is nothing else to see. What is not
// allowed names the permission that is missing.
func (p *page) problem(w http.ResponseWriter, r *http.Request, err error) {
	var denied *authz.DeniedError
	switch {
	case errors.As(err, &denied):
		p.show(w, r, http.StatusForbidden, "page_problem.html", "Not yours to see", false, problemData{Refused: refusalOf(err)})
	case errors.Is(err, secrets.ErrNotFound):
		http.NotFound(w, r)
	case errors.Is(err, secrets.ErrConflict):
		p.show(w, r, http.StatusConflict, "page_problem.html", "Somebody was faster", false, problemData{Text: "It was changed by somebody else meanwhile, and nothing of yours was done. Look at it again."})
	case errors.Is(err, secrets.ErrKeeper):
		p.show(w, r, http.StatusServiceUnavailable, "page_problem.html", "There are no keys now", false, problemData{Text: "Who keeps the keys cannot be reached, so nothing was done. Try again when it is back."})
	case errors.Is(err, context.Canceled):
	default:
		p.show(w, r, http.StatusBadGateway, "page_problem.html", "That did not work", false, problemData{Text: err.Error()})
	}
}

type problemData struct {
	Refused *refusal
	Text    string
}

// refusal says that something is not shown, and which permission would show it.
type refusal struct{ Permission, Resource, Why string }

func refusalOf(err error) *refusal {
	var denied *authz.DeniedError
	if errors.As(err, &denied) {
		return &refusal{denied.Request.Permission.String(), denied.Request.Resource.String(), denied.Decision.Reason()}
	}
	if errors.Is(err, authz.ErrDenied) {
		return &refusal{Why: "the decision could not be recorded, so nothing is handed over"}
	}
	return nil
}

// ask hands over a permission to the persona of a request or says why not. The
// decision is recorded.
func (p *page) ask(r *http.Request, permission string, on authz.Resource) error {
	_, err := p.h.az.Authorize(r.Context(), authz.Request{Principal: p.persona(r).Principal, Permission: authz.MustPermission(permission), Resource: on})
	return err
}

const personaCookie = "__Host-persona"

func (p *page) persona(r *http.Request) persona {
	id := ""
	if c, err := r.Cookie(personaCookie); err == nil {
		id = c.Value
	}
	return p.h.persona(id)
}

// choosePersona remembers who the visitor wants to be.
func (p *page) choosePersona(w http.ResponseWriter, r *http.Request) {
	who := p.h.persona(r.PostFormValue("persona"))
	http.SetCookie(w, &http.Cookie{Name: personaCookie, Value: who.ID, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	back := r.PostFormValue("back")
	if len(back) == 0 || back[0] != '/' || len(back) > 1 && (back[1] == '/' || back[1] == '\\') {
		back = "/" // only paths of this page
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

// ago says how long something is past, in words.
func ago(t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return span(now().Sub(t)) + " ago"
}

// in says how long something is off.
func in(t time.Time) string {
	if t.IsZero() {
		return "soon"
	}
	if d := t.Sub(now()); d >= time.Second {
		return "in " + span(d)
	}
	return "now"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// age says how old something is.
func age(t time.Time) string { return span(now().Sub(t)) }

func clock(t time.Time) string { return t.Format("2006-01-02 15:04:05 MST") }

// count says how many there are of something, in words.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
