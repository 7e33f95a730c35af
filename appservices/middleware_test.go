package appservices

import (
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestCrossOrigin(t *testing.T) {
	const origin = "https://app.example.com"
	cases := []struct {
		name      string
		allowed   []string
		origin    string
		wantAllow string
	}{
		{"any", []string{"*"}, origin, "*"},
		{"listed", []string{"https://x.example.com", origin}, origin, origin},
		{"not listed", []string{"https://x.example.com"}, origin, ""},
		{"none", nil, origin, ""},
		{"not a browser", []string{"*"}, "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.CORSOrigins = c.allowed })
			headers := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"}
			if c.origin != "" {
				headers = append(headers, "Origin: "+c.origin)
			}
			pre := r.ask("OPTIONS", loginPath, "", headers...)
			if pre.StatusCode != 204 {
				t.Errorf("preflight: %d, want 204", pre.StatusCode)
			}
			if got := pre.Header.Get("Access-Control-Allow-Origin"); got != c.wantAllow {
				t.Errorf("preflight allows %q, want %q", got, c.wantAllow)
			}
			wantHeaders := ""
			if c.wantAllow != "" {
				wantHeaders = "authorization,content-type"
			}
			if got := pre.Header.Get("Access-Control-Allow-Headers"); got != wantHeaders {
				t.Errorf("preflight allows the headers %q, want %q", got, wantHeaders)
			}
			res := r.ask("POST", loginPath, "{}", headers[2:]...)
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != c.wantAllow || res.StatusCode != 200 {
				t.Errorf("request: %d, allows %q, want %q", res.StatusCode, got, c.wantAllow)
			}
			failed := r.ask("GET", "/api/client/v2.0/auth/profile", "", headers[2:]...)
			if got := failed.Header.Get("Access-Control-Allow-Origin"); got != c.wantAllow {
				t.Errorf("error: allows %q, want %q", got, c.wantAllow)
			}
		})
	}
}

// Tokens are nowhere in the log, whichever way they came.
func TestLogHoldsNoTokens(t *testing.T) {
	r := newRig(t)
	u := r.login(t)
	r.ask("GET", "/api/client/v2.0/auth/profile?baas_at="+u.access, "", asBearer(u.access))
	r.ask("GET", "/api/client/v2.0/app/tasks-abcde/unknown?baas_at="+u.access+"&baas_request=secret", "")
	r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh))
	r.ask("POST", "/api/client/v2.0/auth/session", "", asBearer(u.refresh+"x"))
	r.store.broken = true
	r.ask("POST", "/api/client/v2.0/auth/session?baas_at="+u.access, "", asBearer(u.refresh))
	log := r.log.String()
	if !strings.Contains(log, "user logged in") || !strings.Contains(log, "cannot answer") {
		t.Fatalf("the log lacks what it should have:\n%s", log)
	}
	for _, secret := range []string{u.access, u.refresh, "baas_at", "baas_request", "secret", strings.Split(u.refresh, ".")[2]} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	r := newRig(t, func(o *Options) { o.Metrics = registry })
	r.login(t)
	r.ask("GET", "/api/client/v2.0/nothing", "")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetHistogram().GetSampleCount()
	}
	want := map[string]uint64{"POST /api/client/v2.0/app/{app}/auth/providers/{name}/login 200": 1, "none 404": 1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
