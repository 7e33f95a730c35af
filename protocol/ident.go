package protocol

// ServerIdent gives a client file its ident, in answer to a Bind that needs one.
type ServerIdent struct {
	Session int64
	File    int64 // from 2 up; 1 is the server's own
	Salt    int64 // 1 … 2^63-1
}

func (*ServerIdent) Keyword() string       { return "ident" }
func (m *ServerIdent) SessionIdent() int64 { return m.Session }

func parseServerIdent(h *header) Message {
	return &ServerIdent{Session: h.session(), File: h.number("file ident"), Salt: h.signed("file ident salt")}
}

func (m *ServerIdent) appendTo(w *writer) {
	w.session(m.Session)
	if m.File == 1 {
		w.fail("file ident", "1 is the server's own")
	}
	w.positive("file ident", m.File)
	w.positive("file ident salt", m.Salt)
	w.endHeader()
}

// ClientIdent says which client file a session is for and how far it has got:
// the cursors are those of the last DOWNLOAD the client has integrated, all
// zero for a new file.
type ClientIdent struct {
	Session        int64
	File           int64
	Salt           int64 // any value: it is the client's claim
	DownloadServer int64
	DownloadClient int64
	LatestServer   int64
	LatestSalt     int64 // any value; 0 with LatestServer 0
	QueryVersion   int64 // flexible mode: the active subscription set, which the client holds
	Query          string
}

func (*ClientIdent) Keyword() string       { return "ident" }
func (m *ClientIdent) SessionIdent() int64 { return m.Session }

func parseClientIdent(h *header) Message {
	m := &ClientIdent{
		Session:        h.session(),
		File:           h.number("file ident"),
		Salt:           h.signed("file ident salt"),
		DownloadServer: h.number("download server version"),
		DownloadClient: h.number("download client version"),
		LatestServer:   h.number("latest server version"),
		LatestSalt:     h.signed("latest server version salt"),
	}
	if h.codec.Flexible {
		m.QueryVersion = h.number("query version")
		size := h.size("query size")
		m.Query = string(h.take("query", size))
	}
	return m
}

func (m *ClientIdent) appendTo(w *writer) {
	w.session(m.Session)
	w.number("file ident", m.File)
	w.signed(m.Salt)
	w.number("download server version", m.DownloadServer)
	w.number("download client version", m.DownloadClient)
	w.number("latest server version", m.LatestServer)
	w.signed(m.LatestSalt)
	if !w.codec.Flexible {
		w.endHeader()
		return
	}
	w.number("query version", m.QueryVersion)
	w.size(len(m.Query))
	w.endHeader()
	w.text(m.Query)
}

// Query replaces a session's subscription set. Flexible mode only.
type Query struct {
	Session int64
	Version int64
	Body    string // JSON: class name to RQL text
}

func (*Query) Keyword() string       { return "query" }
func (m *Query) SessionIdent() int64 { return m.Session }

func parseQuery(h *header) Message {
	m := &Query{Session: h.session(), Version: h.number("query version")}
	size := h.size("query size")
	m.Body = string(h.take("query", size))
	return m
}

func (m *Query) appendTo(w *writer) {
	w.onlyFlexible()
	w.session(m.Session)
	w.number("query version", m.Version)
	w.size(len(m.Body))
	w.endHeader()
	w.text(m.Body)
}

// QueryError rejects a subscription set. It is legal only for a set that the
// client still waits for: for any other it ends the client's process.
type QueryError struct {
	Session int64
	Code    ErrorCode // BadQuery; the client only logs it
	Version int64
	Message string // shown to the app
}

func (*QueryError) Keyword() string       { return "query_error" }
func (m *QueryError) SessionIdent() int64 { return m.Session }

func parseQueryError(h *header) Message {
	m := &QueryError{Code: ErrorCode(h.number("error code"))}
	size := h.size("message size")
	m.Session = h.session()
	m.Version = h.number("query version")
	m.Message = string(h.take("message", size))
	return m
}

func (m *QueryError) appendTo(w *writer) {
	w.onlyFlexible()
	w.number("error code", int64(m.Code))
	w.size(len(m.Message))
	w.session(m.Session)
	w.number("query version", m.Version)
	w.endHeader()
	w.text(m.Message)
}
