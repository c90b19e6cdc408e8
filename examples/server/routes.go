package main

import "net/http"

// routes is every address of the page. All of them answer as the persona that
// the visitor has chosen, and ask the authorizer as that persona.
func (p *page) routes() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /{$}", p.overview)
	m.HandleFunc("GET /mailboxes/{user}", p.mailbox)
	m.HandleFunc("POST /mailboxes/{user}/run", p.runNow)
	m.HandleFunc("GET /access", p.access)
	m.HandleFunc("GET /credentials", p.secrets)
	m.HandleFunc("POST /credentials/key", p.rotateKey)
	m.HandleFunc("GET /credential", p.secret)
	m.HandleFunc("POST /credential/replace", p.replaceSecret)
	m.HandleFunc("POST /credential/revoke", p.revokeSecret)
	m.HandleFunc("POST /persona", p.choosePersona)
	m.HandleFunc("GET /systems", p.systems)
	m.HandleFunc("GET /systems/{system}", p.contacts)
	m.HandleFunc("GET /systems/{system}/contacts/{id}", p.contact)
	m.HandleFunc("POST /systems/{system}/contacts/{id}", p.saveContact)
	m.HandleFunc("GET /healthz", p.health)
	m.HandleFunc("GET /style.css", p.asset("text/css; charset=utf-8"))
	m.HandleFunc("GET /icon.svg", p.asset("image/svg+xml"))
	return m
}
