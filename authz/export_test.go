package authz

// NewMemoryStore is a Store that several Authorizers of a test share.
func NewMemoryStore() Store { return &memoryStore{} }
