package secrets

import "errors"

var (
	// ErrNotFound means that there is no such secret, or that it was revoked.
	ErrNotFound = errors.New("secrets: not found")
	// ErrExpired means that the secret's time is over.
	ErrExpired = errors.New("secrets: expired")
	// ErrConflict means that someone else wrote first.
	ErrConflict = errors.New("secrets: changed by someone else meanwhile")
	// ErrErased means that everything of the tenant was erased for good.
	ErrErased = errors.New("secrets: tenant was erased")
	// ErrInUse means that a key is not given up, since something is sealed by it.
	ErrInUse = errors.New("secrets: key is in use")
	// ErrUnable means that a Keeper does not have an ability.
	ErrUnable = errors.New("secrets: keeper is not able to")
	// ErrTampered means that sealed data is not what was sealed, or not for
	// this place: altered, truncated, moved, or under another key.
	ErrTampered = errors.New("secrets: sealed data does not open")
	// ErrFormat means that sealed data has a version or suite that this
	// release does not know.
	ErrFormat = errors.New("secrets: unknown format")
	// ErrOrigin means that a request was about to carry a credential to an
	// origin other than the pinned one. It was not sent.
	ErrOrigin = errors.New("secrets: request leaves the pinned origin")
	// ErrTooLarge means that an answer passed the limit of its policy.
	ErrTooLarge = errors.New("secrets: answer larger than allowed")
	// ErrReauth means that the other system refused the credential for good:
	// someone must put a new one.
	ErrReauth = errors.New("secrets: credential refused, a new one is needed")
	// ErrKeeper means that the keys are not available now.
	ErrKeeper = errors.New("secrets: keys are not available")
	// ErrSecret is what marshalling any type that stands for a secret returns.
	ErrSecret = errors.New("secrets: not marshalled")
)
