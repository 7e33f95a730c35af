package appservices

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// RequestIDHeader carries the id under which a request is in the log. Clients
// write it to theirs.
const RequestIDHeader = "X-Appservices-Request-Id"

type requestIDKey struct{}

// requestID is the id of a request that went through the middleware.
func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

func newRequestID() string {
	var b [12]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// statusRecorder remembers the status that was answered.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// middleware gives each request an id, a deadline and a bound for its body,
// answers what browsers ask beforehand, and logs and counts. It never logs
// query strings: tokens may be in them.
func (a *API) middleware(mux *http.ServeMux) (http.Handler, error) {
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "bridge_login_api_seconds",
		Help:    "Time to answer requests of the log-in API, by route and status.",
		Buckets: []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10},
	}, []string{"route", "status"})
	if a.opts.Metrics != nil {
		if err := a.opts.Metrics.Register(latency); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := newRequestID()
		ctx, cancel := context.WithTimeout(context.WithValue(r.Context(), requestIDKey{}, id), a.opts.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		recorder := &statusRecorder{w, http.StatusOK}
		w.Header().Set(RequestIDHeader, id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if !a.crossOrigin(recorder, r) {
			mux.ServeHTTP(recorder, r)
		}
		took := time.Since(began)
		route := r.Pattern
		if route == "" {
			route = "none"
		}
		latency.WithLabelValues(route, strconv.Itoa(recorder.status)).Observe(took.Seconds())
		a.logger.Debug("log-in API", "request_id", id, "method", r.Method, "path", r.URL.Path,
			"status", recorder.status, "took", took, "remote", r.RemoteAddr)
	}), nil
}

// crossOrigin lets pages of the allowed origins read the answers, and answers
// the request by which a browser asks beforehand. It reports whether the
// request is done with.
func (a *API) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	preflight := r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
	h := w.Header()
	allowed := origin
	if slices.Contains(a.opts.CORSOrigins, "*") {
		allowed = "*"
	} else {
		h.Add("Vary", "Origin")
		if !slices.Contains(a.opts.CORSOrigins, origin) {
			allowed = ""
		}
	}
	if origin != "" && allowed != "" {
		h.Set("Access-Control-Allow-Origin", allowed)
		h.Set("Access-Control-Expose-Headers", RequestIDHeader)
	}
	if !preflight {
		return false
	}
	if origin != "" && allowed != "" {
		h.Add("Vary", "Access-Control-Request-Headers")
		h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
		h.Set("Access-Control-Allow-Headers", r.Header.Get("Access-Control-Request-Headers"))
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}

// bearer is the token of the Authorization header; empty when there is none.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
