package secrets

import (
	"fmt"
	"log/slog"
)

// Everything here that a secret can be in prints and logs its kind and nothing
// else, and is not marshalled, for the day on which somebody prints it. A test
// finds types without.

// Format prints no content.
func (KeyResult) Format(f fmt.State, _ rune) { fmt.Fprint(f, "key result") }

// LogValue logs no content.
func (KeyResult) LogValue() slog.Value { return slog.StringValue("key result") }

// MarshalText returns ErrSecret.
func (KeyResult) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (KeyResult) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (OpenKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "key") }

// LogValue logs no content.
func (OpenKey) LogValue() slog.Value { return slog.StringValue("key") }

// MarshalText returns ErrSecret.
func (OpenKey) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (OpenKey) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (answer) Format(f fmt.State, _ rune) { fmt.Fprint(f, "answer") }

// LogValue logs no content.
func (answer) LogValue() slog.Value { return slog.StringValue("answer") }

// MarshalText returns ErrSecret.
func (answer) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (answer) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*cached) Format(f fmt.State, _ rune) { fmt.Fprint(f, "cached key") }

// LogValue logs no content.
func (*cached) LogValue() slog.Value { return slog.StringValue("cached key") }

// MarshalText returns ErrSecret.
func (*cached) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*cached) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*imapTalk) Format(f fmt.State, _ rune) { fmt.Fprint(f, "imap connection") }

// LogValue logs no content.
func (*imapTalk) LogValue() slog.Value { return slog.StringValue("imap connection") }

// MarshalText returns ErrSecret.
func (*imapTalk) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*imapTalk) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (lock) Format(f fmt.State, _ rune) { fmt.Fprint(f, "lock") }

// LogValue logs no content.
func (lock) LogValue() slog.Value { return slog.StringValue("lock") }

// MarshalText returns ErrSecret.
func (lock) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (lock) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*mailConn) Format(f fmt.State, _ rune) { fmt.Fprint(f, "mail connection") }

// LogValue logs no content.
func (*mailConn) LogValue() slog.Value { return slog.StringValue("mail connection") }

// MarshalText returns ErrSecret.
func (*mailConn) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*mailConn) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (mailLogin) Format(f fmt.State, _ rune) { fmt.Fprint(f, "login") }

// LogValue logs no content.
func (mailLogin) LogValue() slog.Value { return slog.StringValue("login") }

// MarshalText returns ErrSecret.
func (mailLogin) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (mailLogin) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (material) Format(f fmt.State, _ rune) { fmt.Fprint(f, "credential") }

// LogValue logs no content.
func (material) LogValue() slog.Value { return slog.StringValue("credential") }

// MarshalText returns ErrSecret.
func (material) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (material) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*saslClient) Format(f fmt.State, _ rune) { fmt.Fprint(f, "login") }

// LogValue logs no content.
func (*saslClient) LogValue() slog.Value { return slog.StringValue("login") }

// MarshalText returns ErrSecret.
func (*saslClient) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*saslClient) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*tenantKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tenant key") }

// LogValue logs no content.
func (*tenantKey) LogValue() slog.Value { return slog.StringValue("tenant key") }

// MarshalText returns ErrSecret.
func (*tenantKey) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*tenantKey) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*tenantKeys) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tenant keys") }

// LogValue logs no content.
func (*tenantKeys) LogValue() slog.Value { return slog.StringValue("tenant keys") }

// MarshalText returns ErrSecret.
func (*tenantKeys) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*tenantKeys) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content, whatever the verb.
func (*move) Format(f fmt.State, _ rune) { fmt.Fprint(f, "move") }

// LogValue logs no content.
func (*move) LogValue() slog.Value { return slog.StringValue("move") }

// MarshalText returns ErrSecret.
func (*move) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*move) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (token) Format(f fmt.State, _ rune) { fmt.Fprint(f, "token") }

// LogValue logs no content.
func (token) LogValue() slog.Value { return slog.StringValue("token") }

// MarshalText returns ErrSecret.
func (token) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (token) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*tokenSlot) Format(f fmt.State, _ rune) { fmt.Fprint(f, "token") }

// LogValue logs no content.
func (*tokenSlot) LogValue() slog.Value { return slog.StringValue("token") }

// MarshalText returns ErrSecret.
func (*tokenSlot) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*tokenSlot) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*tokenSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, "token source") }

// LogValue logs no content.
func (*tokenSource) LogValue() slog.Value { return slog.StringValue("token source") }

// MarshalText returns ErrSecret.
func (*tokenSource) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*tokenSource) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*tokens) Format(f fmt.State, _ rune) { fmt.Fprint(f, "tokens") }

// LogValue logs no content.
func (*tokens) LogValue() slog.Value { return slog.StringValue("tokens") }

// MarshalText returns ErrSecret.
func (*tokens) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*tokens) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*headKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, "head key") }

// LogValue logs no content.
func (*headKey) LogValue() slog.Value { return slog.StringValue("head key") }

// MarshalText returns ErrSecret.
func (*headKey) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*headKey) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*keyCache) Format(f fmt.State, _ rune) { fmt.Fprint(f, "key cache") }

// LogValue logs no content.
func (*keyCache) LogValue() slog.Value { return slog.StringValue("key cache") }

// MarshalText returns ErrSecret.
func (*keyCache) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*keyCache) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*mac) Format(f fmt.State, _ rune) { fmt.Fprint(f, "mac") }

// LogValue logs no content.
func (*mac) LogValue() slog.Value { return slog.StringValue("mac") }

// MarshalText returns ErrSecret.
func (*mac) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*mac) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content.
func (*scratch) Format(f fmt.State, _ rune) { fmt.Fprint(f, "scratch") }

// LogValue logs no content.
func (*scratch) LogValue() slog.Value { return slog.StringValue("scratch") }

// MarshalText returns ErrSecret.
func (*scratch) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*scratch) GobEncode() ([]byte, error) { return nil, ErrSecret }

// Format prints no content. What a consent has is sealed as JSON, so it has no
// MarshalText.
func (consentState) Format(f fmt.State, _ rune) { fmt.Fprint(f, "consent") }

// LogValue logs no content.
func (consentState) LogValue() slog.Value { return slog.StringValue("consent") }

// GobEncode returns ErrSecret.
func (consentState) GobEncode() ([]byte, error) { return nil, ErrSecret }

// LogValue logs no content.
func (*transport) LogValue() slog.Value { return slog.StringValue("transport") }

// MarshalText returns ErrSecret.
func (*transport) MarshalText() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*transport) GobEncode() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*Safe) GobEncode() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (*SMTP) GobEncode() ([]byte, error) { return nil, ErrSecret }

// GobEncode returns ErrSecret.
func (credential) GobEncode() ([]byte, error) { return nil, ErrSecret }
