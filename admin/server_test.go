package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(s *Server, path string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func passing(name string) Check { return CheckFunc(name, func(context.Context) error { return nil }) }

func failing(name, why string) Check {
	return CheckFunc(name, func(context.Context) error { return errors.New(why) })
}

func TestReady(t *testing.T) {
	cases := []struct {
		name   string
		opts   Options
		drain  bool
		status int
		want   Readiness
	}{
		{"nothing to check", Options{}, false, 200, Readiness{Ready: true, Checks: []Status{}}},
		{"all well", Options{Required: []Check{passing("mongodb")}, Advisory: []Check{passing("redis")}}, false, 200,
			Readiness{Ready: true, Checks: []Status{{"mongodb", true, true, ""}, {"redis", false, true, ""}}}},
		{"something required fails", Options{Required: []Check{passing("ingest"), failing("mongodb", "no primary")}}, false, 503,
			Readiness{Checks: []Status{{"ingest", true, true, ""}, {"mongodb", true, false, "no primary"}}}},
		{"something advisory fails", Options{Required: []Check{passing("mongodb")}, Advisory: []Check{failing("redis", "gone")}}, false, 200,
			Readiness{Ready: true, Checks: []Status{{"mongodb", true, true, ""}, {"redis", false, false, "gone"}}}},
		{"shutting down", Options{Required: []Check{passing("mongodb")}}, true, 503,
			Readiness{Draining: true, Checks: []Status{{"mongodb", true, true, ""}}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := New(c.opts)
			if c.drain {
				s.Drain()
			}
			status, body := get(s, "/readyz")
			var got Readiness
			if err := json.Unmarshal([]byte(body), &got); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if status != c.status || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %d %+v\nwant %d %+v", status, got, c.status, c.want)
			}
			if status, body := get(s, "/healthz"); status != 200 || body != "ok\n" {
				t.Errorf("healthz: %d %q", status, body)
			}
		})
	}
}

// A check that hangs is a failed one, and delays nobody for long; asking often
// does not check often.
func TestReadyHanging(t *testing.T) {
	var asked atomic.Int32
	s := New(Options{Required: []Check{CheckFunc("mongodb", func(ctx context.Context) error {
		asked.Add(1)
		<-ctx.Done()
		return ctx.Err()
	})}})
	for range 3 {
		status, body := get(s, "/readyz")
		if status != 503 || !strings.Contains(body, "no answer within 3s") {
			t.Errorf("got %d %s", status, body)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("checked %d times, want once", asked.Load())
	}
}

func TestMetrics(t *testing.T) {
	s := New(Options{Required: []Check{passing("mongodb"), failing("ingest", "stopped")}, Version: "1.2.3"})
	uploads := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_uploads_total", Help: "x"})
	s.Registry().MustRegister(uploads)
	uploads.Add(7)
	status, body := get(s, "/metrics")
	if status != 200 {
		t.Fatalf("got %d", status)
	}
	for _, line := range []string{
		`bridge_info{version="1.2.3"} 1`, `bridge_check_up{check="mongodb"} 1`, `bridge_check_up{check="ingest"} 0`,
		"test_uploads_total 7", "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("no line %q in\n%s", line, body)
		}
	}
}

// A collector that fails is said in the log.
func TestMetricsErrors(t *testing.T) {
	var log strings.Builder
	s := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.Registry().MustRegister(brokenCollector{})
	if status, _ := get(s, "/metrics"); status != 500 {
		t.Errorf("got %d, want 500", status)
	}
	if !strings.Contains(log.String(), "cannot collect metrics") {
		t.Errorf("log: %s", log.String())
	}
}

type brokenCollector struct{}

var brokenDesc = prometheus.NewDesc("broken", "x", nil, nil)

func (brokenCollector) Describe(ch chan<- *prometheus.Desc) { ch <- brokenDesc }
func (brokenCollector) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(brokenDesc, errors.New("broken"))
}

func TestLogs(t *testing.T) {
	s := New(Options{})
	if status, body := get(s, "/logs?co_id=65f0a1"); status != 200 || !strings.Contains(body, "request_id=65f0a1\n") {
		t.Errorf("got %d %s", status, body)
	}
	for _, query := range []string{"", "?co_id=", "?co_id=%3Cscript%3E", "?co_id=" + strings.Repeat("x", 65)} {
		if status, body := get(s, "/logs"+query); status != 404 || strings.Contains(body, "script") {
			t.Errorf("%q: got %d %s", query, status, body)
		}
	}
}

// Every path named is served, for GET only.
func TestPaths(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	for _, path := range New(Options{}).Paths() {
		res, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if strings.Contains(string(body), "404 page not found") {
			t.Errorf("%s is not served", path)
		}
		res, err = http.Post(server.URL+path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d, want 405", path, res.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
