package appservices

import (
	"maps"
	"net/http"
)

// profileIdentity is an identity as the profile shows it. Clients crash on a
// provider type they do not know.
type profileIdentity struct {
	ID           string            `json:"id"`
	ProviderType string            `json:"provider_type"`
	ProviderID   string            `json:"provider_id"`
	Data         map[string]string `json:"provider_data,omitempty"`
}

// profile tells a client who it is. Log-in fails on the device when this does.
func (a *API) profile(w http.ResponseWriter, r *http.Request) error {
	u, _, err := a.verifyAccess(r.Context(), bearer(r))
	if err != nil {
		return err
	}
	identities := []profileIdentity{}
	data := map[string]string{}
	for _, i := range u.Identities {
		identities = append(identities, profileIdentity{i.ID, i.Provider, i.Provider, i.Data})
		maps.Copy(data, i.Data)
	}
	return answer(w, http.StatusOK, map[string]any{
		"user_id":                  u.ID,
		"domain_id":                a.opts.AppID,
		"type":                     "normal",
		"last_authentication_date": u.LastLogIn.Unix(),
		"identities":               identities,
		"data":                     data,
		"custom_data":              map[string]string{},
		"metadata":                 []string{},
	})
}
