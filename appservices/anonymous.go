package appservices

import (
	"context"
	"time"
)

// AnonymousOptions configure log-in without credentials.
type AnonymousOptions struct {
	// TTL is how long a user may stay away, counted from the last renewal: 0
	// means DefaultAnonymousTTL. Afterwards nobody can log in as that user again.
	TTL time.Duration
}

// anonymous makes a new user at every log-in. Devices keep theirs and ask for
// one only when they have none.
type anonymous struct{ opts AnonymousOptions }

func newAnonymous(opts AnonymousOptions) provider {
	if opts.TTL == 0 {
		opts.TTL = DefaultAnonymousTTL
	}
	return anonymous{opts}
}

func (anonymous) name() string { return "anon-user" }

func (anonymous) identify(context.Context, credentials) (Identity, error) {
	return Identity{ID: newID()}, nil
}

// lifetime has nothing to do with other log-ins': there are no credentials to
// log in with again.
func (p anonymous) lifetime(time.Duration) lifetime {
	return lifetime{ttl: p.opts.TTL, renewed: true}
}
