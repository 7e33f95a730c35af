package appservices

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// renew gives a new access token to who has a refresh token. A refresh token
// is as good as its session: clients never get another one, so the session's
// own end counts, which may have moved since the token was signed.
func (a *API) renew(w http.ResponseWriter, r *http.Request) error {
	ctx, now := r.Context(), a.now()
	c, err := a.read(ctx, refreshToken, bearer(r))
	if err != nil {
		return err
	}
	u, err := a.activeUser(ctx, c.User)
	if err != nil {
		return err
	}
	s, err := a.opts.Store.UseSession(ctx, c.Session, now, a.renewedUntil(c, now))
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: its session is over", ErrTokenInvalid)
	}
	if err != nil {
		return err
	}
	access, err := a.issueAccess(ctx, s)
	if err != nil {
		return err
	}
	a.logger.Debug("access token renewed", "request_id", requestID(r), "user", u.ID, "session", s.ID)
	return answer(w, http.StatusCreated, map[string]string{"access_token": access})
}

// renewedUntil is the session's new end, zero if it stays.
func (a *API) renewedUntil(c *claims, now time.Time) time.Time {
	if c.Identity == nil {
		return time.Time{}
	}
	p := a.providers[c.Identity.ProviderType]
	if p == nil {
		return time.Time{} // it was switched off
	}
	l := p.lifetime(a.opts.RefreshTokenTTL)
	if !l.renewed {
		return time.Time{}
	}
	return now.Add(l.ttl)
}

// logOut ends a session. The device has forgotten its tokens already and will
// not ask again, so a session that cannot be named is over as well.
func (a *API) logOut(w http.ResponseWriter, r *http.Request) error {
	c, err := a.read(r.Context(), refreshToken, bearer(r))
	switch {
	case errors.Is(err, ErrTokenInvalid), errors.Is(err, errForeignApp):
		w.WriteHeader(http.StatusNoContent)
		return nil
	case err != nil:
		return err
	}
	if err := a.opts.Store.RevokeSession(r.Context(), c.Session, a.now()); err != nil {
		return err
	}
	a.opts.OnLogOut(c.User, c.Session)
	a.logger.Info("user logged out", "request_id", requestID(r), "user", c.User, "session", c.Session)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
