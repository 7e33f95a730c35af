// Package appservices is the HTTP API that Realm SDKs log in through: where the
// server is (location), log-in, profile, renewal and end of a session.
//
// Use: Open an API over a Store and mount it below /api/client/v2.0/. The sync
// route asks VerifyAccess whose access token it was given.
//
// Design: a log-in makes a session, and two signed tokens name it. The access
// token is believed for its short life, as far as the user is not disabled and
// the session not revoked; the refresh token is believed as long as the session
// record says. Each way to log in is a provider, in a file of its own, that
// turns credentials into an identity; which user has that identity is the
// Store's to say.
//
// Two answers cost a user dearly, a log-out and with it perhaps unsent data:
// 401 to whatever carries a refresh token, and 401 or 403 to a renewal. The API
// gives them only when a session is known to be over. Not being able to find
// out is 503.
//
// The package knows nothing of synchronisation.
package appservices
