// Package e2e holds the end-to-end tests: SAP's own OData V2 server on one side,
// Radicale on the other, real documents in between.
package e2e
