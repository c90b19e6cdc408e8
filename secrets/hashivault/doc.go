// Package hashivault lets HashiCorp Vault guard the root key and the tenants'
// keys: [Transit] is a secrets.Keeper, [KV] a secrets.KeyStore on a KV version 2
// mount. Where there is to be no database, [Store] keeps the sealed secrets there
// too. All share one [Client]. DESIGN.md tells how things are kept.
//
// A Client never makes its callers wait for a Vault that is slow, sealed or gone
// longer than a few seconds, answers at once while it knows that Vault is not
// there, and goes on by itself when it is back. No error, log line or printed
// value of this package contains a token, an answer of Vault, or a path with
// data in it. Nothing is read from the environment.
//
// What Vault answers is not believed: a wrapped key is opened again before it is
// stored, an unwrapped one carries a check of what it belongs to, and a Vault
// that is another one, or an old copy of this one, is refused before anything is
// written to it (see [Identity]).
//
// [Policy] prints the least policy that a Config needs, [Doctor] what is wrong with
// a set-up and how to mend it. Safe.MoveKeys brings the keys of a keyring here.
package hashivault
