package appservices

import (
	"fmt"
	"net/http"
)

// logIn checks credentials, finds or makes the user they name, and begins a
// session.
func (a *API) logIn(w http.ResponseWriter, r *http.Request) error {
	p := a.providers[r.PathValue("name")]
	if p == nil {
		return errProviderNotFound
	}
	if r.URL.Query().Get("link") == "true" {
		return errBadRequest("linking is not supported for this provider")
	}
	c, device, err := readLogIn(r)
	if err != nil {
		return err
	}
	ctx, now := r.Context(), a.now()
	identity, err := p.identify(ctx, c)
	if err != nil {
		return err
	}
	identity.Provider = p.name()
	u, err := a.opts.Store.UserWith(ctx, identity, User{ID: newID(), Created: now, LastLogIn: now})
	if err != nil {
		return err
	}
	if u.Disabled {
		return ErrUserDisabled
	}
	device.ID = newID()
	s := Session{
		ID: newID(), User: u.ID, Device: device,
		Identity: Identity{Provider: identity.Provider, ID: identity.ID},
		Created:  now, Used: now, Expires: now.Add(p.lifetime(a.opts.RefreshTokenTTL).ttl),
	}
	if err := a.opts.Store.AddSession(ctx, s); err != nil {
		return err
	}
	access, err := a.issueAccess(ctx, s)
	if err != nil {
		return err
	}
	refresh, err := a.issue(ctx, refreshToken, s, s.Expires)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	a.logger.Info("user logged in", "request_id", requestID(r), "user", u.ID, "provider", p.name(),
		"session", s.ID, "sdk", device.SDK, "sdk_version", device.SDKVersion, "platform", device.Platform)
	return answer(w, http.StatusOK, map[string]string{
		"access_token":  access,
		"refresh_token": refresh,
		"user_id":       u.ID,
		"device_id":     device.ID,
	})
}
