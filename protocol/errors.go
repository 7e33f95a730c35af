package protocol

import (
	"errors"
	"fmt"
	"strconv"
)

// SyntaxError says why a message does not parse. Code is what the connection
// is to be refused with.
type SyntaxError struct {
	Code    ErrorCode
	Keyword string // the message's first word
	Field   string // where in the message; may be empty
	Reason  string
}

func (e *SyntaxError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s message: %s", e.Keyword, e.Reason)
	}
	return fmt.Sprintf("%s message: %s: %s", e.Keyword, e.Field, e.Reason)
}

// ErrKillsClient is what a FormatError wraps when the message would have ended
// the client's process.
var ErrKillsClient = errors.New("would end the client's process")

// FormatError says why Append refused a message.
type FormatError struct {
	Keyword string
	Field   string // may be empty
	Reason  string
	Err     error // ErrKillsClient, or nil
}

func (e *FormatError) Error() string {
	text := "refused to write " + e.Keyword
	if e.Field != "" {
		text += ": " + e.Field
	}
	return text + ": " + e.Reason
}

func (e *FormatError) Unwrap() error { return e.Err }

// ErrorCode is a protocol error, as ERROR, JSON_ERROR and QUERY_ERROR carry it.
type ErrorCode int

// Errors of the connection.
const (
	ConnectionClosed         ErrorCode = 100
	OtherError               ErrorCode = 101
	UnknownMessage           ErrorCode = 102
	BadSyntax                ErrorCode = 103
	LimitsExceeded           ErrorCode = 104
	WrongProtocolVersion     ErrorCode = 105
	BadSessionIdent          ErrorCode = 106
	ReuseOfSessionIdent      ErrorCode = 107
	BoundInOtherSession      ErrorCode = 108
	BadMessageOrder          ErrorCode = 109
	BadDecompression         ErrorCode = 110
	BadChangesetHeaderSyntax ErrorCode = 111
	BadChangesetSize         ErrorCode = 112
	SwitchToFLXSync          ErrorCode = 113
	SwitchToPBS              ErrorCode = 114
)

// Errors of a session.
const (
	SessionClosed             ErrorCode = 200
	OtherSessionError         ErrorCode = 201
	TokenExpired              ErrorCode = 202
	BadAuthentication         ErrorCode = 203
	IllegalRealmPath          ErrorCode = 204
	NoSuchRealm               ErrorCode = 205
	PermissionDenied          ErrorCode = 206
	BadServerFileIdent        ErrorCode = 207
	BadClientFileIdent        ErrorCode = 208
	BadServerVersion          ErrorCode = 209
	BadClientVersion          ErrorCode = 210
	DivergingHistories        ErrorCode = 211
	BadChangeset              ErrorCode = 212
	PartialSyncDisabled       ErrorCode = 214
	UnsupportedSessionFeature ErrorCode = 215
	BadOriginFileIdent        ErrorCode = 216
	BadClientFile             ErrorCode = 217
	ServerFileDeleted         ErrorCode = 218
	ClientFileBlacklisted     ErrorCode = 219
	UserBlacklisted           ErrorCode = 220
	TransactBeforeUpload      ErrorCode = 221
	ClientFileExpired         ErrorCode = 222
	UserMismatch              ErrorCode = 223
	TooManySessions           ErrorCode = 224
	InvalidSchemaChange       ErrorCode = 225
	BadQuery                  ErrorCode = 226
	ObjectAlreadyExists       ErrorCode = 227
	ServerPermissionsChanged  ErrorCode = 228
	InitialSyncNotCompleted   ErrorCode = 229
	WriteNotAllowed           ErrorCode = 230
	CompensatingWrite         ErrorCode = 231
	MigrateToFLX              ErrorCode = 232
	BadProgress               ErrorCode = 233
	RevertToPBS               ErrorCode = 234
	BadSchemaVersion          ErrorCode = 235
	SchemaVersionChanged      ErrorCode = 236
)

// Action is what the SDK does about an error.
type Action string

// The actions. A string that the SDK does not know acts as ApplicationBug.
const (
	ActionProtocolViolation     Action = "ProtocolViolation"     // session inactive until the app reopens it
	ActionApplicationBug        Action = "ApplicationBug"        // the same
	ActionWarning               Action = "Warning"               // the app is told
	ActionTransient             Action = "Transient"             // the client retries, silently
	ActionDeleteRealm           Action = "DeleteRealm"           // the local file is deleted at the next launch
	ActionClientReset           Action = "ClientReset"           // a fresh copy is downloaded
	ActionClientResetNoRecovery Action = "ClientResetNoRecovery" // the same, without the unsynced changes
	ActionMigrateToFLX          Action = "MigrateToFLX"          // only with code 232
	ActionRevertToPBS           Action = "RevertToPBS"           // only to clients that were migrated
	ActionRefreshUser           Action = "RefreshUser"           // a new access token is fetched
	ActionRefreshLocation       Action = "RefreshLocation"       // the location is asked for again
	ActionLogOutUser            Action = "LogOutUser"            // the user is logged out
	ActionMigrateSchema         Action = "MigrateSchema"         // flexible mode, with code 236
)

// Level is what an error ends.
type Level uint8

// The levels.
const (
	ConnectionLevel Level = iota // the session ident is 0
	SessionLevel                 // the session ident is not 0
)

// ErrorInfo is what is known of an error code, and how it is best sent.
type ErrorInfo struct {
	Name     string
	Level    Level
	Kills    bool // it ends the client's process: never send it
	TryAgain bool
	Action   Action
}

// Errors lists every error code that a client knows.
var Errors = map[ErrorCode]ErrorInfo{
	ConnectionClosed:         {Name: "connection_closed", TryAgain: true, Action: ActionTransient},
	OtherError:               {Name: "other_error", TryAgain: true, Action: ActionTransient},
	UnknownMessage:           {Name: "unknown_message", Action: ActionProtocolViolation},
	BadSyntax:                {Name: "bad_syntax", Action: ActionProtocolViolation},
	LimitsExceeded:           {Name: "limits_exceeded", Kills: true},
	WrongProtocolVersion:     {Name: "wrong_protocol_version", Action: ActionProtocolViolation},
	BadSessionIdent:          {Name: "bad_session_ident", Action: ActionProtocolViolation},
	ReuseOfSessionIdent:      {Name: "reuse_of_session_ident", Action: ActionProtocolViolation},
	BoundInOtherSession:      {Name: "bound_in_other_session", TryAgain: true, Action: ActionTransient},
	BadMessageOrder:          {Name: "bad_message_order", Action: ActionProtocolViolation},
	BadDecompression:         {Name: "bad_decompression", Action: ActionProtocolViolation},
	BadChangesetHeaderSyntax: {Name: "bad_changeset_header_syntax", Action: ActionProtocolViolation},
	BadChangesetSize:         {Name: "bad_changeset_size", Action: ActionProtocolViolation},
	SwitchToFLXSync:          {Name: "switch_to_flx_sync", Action: ActionApplicationBug},
	SwitchToPBS:              {Name: "switch_to_pbs", Action: ActionApplicationBug},

	SessionClosed:             {Name: "session_closed", Level: SessionLevel, TryAgain: true, Action: ActionTransient},
	OtherSessionError:         {Name: "other_session_error", Level: SessionLevel, TryAgain: true, Action: ActionTransient},
	TokenExpired:              {Name: "token_expired", Level: SessionLevel, Kills: true},
	BadAuthentication:         {Name: "bad_authentication", Level: SessionLevel, Kills: true},
	IllegalRealmPath:          {Name: "illegal_realm_path", Level: SessionLevel, Action: ActionApplicationBug},
	NoSuchRealm:               {Name: "no_such_realm", Level: SessionLevel, Kills: true},
	PermissionDenied:          {Name: "permission_denied", Level: SessionLevel, Action: ActionApplicationBug},
	BadServerFileIdent:        {Name: "bad_server_file_ident", Level: SessionLevel, Kills: true},
	BadClientFileIdent:        {Name: "bad_client_file_ident", Level: SessionLevel, Action: ActionClientReset},
	BadServerVersion:          {Name: "bad_server_version", Level: SessionLevel, Action: ActionClientReset},
	BadClientVersion:          {Name: "bad_client_version", Level: SessionLevel, Action: ActionClientReset},
	DivergingHistories:        {Name: "diverging_histories", Level: SessionLevel, Action: ActionClientReset},
	BadChangeset:              {Name: "bad_changeset", Level: SessionLevel, Action: ActionClientReset},
	PartialSyncDisabled:       {Name: "partial_sync_disabled", Level: SessionLevel, Kills: true},
	UnsupportedSessionFeature: {Name: "unsupported_session_feature", Level: SessionLevel, Kills: true},
	BadOriginFileIdent:        {Name: "bad_origin_file_ident", Level: SessionLevel, Action: ActionApplicationBug},
	BadClientFile:             {Name: "bad_client_file", Level: SessionLevel, Action: ActionClientReset},
	ServerFileDeleted:         {Name: "server_file_deleted", Level: SessionLevel, Kills: true},
	ClientFileBlacklisted:     {Name: "client_file_blacklisted", Level: SessionLevel, Kills: true},
	UserBlacklisted:           {Name: "user_blacklisted", Level: SessionLevel, Kills: true},
	TransactBeforeUpload:      {Name: "transact_before_upload", Level: SessionLevel, Kills: true},
	ClientFileExpired:         {Name: "client_file_expired", Level: SessionLevel, Action: ActionClientReset},
	UserMismatch:              {Name: "user_mismatch", Level: SessionLevel, Action: ActionClientReset},
	TooManySessions:           {Name: "too_many_sessions", Level: SessionLevel, Kills: true},
	InvalidSchemaChange:       {Name: "invalid_schema_change", Level: SessionLevel, Action: ActionApplicationBug},
	BadQuery:                  {Name: "bad_query", Level: SessionLevel, Action: ActionClientReset},
	ObjectAlreadyExists:       {Name: "object_already_exists", Level: SessionLevel, Action: ActionClientReset},
	ServerPermissionsChanged:  {Name: "server_permissions_changed", Level: SessionLevel, Action: ActionClientReset},
	InitialSyncNotCompleted:   {Name: "initial_sync_not_completed", Level: SessionLevel, TryAgain: true, Action: ActionTransient},
	WriteNotAllowed:           {Name: "write_not_allowed", Level: SessionLevel, Action: ActionClientReset},
	CompensatingWrite:         {Name: "compensating_write", Level: SessionLevel, TryAgain: true, Action: ActionWarning},
	MigrateToFLX:              {Name: "migrate_to_flx", Level: SessionLevel, Action: ActionMigrateToFLX},
	BadProgress:               {Name: "bad_progress", Level: SessionLevel, Action: ActionClientReset},
	RevertToPBS:               {Name: "revert_to_pbs", Level: SessionLevel, Action: ActionRevertToPBS},
	BadSchemaVersion:          {Name: "bad_schema_version", Level: SessionLevel, Action: ActionApplicationBug},
	SchemaVersionChanged:      {Name: "schema_version_changed", Level: SessionLevel, TryAgain: true, Action: ActionMigrateSchema},
}

// String returns the code's number and, if it is known, its name.
func (c ErrorCode) String() string {
	if info, ok := Errors[c]; ok {
		return strconv.Itoa(int(c)) + " " + info.Name
	}
	return strconv.Itoa(int(c))
}

// Suspends reports whether the client suspends the session on this error: it
// then sends UNBIND and may be sent nothing more.
func (c ErrorCode) Suspends() bool { return c != CompensatingWrite && c != SchemaVersionChanged }

// errorCode writes an error's code after checking that a client survives it and
// that it is of the level that the session ident says.
func (w *writer) errorCode(code ErrorCode, session int64) {
	info, known := Errors[code]
	switch {
	case !known:
		w.fail("error code", fmt.Sprintf("%d is no code that clients know", int(code)))
	case info.Kills:
		w.kills("error code", code.String()+" ends the client's process")
	case (info.Level == SessionLevel) != (session != 0):
		w.fail("session ident", fmt.Sprintf("%d with error %s, which is of another level", session, code))
	}
	w.signed(int64(code))
}

func (w *writer) kills(field, reason string) {
	if w.err == nil {
		w.err = &FormatError{Keyword: w.keyword, Field: field, Reason: reason, Err: ErrKillsClient}
	}
}
