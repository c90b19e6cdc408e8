// Package secrets keeps the passwords, tokens and keys with which software acts
// in other people's systems, and lets that software use them without ever
// seeing them.
//
// [Safe.Put] takes a secret in, and nothing hands one out: no function, method,
// interface or callback of this package returns a secret's plaintext. What there
// is instead is things that use it. A [Handle] names one secret for the holder
// of a Grant. [Handle.HTTPClient] is a client that adds the credential to requests
// to one pinned origin and to nothing else; [Handle.DialIMAP] and [Handle.DialSMTP]
// are connections that are signed in; [Handle.Sign], [Handle.HMAC] and
// [Handle.MintJWT] sign. How a secret is used is a [Scheme], which is data: tokens
// are got and replaced inside, after [Safe.ExchangeCode] where a person consents.
//
// At rest every secret is sealed under a fresh key, that key under a key of its
// tenant, and the tenant's key under the root key of a [Keeper]. Sealed secrets
// are in a [Store], the tenants' keys in a [KeyStore] somewhere else: neither a
// stolen database nor its backups contain a key. FORMAT.md has every byte, and
// FIGURES.md what it costs.
//
// This protects against stolen databases and backups, leaking logs, rows that
// were swapped or altered, another tenant, and honest mistakes in the use of
// this package. It does not protect against code in the same process that uses
// unsafe, a debugger or a core dump: the standard library's HTTP stack keeps
// copies of what it sends, and clearing our own is hygiene, not a promise. Nor
// does it against the pinned server itself: what that puts into its answers, it
// hands to the application.
package secrets
