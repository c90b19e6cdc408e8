package authz

// Context is what is known of where a request comes from.
type Context struct{}

func (d *detail) applies(deny bool, q *question) bool { return deny }
