package appservices

import (
	"net/http"
	"net/url"
	"strings"
)

// location tells a device where the server is: where all further requests and
// the WebSocket go.
func (a *API) location(w http.ResponseWriter, r *http.Request) error {
	here := a.baseURL(r)
	socket := "ws" + strings.TrimPrefix(here, "http")
	return answer(w, http.StatusOK, map[string]string{
		"deployment_model": "GLOBAL",
		"location":         "US-VA",
		"hostname":         here,
		"ws_hostname":      socket,
		"sync_route":       socket + base + "/app/" + url.PathEscape(a.opts.AppID) + "/realm-sync",
	})
}

// baseURL is the configured public URL, else the server as the request names
// it: devices reach one machine by different names, and each has to go on with
// the one that works for it.
func (a *API) baseURL(r *http.Request) string {
	if a.opts.PublicURL != "" {
		return a.opts.PublicURL
	}
	scheme := "http"
	forwarded, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || strings.EqualFold(strings.TrimSpace(forwarded), "https") {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// logLink is where the log entry of a request is found.
func (a *API) logLink(r *http.Request) string {
	return a.baseURL(r) + "/logs?co_id=" + requestID(r)
}
