package session

import (
	"context"
	"errors"
)

// Authenticator tells whose access token it is.
type Authenticator interface {
	// Authenticate returns the user's id. The error wraps ErrTokenRefused when
	// the client is to fetch a new token, ErrUserRefused when the user is to be
	// logged out; any other error means that it could not be found out, and the
	// client is told to come back later. app is the app id of the request's
	// path, empty where the path has none.
	Authenticate(ctx context.Context, app, token string) (user string, err error)
}

// What an Authenticator says of a token.
var (
	ErrTokenRefused = errors.New("access token expired or invalid")
	ErrUserRefused  = errors.New("user disabled or deleted")
)
