package history

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// Server error codes that are branched on.
const (
	codeNamespaceExists = 48
	codeWriteConflict   = 112
	codeNoTransaction   = 251

	codeTransactionTooLarge         = 257
	codeLifetimeExceeded            = 290
	codeTransactionTooLargeForCache = 388
)

func hasCode(err error, code int) bool {
	var se mongo.ServerError
	return errors.As(err, &se) && se.HasErrorCode(code)
}

func hasLabel(err error, label string) bool {
	var se mongo.ServerError
	return errors.As(err, &se) && se.HasErrorLabel(label)
}

// isTransient reports whether the whole transaction is worth another try.
func isTransient(err error) bool {
	return hasLabel(err, "TransientTransactionError") || hasCode(err, codeWriteConflict) ||
		hasCode(err, codeNoTransaction) || mongo.IsNetworkError(err)
}

// isRefused reports whether the server refuses a command for what it says, as it
// does with filters that are too deep or hold a bad regular expression.
func isRefused(err error) bool {
	var ce mongo.CommandError
	return errors.As(err, &ce) && !isTransient(err) && !mongo.IsTimeout(err) &&
		!hasCode(err, codeSnapshotTooOld) && !hasCode(err, codeSnapshotUnavailable)
}
