package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/device"
)

// metric is the value of a metric, with its labels as they are printed.
func (s *scene) metric(name string) (float64, bool) {
	s.t.Helper()
	_, body := get(s.t, "http://"+s.bridge.addr+"/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return v, true
}

func (s *scene) waitMetric(name string, want float64) {
	s.t.Helper()
	waitFor(s.t, name+" is "+strconv.FormatFloat(want, 'g', -1, 64), func() bool {
		got, found := s.metric(name)
		return found && got == want
	})
}

func TestFigures(t *testing.T) {
	t.Parallel()
	s := newScene(t, "figures-abcde", 3)
	s.waitMetric("bridge_ingest_running", 1)
	s.waitMetric("bridge_connections", 1)
	s.waitMetric("bridge_sessions", 1)
	s.waitMetric("bridge_presence_sessions", 1)
	s.waitMetric("bridge_uploads_waiting", 0)
	s.waitMetric("bridge_uploads_waiting_held", 0)
	s.waitMetric(`bridge_commit_retries_total{reason="head_moved"}`, 0)
	version, _ := s.metric("bridge_history_version")
	entries, _ := s.metric("bridge_history_entries_total")
	commits, _ := s.metric("bridge_commits_total")
	uploads, _ := s.metric("bridge_uploads_total")
	bytes, _ := s.metric("bridge_upload_bytes_total")
	if version < 2 || entries != version || commits < 2 || uploads < 1 || bytes < 1 {
		t.Errorf("version %v, entries %v, commits %v, uploads %v, bytes %v", version, entries, commits, uploads, bytes)
	}
	timed, _ := s.metric("bridge_commit_seconds_count")
	sized, _ := s.metric("bridge_commit_changesets_count")
	if timed < commits || sized < 1 || sized > timed {
		t.Errorf("%v commits are timed of %v, %v have a size", timed, commits, sized)
	}

	// The comparison of the class may have met uploads, and commits what it looked at, too.
	hinted, _ := s.metric("bridge_commit_hints_count")
	s.set(1, bson.D{{Key: "age", Value: "three"}})
	s.waitMetric(`bridge_unsynced_documents{class="Dog"}`, 1)
	s.waitMetric("bridge_ingest_hints_total", 1)
	waitFor(t, "a commit has looked at the document", func() bool {
		got, _ := s.metric("bridge_commit_hints_count")
		return got > hinted
	})
	const refused = `bridge_session_errors_total{code="231",name="compensating_write"}`
	s.waitMetric(refused, 0)
	s.write(func(tx *device.Tx) error { return tx.Set(device.At("Dog", changeset.IntKey(1), "age"), 4) })
	s.waitMetric(refused, 1)
	if events, _ := s.metric("bridge_ingest_events_total"); events < 1 {
		t.Errorf("%v events", events)
	}
	for _, name := range []string{"bridge_ingest_lag_seconds", "bridge_resume_token_age_seconds", "bridge_oplog_window_seconds"} {
		if v, found := s.metric(name); !found || v < 0 || v > 300 {
			t.Errorf("%s is %v, %v", name, v, found)
		}
	}
	// The class is compared with its collection when it is learnt, and once only.
	waitFor(t, "no comparison runs", func() bool { _, found := s.metric(`bridge_scan_total{class="Dog"}`); return !found })
}

// A held class shows in health and metrics, as do the uploads that wait for it.
func TestHeldClassIsTold(t *testing.T) {
	t.Parallel()
	s := newScene(t, "held-abcde", 2, func(c *config.Config) { c.Sync.GuardGrace = 200 * time.Millisecond })
	s.waitMetric("bridge_ingest_running", 1)
	if err := s.db.Collection("Dog").Drop(s.ctx); err != nil {
		t.Fatal(err)
	}
	s.waitMetric(`bridge_class_held{asks="true",class="Dog"}`, 1)
	if _, err := s.realm.Write(func(tx *device.Tx) error { return tx.Set(device.At("Dog", changeset.IntKey(1), "age"), 4) }); err != nil {
		t.Fatal(err)
	}
	s.waitMetric("bridge_uploads_waiting_held", 1)
	var status int
	var body string
	waitFor(t, "readiness tells it", func() bool {
		status, body = get(t, "http://"+s.bridge.addr+"/readyz")
		return strings.Contains(body, "class Dog is held since ")
	})
	if status != 200 || !strings.Contains(body, "collection Dog was dropped") || !strings.Contains(body, "bridge resync Dog --accept-erase") {
		t.Errorf("%d %s", status, body)
	}
	// So does the log of the next bridge.
	if err := s.bridge.stop(); err != nil {
		t.Fatal(err)
	}
	s.bridge = start(t, s.bridge.cfg)
	wantText(t, s.bridge.log.String(), "class is held", "collection Dog was dropped", "bridge resync Dog --accept-erase")
}

// The alarm of the resume token.
func TestEndangeredToken(t *testing.T) {
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, c := range []struct {
		name  string
		found findings
		want  string // part of the reason; empty: no alarm
	}{
		{"nothing was ever read", findings{oldest: ago(time.Hour)}, ""},
		{"all is well", findings{token: ago(10 * time.Second), oldest: ago(48 * time.Hour)}, ""},
		{"a third is not reached", findings{token: ago(15 * time.Hour), oldest: ago(48 * time.Hour)}, ""},
		{"a third is passed", findings{token: ago(17 * time.Hour), oldest: ago(48 * time.Hour)}, "read up to 17h0m0s ago, the oplog reaches back 48h0m0s"},
		{"a new oplog", findings{token: ago(time.Minute), oldest: ago(time.Minute)}, ""},
		{"a tiny oplog", findings{token: ago(3 * time.Minute), oldest: ago(5 * time.Minute)}, "read up to 3m0s ago, the oplog reaches back 5m0s"},
		{"it could not be read since", findings{token: ago(3 * time.Minute), read: ago(3*time.Minute - time.Second), oldest: ago(5 * time.Minute)}, ""},
		{"the oplog is unknown", findings{token: ago(7 * time.Hour)}, ""},
		{"the oplog is unknown, and much time has passed", findings{token: ago(9 * time.Hour)}, "is taken to reach back 24h0m0s"},
	} {
		if c.found.read.IsZero() {
			c.found.read = time.Now()
		}
		err := c.found.endangered()
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// The alarm and its end are logged once each.
func TestAlarmIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := &survey{logger: slog.New(slog.NewTextHandler(&log, nil))}
	for _, age := range []time.Duration{0, 20 * time.Hour, 21 * time.Hour, time.Second, time.Second} {
		s.found.read = time.Now()
		s.found.token = s.found.read.Add(-age)
		s.tell()
	}
	lost, safe := strings.Count(log.String(), "is about to be lost"), strings.Count(log.String(), "is safe again")
	if lost != 1 || safe != 1 {
		t.Errorf("%d alarms, %d ends:\n%s", lost, safe, &log)
	}
}

func TestOldestOperation(t *testing.T) {
	t.Parallel()
	client, err := openMongoDB(context.Background(), "oplog", config.MongoDB{URI: sharedMongo(t), Database: "oplog", MetadataDatabase: "__bridge_oplog"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	if at, err := oldestOperation(context.Background(), client); err != nil || time.Since(at) < 0 || time.Since(at) > time.Hour {
		t.Errorf("got %v, %v", at, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := oldestOperation(ctx, client); err == nil || errors.Is(err, errOplogUnknown) {
		t.Errorf("when MongoDB is not asked: %v, want another error", err)
	}
}
