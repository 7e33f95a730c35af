package realmclient

import "encoding/json"

// Command is one line that the program reads. Op says which of the others it uses:
//
//	version, log (Level), exit
//	app                  AppConfig
//	login_anonymous (Reuse), login_email, link_email, login_jwt, login_api_key, login_function
//	register, confirm, resend_confirmation, send_reset_password, reset_password, reset_password_function
//	current_user         the one kept in DataDir
//	user, logout, remove_user, delete_user, refresh_custom_data, create_api_key (Name), call_function (Name, Args, Service)
//	reconnect, has_sessions, wait_sessions_end
//	open_flx, open_pbs, open_local   RealmConfig
//	subscribe (Subs, Clear), unsubscribe (Name, or Class and Query, or Class, or all), subscriptions, wait_subscriptions (State)
//	write (Ops), dump (Classes), refresh, wait_object (Class, PK, Where, Gone)
//	wait_upload, wait_download, pause, resume, session
//	errors (Clear), events (Clear), wait_event (Event, Count), close
type Command struct {
	Op      string  `json:"op"`
	Seq     int64   `json:"seq,omitempty"`     // comes back in the answer
	Timeout float64 `json:"timeout,omitempty"` // of a wait or a call, in seconds; 0 means 30

	AppConfig
	Credentials
	RealmConfig

	Name    string         `json:"name,omitempty"`
	Args    any            `json:"args,omitempty"`
	Service string         `json:"service,omitempty"`
	Subs    []Subscription `json:"subs,omitempty"`
	State   string         `json:"state,omitempty"`
	Ops     []Op           `json:"ops,omitempty"`
	Classes []string       `json:"classes,omitempty"`
	Class   string         `json:"class,omitempty"`
	Query   string         `json:"query,omitempty"`
	PK      any            `json:"pk,omitempty"`
	Where   map[string]any `json:"where,omitempty"`
	Gone    bool           `json:"gone,omitempty"`
	Clear   bool           `json:"clear,omitempty"`
	Event   string         `json:"event,omitempty"`
	Count   int            `json:"count,omitempty"`
	Level   string         `json:"level,omitempty"`
}

// AppConfig says which app a process talks to, and where it keeps its users and files.
type AppConfig struct {
	ID      string `json:"id,omitempty"`
	BaseURL string `json:"base_url,omitempty"`
	// DataDir keeps users and realm files for a restart; empty means a new temporary folder.
	DataDir  string `json:"data_dir,omitempty"`
	BundleID string `json:"bundle_id,omitempty"`
	// Timeouts of the sync client in milliseconds: connect (1000 at least), linger, ping and pong (above
	// 5000), fast_reconnect (above 1000), resumption, max_resumption; and backoff, a factor.
	// The library ignores smaller values without a word.
	Timeouts map[string]uint64 `json:"client_timeouts,omitempty"`
	// Multiplex says whether sessions share a connection (the default).
	Multiplex *bool `json:"multiplex,omitempty"`
	// ReconnectTesting reconnects without delay.
	ReconnectTesting bool `json:"reconnect_testing,omitempty"`
}

// Credentials are what the log-in commands use.
type Credentials struct {
	Email    string `json:"email,omitempty"`
	Password string `json:"password,omitempty"`
	Token    string `json:"token,omitempty"`
	TokenID  string `json:"token_id,omitempty"`
	Key      string `json:"key,omitempty"`
	Reuse    bool   `json:"reuse,omitempty"` // of an anonymous user who is there
}

// RealmConfig says how a realm is opened.
type RealmConfig struct {
	Realm         string  `json:"realm,omitempty"` // the name later commands use; empty means main
	User          string  `json:"user,omitempty"`  // the name of a user in this process; empty means main
	Schema        []Class `json:"schema,omitempty"`
	SchemaVersion uint64  `json:"schema_version,omitempty"`
	SchemaMode    string  `json:"schema_mode,omitempty"` // automatic immutable read_only additive_discovered additive_explicit (the default) manual
	Path          string  `json:"path,omitempty"`        // of the file; empty means the library's choice
	File          string  `json:"file,omitempty"`        // its name where the library chooses the folder
	SyncHistory   bool    `json:"sync_history,omitempty"`
	Partition     string  `json:"partition,omitempty"`   // extended JSON, such as "\"text\"" or "null"
	StopPolicy    string  `json:"stop_policy,omitempty"` // immediately live_indefinitely after_changes_uploaded (the default)
	Resync        string  `json:"resync,omitempty"`      // manual discard_local recover recover_or_discard (the default)
	// CancelWaits ends waits also at errors that are not fatal.
	CancelWaits bool              `json:"cancel_waits_on_nonfatal_error,omitempty"`
	InsecureTLS bool              `json:"insecure_tls,omitempty"`
	TrustCert   string            `json:"trust_cert,omitempty"` // a PEM file
	Headers     map[string]string `json:"headers,omitempty"`
	Progress    bool              `json:"progress,omitempty"` // record upload and download progress as events
}

// Answer is one line that the program writes.
type Answer struct {
	OK      bool            `json:"ok"`
	Op      string          `json:"op,omitempty"`
	Seq     int64           `json:"seq,omitempty"`
	Millis  int64           `json:"ms"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	App     *AppError       `json:"app_error,omitempty"`
	Timeout bool            `json:"timeout,omitempty"`
}

// AppError is what the library says about a failed App Services call.
type AppError struct {
	Code       int    `json:"error"`
	Categories uint   `json:"categories"`
	Message    string `json:"message"`
	HTTPStatus int    `json:"http_status,omitempty"`
	Logs       string `json:"link_to_server_logs,omitempty"`
}

// User is a logged-in user as the library knows them.
type User struct {
	ID           string          `json:"id"`
	State        string          `json:"state"` // logged_out logged_in removed
	DeviceID     string          `json:"device_id"`
	AccessToken  string          `json:"access_token"`
	RefreshToken string          `json:"refresh_token"`
	CustomData   json.RawMessage `json:"custom_data,omitempty"`
	Profile      json.RawMessage `json:"profile,omitempty"`
}

// Session is the state of a realm's sync session.
type Session struct {
	State      string `json:"state"`      // active dying inactive waiting_for_access_token paused
	Connection string `json:"connection"` // disconnected connecting connected
	Ident      uint64 `json:"file_ident"`
	Salt       int64  `json:"file_ident_salt"`
}

// Event is something that the library told a realm: Event is sync_error,
// client_reset_before, client_reset_after, connection, progress_upload or
// progress_download, and says which of the others are filled.
type Event struct {
	Event string `json:"event"`
	At    string `json:"at"` // RFC 3339 with milliseconds

	Code           int                 `json:"error,omitempty"` // the library's own number, not the protocol's
	Categories     uint                `json:"categories,omitempty"`
	Message        string              `json:"message,omitempty"`
	Fatal          bool                `json:"fatal,omitempty"`
	Unrecognized   bool                `json:"unrecognized,omitempty"`
	ResetRequested bool                `json:"client_reset_requested,omitempty"`
	Action         string              `json:"action,omitempty"`
	Info           map[string]string   `json:"info,omitempty"`
	Compensating   []CompensatingWrite `json:"compensating_writes,omitempty"`

	Recovered bool   `json:"did_recover,omitempty"`
	From      string `json:"from,omitempty"` // of a connection: disconnected connecting connected
	To        string `json:"to,omitempty"`

	Done     uint64  `json:"done,omitempty"`
	Total    uint64  `json:"total,omitempty"`
	Estimate float64 `json:"estimate,omitempty"`
}

// CompensatingWrite is a write that the server undid.
type CompensatingWrite struct {
	Reason string `json:"reason"`
	Class  string `json:"class"`
	PK     any    `json:"pk"`
}
