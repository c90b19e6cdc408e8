package dav

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
)

// Requests and answers of WebDAV (RFC 4918), CardDAV (RFC 6352), CalDAV (RFC
// 4791) and collection synchronisation (RFC 6578), as far as they are used here.

type multistatus struct {
	XMLName   xml.Name   `xml:"DAV: multistatus"`
	Responses []response `xml:"DAV: response"`
	SyncToken string     `xml:"DAV: sync-token"`
}

type response struct {
	Hrefs    []string   `xml:"DAV: href"`
	Status   string     `xml:"DAV: status"`
	Propstat []propstat `xml:"DAV: propstat"`
}

type propstat struct {
	Status string `xml:"DAV: status"`
	Prop   struct {
		ETag string    `xml:"DAV: getetag"`
		Type *struct { // a collection, not a member
			Collection *struct{} `xml:"DAV: collection"`
		} `xml:"DAV: resourcetype"`
		Address  string `xml:"urn:ietf:params:xml:ns:carddav address-data"`
		Calendar string `xml:"urn:ietf:params:xml:ns:caldav calendar-data"`
	} `xml:"DAV: prop"`
}

// code returns the number in a status line, 0 if there is none.
func code(status string) int {
	f := strings.Fields(status)
	if len(f) < 2 || len(f[1]) != 3 {
		return 0
	}
	n := 0
	for _, c := range f[1] {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// maxElements bounds what one answer may hold.
const maxElements = 500_000

// parseMultistatus decodes an answer. Document types are refused: nothing here
// needs one, and entities are how small answers become large.
func parseMultistatus(body []byte) (*multistatus, error) {
	if bytes.Contains(body[:min(len(body), 4096)], []byte("<!DOCTYPE")) || bytes.Contains(body, []byte("<!ENTITY")) {
		return nil, malformed("document type in an answer")
	}
	depth, n := 0, 0
	scan := xml.NewDecoder(bytes.NewReader(body))
	for {
		tok, err := scan.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, malformed("XML")
		}
		switch tok.(type) {
		case xml.StartElement:
			if depth, n = depth+1, n+1; depth > 64 || n > maxElements {
				return nil, malformed("XML too deep or too large")
			}
		case xml.EndElement:
			depth--
		}
	}
	var m multistatus
	if err := xml.Unmarshal(body, &m); err != nil {
		return nil, malformed("not a multistatus")
	}
	return &m, nil
}

func xmlText(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func syncCollection(token string, limit int) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><sync-collection xmlns="DAV:"><sync-token>` + xmlText(token) + `</sync-token><sync-level>1</sync-level>`)
	if limit > 0 {
		b.WriteString(`<limit><nresults>` + itoa(limit) + `</nresults></limit>`)
	}
	b.WriteString(`<prop><getetag/></prop></sync-collection>`)
	return b.Bytes()
}

func multiget(ns, root, data string, hrefs []string) []byte {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0" encoding="utf-8"?><C:` + root + ` xmlns="DAV:" xmlns:C="` + ns + `"><prop><getetag/><C:` + data + `/></prop>`)
	for _, h := range hrefs {
		b.WriteString(`<href>` + xmlText(h) + `</href>`)
	}
	b.WriteString(`</C:` + root + `>`)
	return b.Bytes()
}

const propfindETag = `<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><getetag/><resourcetype/></prop></propfind>`
