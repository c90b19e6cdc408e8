package ewstest

import (
	"crypto/subtle"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Path is where the service lives on its host.
const Path = "/EWS/Exchange.asmx"

// Options of a Server.
type Options struct {
	User, Password string   // of Basic authentication, or of NTLM as DOMAIN\name
	NTLM           bool     // the only way to sign in; see ConnContext
	Mailboxes      []string // addresses; the first is that of the user
	Impersonate    []string // whom the user may act as
	PageSize       int      // of listings and histories; zero: 512, and never more than was asked for
	Now            func() time.Time
}

// Message is one mail that a change of a meeting has sent.
type Message struct {
	Kind    string // "invitation", "update" or "cancellation"
	From    string
	To      string
	Subject string
}

// Server is the service. It implements http.Handler. Safe for concurrent use.
type Server struct {
	o Options

	mu      sync.Mutex
	boxes   map[string]*mailbox
	serial  int
	epoch   int
	ledger  []Message
	busy    []Busy
	unknown []string
}

// Busy is how the next request is told to wait.
type Busy struct {
	Status  int // 503, 500 or 200
	BackOff time.Duration
}

// New makes a service with empty mailboxes.
func New(o *Options) *Server {
	s := &Server{o: *o, boxes: map[string]*mailbox{}}
	if s.o.PageSize <= 0 {
		s.o.PageSize = 512
	}
	if s.o.Now == nil {
		s.o.Now = time.Now
	}
	for _, a := range s.o.Mailboxes {
		s.boxes[strings.ToLower(a)] = newMailbox(a)
	}
	return s
}

// Ledger returns every message that meetings have sent so far.
func (s *Server) Ledger() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger)
}

// Unknown returns the operations and elements that the service did not know.
func (s *Server) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.unknown)
	return slices.Clone(slices.Compact(s.unknown))
}

// Expire ends all change histories.
func (s *Server) Expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

// TellToWait makes the next requests be told to wait, one after the other.
func (s *Server) TellToWait(how ...Busy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = how
}

// problem is a response code.
type problem struct {
	code string
	more string
}

func schemaProblem() *problem { return &problem{code: "ErrorSchemaValidation"} }

const maxBody = 64 << 20

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, ok := r.BasicAuth()
	switch {
	case s.o.NTLM:
		if !s.signIn(w, r) {
			return
		}
	case !ok || subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(s.o.User+"\x00"+s.o.Password)) != 1:
		w.Header().Set("WWW-Authenticate", `Basic realm="exchange"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if !strings.EqualFold(r.URL.Path, Path) || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var e struct {
		Header node `xml:"Header"`
		Body   node `xml:"Body"`
	}
	if err != nil || xml.Unmarshal(b, &e) != nil || len(e.Body.Nodes) != 1 {
		s.fault(w, schemaProblem())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.busy) > 0 {
		how := s.busy[0]
		s.busy = s.busy[1:]
		p := &problem{"ErrorServerBusy", fmt.Sprintf(`<t:Value Name="BackOffMilliseconds">%d</t:Value>`, how.BackOff.Milliseconds())}
		switch {
		case how.Status == http.StatusServiceUnavailable:
			w.WriteHeader(how.Status)
		case how.Status == http.StatusOK:
			s.answer(w, &e.Body.Nodes[0], []string{wrong(&e.Body.Nodes[0], p)})
		default:
			s.fault(w, p)
		}
		return
	}
	// Who says nothing means the first version ("RequestServerVersion").
	if v := e.Header.at("RequestServerVersion"); v != nil && !strings.HasPrefix(v.attr("Version"), "Exchange20") {
		s.fault(w, &problem{code: "ErrorInvalidServerVersion"})
		return
	}
	box := s.boxes[strings.ToLower(s.o.Mailboxes[0])]
	if imp := e.Header.at("ExchangeImpersonation", "ConnectingSID"); imp != nil {
		a := strings.ToLower(imp.text("PrimarySmtpAddress") + imp.text("SmtpAddress") + imp.text("PrincipalName"))
		if !slices.ContainsFunc(s.o.Impersonate, func(x string) bool { return strings.EqualFold(x, a) }) {
			s.fault(w, &problem{code: "ErrorImpersonateUserDenied"})
			return
		}
		if !strings.EqualFold(r.Header.Get("X-AnchorMailbox"), a) {
			s.unknown = append(s.unknown, "impersonation without X-AnchorMailbox")
		}
		box = s.boxes[a]
	}
	if box == nil {
		s.fault(w, &problem{code: "ErrorNonExistentMailbox"})
		return
	}
	op := &e.Body.Nodes[0]
	messages, p := s.operate(box, op)
	if p != nil {
		if p.code == "ErrorSchemaValidation" {
			s.unknown = append(s.unknown, strings.TrimSpace(op.name()+" "+p.more))
			p = schemaProblem()
		}
		s.fault(w, p)
		return
	}
	s.answer(w, op, messages)
}

const (
	head = xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><h:ServerVersionInfo MajorVersion="14" MinorVersion="3" MajorBuildNumber="123" MinorBuildNumber="3"` +
		` Version="Exchange2010_SP2" xmlns:h="http://schemas.microsoft.com/exchange/services/2006/types"/></s:Header><s:Body xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"` +
		` xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types">`
	tail = `</s:Body></s:Envelope>`
)

func (s *Server) answer(w http.ResponseWriter, op *node, messages []string) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = io.WriteString(w, head+"<m:"+op.name()+"Response><m:ResponseMessages>"+strings.Join(messages, "")+"</m:ResponseMessages></m:"+op.name()+"Response>"+tail)
}

func (s *Server) fault(w http.ResponseWriter, p *problem) {
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	w.WriteHeader(http.StatusInternalServerError)
	const errors = `xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors"`
	_, _ = io.WriteString(w, head+`<s:Fault><faultcode xmlns:a="http://schemas.microsoft.com/exchange/services/2006/types">a:`+p.code+`</faultcode><faultstring xml:lang="en-US">`+p.code+`</faultstring><detail>`+
		`<e:ResponseCode `+errors+`>`+p.code+`</e:ResponseCode><e:Message `+errors+`>`+p.code+`</e:Message><t:MessageXml>`+p.more+`</t:MessageXml></detail></s:Fault>`+tail)
}

func wrong(op *node, p *problem) string {
	more := ""
	if p.more != "" {
		more = "<m:MessageXml>" + p.more + "</m:MessageXml>"
	}
	return "<m:" + op.name() + `ResponseMessage ResponseClass="Error"><m:MessageText>` + p.code + "</m:MessageText><m:ResponseCode>" + p.code + "</m:ResponseCode>" +
		"<m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>" + more + "</m:" + op.name() + "ResponseMessage>"
}

func right(op *node, content string) string {
	return "<m:" + op.name() + `ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>` + content + "</m:" + op.name() + "ResponseMessage>"
}
