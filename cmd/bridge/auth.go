package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/appservices"
	"github.com/isthmus-sync/isthmus/session"
)

// authenticator has the sync route ask the log-in API.
type authenticator struct{ api *appservices.API }

var _ session.Authenticator = authenticator{}

// Authenticate implements session.Authenticator.
func (a authenticator) Authenticate(ctx context.Context, app, token string) (string, error) {
	user, _, err := a.api.VerifyAccess(ctx, app, token)
	switch {
	case err == nil:
		return user, nil
	case errors.Is(err, appservices.ErrTokenInvalid), errors.Is(err, appservices.ErrTokenExpired):
		return "", fmt.Errorf("%w: %w", session.ErrTokenRefused, err)
	case errors.Is(err, appservices.ErrUserDisabled), errors.Is(err, appservices.ErrUserDeleted):
		return "", fmt.Errorf("%w: %w", session.ErrUserRefused, err)
	}
	return "", err
}
