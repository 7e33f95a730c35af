package appservices

import (
	"encoding/json"
	"errors"
	"net/http"
)

// answerError is an error as clients get it. Clients know codes by name; one
// that they do not know reaches the app as it is. (Specification of the log-in
// API, 3.3.)
type answerError struct {
	status int
	code   string // error_code
	text   string // error; apps match on it
}

func (e *answerError) Error() string { return e.text }

// The errors, as the hosted service worded them.
var (
	errInvalidSession   = &answerError{http.StatusUnauthorized, "InvalidSession", "invalid session"}
	errUserDisabled     = &answerError{http.StatusUnauthorized, "UserDisabled", "user disabled"}
	errProviderNotFound = &answerError{http.StatusNotFound, "AuthProviderNotFound", "authentication provider not found"}
)

func errAppNotFound(app string) error {
	return &answerError{http.StatusNotFound, "AppNotFound", "cannot find app using Client App ID '" + app + "'"}
}

func errBadRequest(text string) error {
	return &answerError{http.StatusBadRequest, "BadRequest", text}
}

// answer writes a success. The keys error and error_code must not be in it:
// clients take such a body for an error whatever the status.
func answer(w http.ResponseWriter, status int, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client is gone
	return nil
}

// fail writes an error. What is not one of the answers above could not be
// decided: the client has to come back, and must not be led to log out.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *answerError
	switch {
	case errors.As(err, &e):
	case errors.Is(err, ErrUserDisabled):
		e = errUserDisabled
	case errors.Is(err, ErrTokenInvalid), errors.Is(err, ErrTokenExpired), errors.Is(err, ErrUserDeleted):
		e = errInvalidSession
	default:
		a.logger.Warn("log-in API cannot answer", "request_id", requestID(r), "route", r.Pattern, "error", err)
		w.Header().Set("Retry-After", "1")
		http.Error(w, "service unavailable, retry later", http.StatusServiceUnavailable)
		return
	}
	body := struct {
		Error string `json:"error"`
		Code  string `json:"error_code"`
		Link  string `json:"link"`
	}{e.text, e.code, a.logLink(r)}
	text, _ := json.Marshal(body)                      // three strings always can
	w.Header().Set("Content-Type", "application/json") // exactly: with a charset clients do not read the body
	w.WriteHeader(e.status)
	_, _ = w.Write(text)
}
