package secrets

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Recipe describes how a vendor wants requests signed: what is signed and what
// is sent, with placeholders in braces. They are method, host, path, query,
// unix, unix-ms, iso8601, http-date, nonce, key-id, body-sha256 (hex),
// body-sha256-base64, header:Name, and in Headers signature.
type Recipe struct {
	Text     string `json:"text,omitempty"`     // what is signed, such as "{method}\n{path}\n{unix}\n{body-sha256}"
	Headers  string `json:"headers,omitempty"`  // what is sent: lines such as "X-Signature: {signature}"
	Encoding string `json:"encoding,omitempty"` // of the signature: hex or base64; empty: hex
}

const (
	maxRecipe     = 4 << 10 // bytes of Text and of Headers
	maxSignedBody = 8 << 20 // bytes of a body that cannot be read twice
)

func (p Recipe) valid() error {
	if p.Encoding != "" && p.Encoding != "hex" && p.Encoding != "base64" {
		return badScheme("recipe.encoding", "hex or base64")
	}
	known := func(name string) (string, error) {
		if _, ok := strings.CutPrefix(name, "header:"); ok {
			return "", nil
		}
		switch name {
		case "method", "host", "path", "query", "unix", "unix-ms", "iso8601", "http-date", "nonce", "key-id", "body-sha256", "body-sha256-base64":
			return "", nil
		}
		return "", fmt.Errorf("no placeholder {%s}", name)
	}
	if _, err := expand(p.Text, known); err != nil || p.Text == "" || len(p.Text) > maxRecipe {
		return badScheme("recipe.text", "a text of at most 4 KiB with known placeholders")
	}
	signed := false
	for _, h := range p.lines() {
		_, err := expand(h[1], func(name string) (string, error) {
			if name == "signature" {
				signed = true
				return "", nil
			}
			return known(name)
		})
		if err != nil || !fieldName(h[0]) || !inXML(h[1]) {
			return badScheme("recipe.headers", "lines of Name: value with known placeholders")
		}
	}
	if !signed || len(p.Headers) > maxRecipe {
		return badScheme("recipe.headers", "at most 4 KiB, one of them with {signature}")
	}
	return nil
}

// lines are the headers as name and value.
func (p Recipe) lines() (out [][2]string) {
	for line := range strings.SplitSeq(strings.TrimRight(p.Headers, "\n"), "\n") {
		name, value, _ := strings.Cut(line, ":")
		out = append(out, [2]string{name, strings.TrimSpace(value)})
	}
	return out
}

// sign signs a request of ours.
func (p Recipe) sign(out *http.Request, s Scheme, key []byte, now time.Time) error {
	var body []byte // its hash, once it is known
	now = now.UTC()
	nonce := rand.Text()
	value := func(name string) (string, error) {
		if header, ok := strings.CutPrefix(name, "header:"); ok {
			return strings.Join(out.Header.Values(header), ","), nil
		}
		switch name {
		case "method":
			return out.Method, nil
		case "host":
			if out.Host != "" {
				return out.Host, nil
			}
			return out.URL.Host, nil
		case "path":
			if out.URL.EscapedPath() == "" {
				return "/", nil
			}
			return out.URL.EscapedPath(), nil
		case "query":
			return out.URL.RawQuery, nil
		case "unix":
			return strconv.FormatInt(now.Unix(), 10), nil
		case "unix-ms":
			return strconv.FormatInt(now.UnixMilli(), 10), nil
		case "iso8601":
			return now.Format("2006-01-02T15:04:05Z"), nil
		case "http-date":
			return now.Format(http.TimeFormat), nil
		case "nonce":
			return nonce, nil
		case "key-id":
			return s.KeyID, nil
		}
		if body == nil {
			var err error
			if body, err = hashBody(out); err != nil {
				return "", err
			}
		}
		if name == "body-sha256-base64" {
			return base64.StdEncoding.EncodeToString(body), nil
		}
		return hex.EncodeToString(body), nil
	}
	// Headers without the signature may be part of what is signed.
	lines := p.lines()
	for _, h := range lines {
		if !strings.Contains(h[1], "{signature}") {
			v, err := expand(h[1], value)
			if err != nil {
				return err
			}
			out.Header.Set(h[0], v)
		}
	}
	text, err := expand(p.Text, value)
	if err != nil {
		return err
	}
	sum := s.Algorithm.mac(key, []byte(text))
	signature := hex.EncodeToString(sum)
	if p.Encoding == "base64" {
		signature = base64.StdEncoding.EncodeToString(sum)
	}
	for _, h := range lines {
		if strings.Contains(h[1], "{signature}") {
			v, err := expand(h[1], func(name string) (string, error) {
				if name == "signature" {
					return signature, nil
				}
				return value(name)
			})
			if err != nil {
				return err
			}
			out.Header.Set(h[0], v)
		}
	}
	return nil
}

// hashBody returns the SHA-256 of a body and leaves the body to be sent.
func hashBody(out *http.Request) ([]byte, error) {
	h := sha256.New()
	switch {
	case out.Body == nil || out.Body == http.NoBody:
	case out.GetBody != nil:
		b, err := out.GetBody()
		if err != nil {
			return nil, errors.New("secrets: request body cannot be read")
		}
		defer b.Close()
		if _, err := io.Copy(h, b); err != nil {
			return nil, errors.New("secrets: request body cannot be read")
		}
	default:
		b, err := io.ReadAll(newLimited(out.Body, maxSignedBody))
		_ = out.Body.Close()
		out.Body = io.NopCloser(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("secrets: request body to sign: %w", err)
		}
		h.Write(b)
	}
	return h.Sum(nil), nil
}

// expand puts values in the place of {names}.
func expand(text string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", errors.New("a brace is not closed")
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		text = after
	}
}
