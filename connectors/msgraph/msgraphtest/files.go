package msgraphtest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxSmall is the largest file that is attached by one request; larger ones need
// an upload session ("Attach large files to Outlook messages or events").
const maxSmall = 3 << 20

// largest is the largest attachment.
const largest = 150 << 20

// raw is an answer that is no JSON.
type raw struct {
	b         []byte
	mediaType string
}

// upload is a file of which parts are still missing. It is reached by an address
// that carries its own permission.
type upload struct {
	box   *mailbox
	f     *folder
	e     *entry
	name  string
	media string
	size  int
	got   []byte
}

func (a *file) show() object {
	return object{"@odata.type": "#microsoft.graph.fileAttachment", "id": a.id, "name": a.name, "contentType": a.mediaType, "size": len(a.content),
		"isInline": a.inline, "lastModifiedDateTime": a.modified.Format("2006-01-02T15:04:05Z")}
}

func (s *Server) attach(box *mailbox, f *folder, e *entry, name, mediaType string, content []byte) *file {
	a := &file{id: s.newID(), name: name, mediaType: mediaType, content: content}
	e.files = append(e.files, a)
	s.touch(e)
	a.modified = e.modified
	if f.kind == "events" && e.props["isOrganizer"] == true {
		s.fanOut("update", box, e)
	}
	s.tell(box, f, "updated")
	return a
}

// Attach attaches a file to an event or a message as a mailbox's owner would, or
// a mail server, and returns its id.
func (s *Server) Attach(mailbox, kind, id, name, mediaType string, content []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.box(mailbox)
	if err != nil {
		return "", err
	}
	f, e := b.item(kind, id)
	if e == nil {
		return "", notFound()
	}
	return s.attach(b, f, e, name, mediaType, slices.Clone(content)).id, nil
}

// attachments answers requests for what is attached to an item.
func (s *Server) attachments(q request, box *mailbox, f *folder, e *entry, rest []string) (any, error) {
	if rest[0] != "attachments" || f.kind != "events" && f.kind != "messages" || f.kind == "messages" && q.Method != http.MethodGet {
		return nil, bad("BadRequest")
	}
	switch {
	case len(rest) == 1 && q.Method == http.MethodGet:
		for _, p := range strings.Split(q.query.Get("$select"), ",") {
			if !slices.Contains([]string{"id", "name", "contentType", "size", "isInline", "lastModifiedDateTime"}, p) {
				return nil, bad("BadRequest") // all of it would be the content too
			}
		}
		var rows []object
		for _, a := range e.files {
			rows = append(rows, a.show())
		}
		return s.paged(q, rows)
	case len(rest) == 1 && q.Method == http.MethodPost:
		var in struct {
			Type    string `json:"@odata.type"`
			Name    string `json:"name"`
			Media   string `json:"contentType"`
			Content string `json:"contentBytes"`
		}
		all, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, bad("ErrorInvalidRequest")
		}
		if err := json.Unmarshal(all, &in); err != nil || in.Type != "#microsoft.graph.fileAttachment" || in.Name == "" {
			return nil, bad("BadRequest")
		}
		b, err := base64.StdEncoding.DecodeString(in.Content)
		if err != nil {
			return nil, bad("ErrorInvalidRequest")
		}
		if len(b) >= maxSmall {
			return nil, &problem{status: http.StatusRequestEntityTooLarge, code: "ErrorMessageSizeExceeded"}
		}
		return created{s.attach(box, f, e, in.Name, in.Media, b).show()}, nil
	case len(rest) == 2 && rest[1] == "createUploadSession" && q.Method == http.MethodPost:
		var in struct {
			Item struct {
				Type  string `json:"attachmentType"`
				Name  string `json:"name"`
				Media string `json:"contentType"`
				Size  int    `json:"size"`
			} `json:"AttachmentItem"`
		}
		if err := json.NewDecoder(q.Body).Decode(&in); err != nil || in.Item.Type != "file" || in.Item.Name == "" {
			return nil, bad("BadRequest")
		}
		if in.Item.Size < maxSmall || in.Item.Size > largest {
			return nil, bad("ErrorAttachmentSizeShouldNotBeLessThanMinimumSize")
		}
		s.serial++
		h := sha256.Sum256(fmt.Append(nil, "upload", s.serial))
		token := base64.RawURLEncoding.EncodeToString(h[:])
		s.uploads[token] = &upload{box: box, f: f, e: e, name: in.Item.Name, media: in.Item.Media, size: in.Item.Size}
		host := s.o.UploadHost
		if host == "" {
			host = q.Host
		}
		return created{object{"uploadUrl": "https://" + host + "/api/v2.0/uploads?authtoken=" + token, "nextExpectedRanges": []string{"0-"},
			"expirationDateTime": s.o.Now().UTC().Add(3600e9).Format("2006-01-02T15:04:05Z")}}, nil
	}
	at := slices.IndexFunc(e.files, func(a *file) bool { return len(rest) > 1 && a.id == rest[1] })
	if at < 0 {
		return nil, notFound()
	}
	a := e.files[at]
	switch {
	case len(rest) == 2 && q.Method == http.MethodGet:
		return a.show(), nil
	case len(rest) == 3 && rest[2] == "$value" && q.Method == http.MethodGet:
		return raw{a.content, a.mediaType}, nil
	case len(rest) == 2 && q.Method == http.MethodDelete:
		e.files = slices.Delete(e.files, at, at+1)
		s.touch(e)
		if f.kind == "events" && e.props["isOrganizer"] == true {
			s.fanOut("update", box, e)
		}
		return nil, nil
	}
	return nil, bad("BadRequest")
}

// uploaded answers requests to an upload session. Whoever sends a credential
// there is refused: the address has been given one of its own.
func (s *Server) uploaded(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	u := s.uploads[r.URL.Query().Get("authtoken")]
	if r.Header.Get("Authorization") != "" || u == nil {
		s.unknown = append(s.unknown, r.Method+" upload with a credential or to no session")
		s.answer(w, nil, &problem{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken"})
		return
	}
	next := func() object { return object{"nextExpectedRanges": []string{fmt.Sprint(len(u.got))}} }
	switch r.Method {
	case http.MethodGet:
		s.answer(w, next(), nil)
		return
	case http.MethodDelete:
		delete(s.uploads, r.URL.Query().Get("authtoken"))
		s.answer(w, nil, nil)
		return
	case http.MethodPut:
	default:
		s.answer(w, nil, bad("BadRequest"))
		return
	}
	var from, to, all int
	if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &all); err != nil || all != u.size || to < from || to >= all || to-from >= 4<<20 {
		s.answer(w, nil, bad("ErrorInvalidRequest"))
		return
	}
	if from != len(u.got) {
		s.answer(w, nil, &problem{status: http.StatusRequestedRangeNotSatisfiable, code: "ErrorInvalidRange"})
		return
	}
	b, err := io.ReadAll(io.LimitReader(r.Body, 4<<20+1))
	if err != nil || len(b) != to-from+1 {
		s.answer(w, nil, bad("ErrorInvalidRequest"))
		return
	}
	u.got = append(u.got, b...)
	if s.loseParts > 0 {
		s.loseParts--
		s.answer(w, nil, &problem{status: http.StatusServiceUnavailable, code: "ServiceUnavailable"})
		return
	}
	if len(u.got) < u.size {
		s.answer(w, next(), nil)
		return
	}
	delete(s.uploads, r.URL.Query().Get("authtoken"))
	a := s.attach(u.box, u.f, u.e, u.name, u.media, u.got)
	w.Header().Set("Location", "https://"+r.Host+"/api/v2.0/Users('x')/Events('"+u.e.id+"')/Attachments('"+a.id+"')")
	s.answer(w, created{nil}, nil)
}

// LoseParts makes the service answer 503 to the next n parts of uploads, each of
// which it has taken.
func (s *Server) LoseParts(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loseParts = n
}
