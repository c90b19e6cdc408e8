package ews

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lockkeeper/lockkeeper/connectors"
	"github.com/lockkeeper/lockkeeper/connectors/internal/remote"
)

// session is what one verb works with: the mailbox, the kind and the client of
// its Call.
type session struct {
	d    *driver
	s    shape
	kind connectors.Kind
	hc   *http.Client
}

// version is the schema that every server since 2010 SP2 understands.
const version = "Exchange2010_SP2"

// esc writes a text inside an element or attribute.
func esc(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

func (s session) envelope(body string) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" xmlns:t="http://schemas.microsoft.com/exchange/services/2006/types"` +
		` xmlns:m="http://schemas.microsoft.com/exchange/services/2006/messages"><s:Header><t:RequestServerVersion Version="` + version + `"/>`)
	if s.d.mailbox != "" {
		b.WriteString(`<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>` + esc(s.d.mailbox) + `</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>`)
	}
	b.WriteString(`<t:TimeZoneContext><t:TimeZoneDefinition Id="UTC"/></t:TimeZoneContext></s:Header><s:Body>` + body + `</s:Body></s:Envelope>`)
	return b.Bytes()
}

// answer is a SOAP answer: the messages of whatever operation, or a fault.
type answer struct {
	Body struct {
		Fault *fault `xml:"Fault"`
		Any   struct {
			Messages messages `xml:"ResponseMessages"`
		} `xml:",any"`
	} `xml:"Body"`
}

type messages struct {
	List []message `xml:",any"`
}

type fault struct {
	Detail struct {
		Code string  `xml:"ResponseCode"`
		More details `xml:"MessageXml"`
	} `xml:"detail"`
}

type details struct {
	Values []struct {
		Name string `xml:"Name,attr"`
		Text string `xml:",chardata"`
	} `xml:"Value"`
}

// message is the answer to one item of a request.
type message struct {
	Class string  `xml:"ResponseClass,attr"`
	Code  string  `xml:"ResponseCode"`
	More  details `xml:"MessageXml"`

	Items     items  `xml:"Items"`
	SyncState string `xml:"SyncState"`
	Last      bool   `xml:"IncludesLastItemInRange"`
	Changes   struct {
		List []change `xml:",any"`
	} `xml:"Changes"`
	Folders folders `xml:"Folders"`
	Files   struct {
		List []file `xml:",any"`
	} `xml:"Attachments"`
	RootID rootID `xml:"RootItemId"`
	Root   struct {
		Next  int   `xml:"IndexedPagingOffset,attr"`
		Last  bool  `xml:"IncludesLastItemInRange,attr"`
		Items items `xml:"Items"`
	} `xml:"RootFolder"`
}

type items struct {
	List []item `xml:",any"`
}

type change struct {
	XMLName xml.Name
	ItemID  *itemID `xml:"ItemId"` // of a Delete or ReadFlagChange
	Item    []item  `xml:",any"`
}

type itemID struct {
	ID        string `xml:"Id,attr"`
	ChangeKey string `xml:"ChangeKey,attr"`
}

// actions is what the names of operations begin with in the header SOAPAction.
const actions = "http://schemas.microsoft.com/exchange/services/2006/messages/"

// do sends one operation and returns its messages, want of them where that is
// not zero. An operation that writes is sent once.
func (s session) do(ctx context.Context, body string, writes bool, want int) ([]message, error) {
	name, _, _ := strings.Cut(strings.TrimPrefix(body, "<m:"), ">")
	name, _, _ = strings.Cut(name, " ")
	resp, err := remote.Do(ctx, s.hc, remote.Request{Method: http.MethodPost, URL: s.d.url, Header: s.header(name), Body: s.envelope(body), Repeat: !writes})
	if err != nil {
		return nil, err
	}
	s.d.kept.take(resp.Header)
	return s.read(resp, writes, want)
}

func (s session) header(operation string) http.Header {
	h := http.Header{"Content-Type": {"text/xml; charset=utf-8"}, "Accept": {"text/xml"}, "Soapaction": {`"` + actions + operation + `"`}}
	if s.d.mailbox != "" {
		h.Set("X-AnchorMailbox", s.d.mailbox)
	}
	s.d.kept.put(h)
	return h
}

// request is one whose body or answer is streamed.
func (s session) request(ctx context.Context, operation string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.d.url, body)
	if err != nil {
		return nil, &connectors.Error{Class: connectors.ErrInvalid, Detail: "address of request"}
	}
	r.Header = s.header(operation)
	return r, nil
}

// maxAnswer is how large an answer may be, in bytes.
const maxAnswer = 32 << 20

// send sends a request with a streamed body, once, and reads the answer.
func (s session) send(ctx context.Context, r *http.Request, writes bool, want int) ([]message, error) {
	lost := connectors.ErrUnavailable
	if writes {
		lost = connectors.ErrUnknownOutcome
	}
	resp, err := s.hc.Do(r)
	if err != nil {
		return nil, unanswered(ctx, err, lost)
	}
	defer resp.Body.Close()
	s.d.kept.take(resp.Header)
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(b) > maxAnswer {
		return nil, unanswered(ctx, io.ErrUnexpectedEOF, lost)
	}
	return s.read(remote.Response{Status: resp.StatusCode, Header: resp.Header, Body: b}, writes, want)
}

// read is what an answer says.
func (s session) read(resp remote.Response, writes bool, want int) ([]message, error) {
	var a answer
	bad := xml.Unmarshal(resp.Body, &a)
	if bad == nil && a.Body.Fault != nil {
		if err := classify(a.Body.Fault.Detail.Code, a.Body.Fault.Detail.More); err != nil {
			s.d.kept.lose(err)
			return nil, err
		}
	}
	if err := resp.Err(writes); err != nil {
		s.d.kept.lose(err)
		return nil, err
	}
	lost := connectors.ErrMalformed
	if writes {
		lost = connectors.ErrUnknownOutcome
	}
	ms := a.Body.Any.Messages.List
	if bad != nil || a.Body.Fault != nil || len(ms) == 0 || want > 0 && len(ms) != want {
		return nil, &connectors.Error{Class: lost, Detail: "not the answer to the operation"}
	}
	for _, m := range ms {
		if m.Class != "Success" && m.Class != "Error" && m.Class != "Warning" {
			return nil, &connectors.Error{Class: lost, Detail: "not the answer to the operation"}
		}
	}
	return ms, nil
}

// err is what a message says went wrong.
func (m message) err() error {
	if m.Class == "Success" {
		return nil
	}
	if err := classify(m.Code, m.More); err != nil {
		return err
	}
	return &connectors.Error{Class: connectors.ErrInvalid, Detail: "refused"}
}

// classify maps a response code ("ResponseCode"), nil for one that is not known
// here. Of what the service says nothing else counts.
func classify(code string, more details) error {
	e := &connectors.Error{}
	switch code {
	case "ErrorItemNotFound", "ErrorInvalidIdMalformed", "ErrorInvalidIdEmpty", "ErrorInvalidId", "ErrorInvalidIdNotAnItemAttachmentId", "ErrorCannotDeleteObject",
		"ErrorAttachmentNotFound", "ErrorInvalidAttachmentId", "ErrorCannotOpenFileAttachment":
		e.Class = connectors.ErrNotFound
	case "ErrorIrresolvableConflict", "ErrorStaleObject", "ErrorInvalidChangeKey", "ErrorChangeKeyRequired", "ErrorChangeKeyRequiredForWriteOperations":
		e.Class = connectors.ErrPrecondition
	case "ErrorInvalidSyncStateData":
		e.Class = connectors.ErrCursorExpired
	case "ErrorServerBusy", "ErrorExceededConnectionCount", "ErrorTooManyObjectsOpened":
		e.Class = connectors.ErrThrottled
		for _, v := range more.Values {
			if n, err := strconv.Atoi(strings.TrimSpace(v.Text)); err == nil && v.Name == "BackOffMilliseconds" && n > 0 {
				e.RetryAfter = min(time.Duration(n)*time.Millisecond, 24*time.Hour)
			}
		}
	case "ErrorMailboxStoreUnavailable", "ErrorInternalServerTransientError", "ErrorMailboxMoveInProgress", "ErrorTimeoutExpired", "ErrorMailboxFailover", "ErrorBatchProcessingStopped":
		e.Class = connectors.ErrUnavailable
	case "ErrorAccessDenied", "ErrorFolderNotFound":
		e.Class = connectors.ErrForbidden
	case "ErrorImpersonateUserDenied", "ErrorImpersonationDenied", "ErrorImpersonationFailed":
		e.Class, e.Detail = connectors.ErrForbidden, "the account may not impersonate this mailbox"
	case "ErrorNonExistentMailbox", "ErrorMissingEmailAddress", "ErrorInvalidUserPrincipalName":
		e.Class, e.Detail = connectors.ErrForbidden, "there is no such mailbox"
	default:
		return nil
	}
	return e
}

// named adds an id to an error.
func named(err error, id string) error {
	var e *connectors.Error
	if errors.As(err, &e) {
		v := *e
		v.ID = id
		return &v
	}
	return err
}
