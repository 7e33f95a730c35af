package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options configure a Server; all are optional.
type Options struct {
	Required []Check // without these the node is not ready
	Advisory []Check // these are told only: without them the node serves, but worse
	Version  string
	Logger   *slog.Logger
}

// Server answers operators' requests. It is an http.Handler.
type Server struct {
	round    round
	registry *prometheus.Registry
	draining atomic.Bool
	mux      *http.ServeMux
}

// New returns a Server whose registry holds the process's own figures.
func New(opts Options) *Server {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	s := &Server{
		round:    round{required: opts.Required, advisory: opts.Advisory},
		registry: prometheus.NewRegistry(),
		mux:      http.NewServeMux(),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "bridge_info", Help: "Always 1; the label says which bridge this is.",
		ConstLabels: prometheus.Labels{"version": opts.Version},
	})
	info.Set(1)
	s.registry.MustRegister(info, checkCollector{&s.round},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.mux.HandleFunc("GET /healthz", s.health)
	s.mux.HandleFunc("GET /readyz", s.ready)
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{
		ErrorLog: promErrors{opts.Logger},
	}))
	s.mux.HandleFunc("GET /logs", logs)
	return s
}

// promErrors logs what goes wrong while figures are collected.
type promErrors struct{ logger *slog.Logger }

func (p promErrors) Println(v ...any) {
	p.logger.Error("cannot collect metrics", "error", errors.New(fmt.Sprint(v...)))
}

// Registry is where packages register their collectors.
func (s *Server) Registry() *prometheus.Registry { return s.registry }

// Drain makes the node unready: it is about to shut down.
func (s *Server) Drain() { s.draining.Store(true) }

// Paths are the paths that are served, for mounting beside other handlers.
func (s *Server) Paths() []string { return []string{"/healthz", "/readyz", "/metrics", "/logs"} }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// health says that the process answers; it looks at nothing, since restarting
// the process would not mend what it looked at.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// ready says whether devices may be sent here.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	out := Readiness{Ready: true, Draining: s.draining.Load(), Checks: s.round.look(r.Context())}
	for _, c := range out.Checks {
		if c.Required && !c.OK {
			out.Ready = false
		}
	}
	if out.Draining {
		out.Ready = false
	}
	text, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !out.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_, _ = w.Write(append(text, '\n'))
}

var requestID = regexp.MustCompile(`^[0-9A-Za-z_-]{1,64}$`)

// logs tells whoever follows the link in an error how to find its log entry.
func logs(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("co_id")
	if !requestID.MatchString(id) {
		http.Error(w, "the link of an error has its request's id as co_id", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = fmt.Fprintf(w, "In the bridge's log the entries of this request have request_id=%s\n", id)
}

// checkCollector tells the checks' results as metrics.
type checkCollector struct{ round *round }

var checkUp = prometheus.NewDesc("bridge_check_up", "1 when a readiness check passed, 0 when it failed.", []string{"check"}, nil)

// Describe implements prometheus.Collector.
func (c checkCollector) Describe(ch chan<- *prometheus.Desc) { ch <- checkUp }

// Collect implements prometheus.Collector.
func (c checkCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.round.look(context.Background()) {
		up := 0.0
		if s.OK {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(checkUp, prometheus.GaugeValue, up, s.Name)
	}
}
