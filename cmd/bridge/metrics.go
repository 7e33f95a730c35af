package main

import (
	"context"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/protocol"
	"github.com/isthmus-sync/isthmus/transform"
)

// meters count what the history of this node tells of.
type meters struct {
	commits, entries, uploads, bytes prometheus.Counter
	retries, defects, errors         *prometheus.CounterVec
	seconds, changesets, hints       prometheus.Histogram
}

func newMeters() *meters {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	sizes := []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000}
	m := &meters{
		commits:    counter("bridge_commits_total", "Commits of this node."),
		entries:    counter("bridge_history_entries_total", "Changesets that this node has appended to the history."),
		uploads:    counter("bridge_uploads_total", "UPLOAD messages that this node has committed."),
		bytes:      counter("bridge_upload_bytes_total", "Bytes of the changesets in them."),
		retries:    vec("bridge_commit_retries_total", "Commits that were tried again, by reason.", "reason"),
		defects:    vec("bridge_defects_healed_total", "Objects put right that devices are known to get wrong, by kind of defect.", "kind"),
		errors:     vec("bridge_session_errors_total", "Errors of the protocol that clients of this node were sent, by code.", "code", "name"),
		seconds:    histogram("bridge_commit_seconds", "Time from a commit's first attempt until it is durable.", .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60),
		changesets: histogram("bridge_commit_changesets", "Changesets of devices in a commit that has any.", sizes...),
		hints:      histogram("bridge_commit_hints", "Documents looked at by a commit that ingests.", sizes...),
	}
	for _, reason := range history.RetryReasons {
		m.retries.WithLabelValues(string(reason))
	}
	for code, info := range protocol.Errors {
		if !info.Kills {
			m.errors.WithLabelValues(strconv.Itoa(int(code)), info.Name)
		}
	}
	for _, kind := range transform.DefectKinds {
		m.defects.WithLabelValues(string(kind))
	}
	return m
}

// register makes the meters part of what is collected.
func (m *meters) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.commits, m.entries, m.uploads, m.bytes, m.retries, m.defects, m.errors, m.seconds, m.changesets, m.hints} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// onBatch counts a commit.
func (m *meters) onBatch(b history.Batch) {
	m.commits.Inc()
	m.entries.Add(float64(b.Entries))
	m.uploads.Add(float64(b.Uploads))
	m.bytes.Add(float64(b.Bytes))
	m.seconds.Observe(b.Took.Seconds())
	if b.Changesets > 0 {
		m.changesets.Observe(float64(b.Changesets))
	}
	if b.Hints > 0 {
		m.hints.Observe(float64(b.Hints))
	}
}

func (m *meters) onRetry(why history.RetryReason) { m.retries.WithLabelValues(string(why)).Inc() }
func (m *meters) onDefect(kind string)            { m.defects.WithLabelValues(kind).Inc() }
func (m *meters) onError(code protocol.ErrorCode) {
	m.errors.WithLabelValues(strconv.Itoa(int(code)), protocol.Errors[code].Name).Inc()
}

// figures are the metrics that are read when they are asked for.
type figures struct{ node *node }

var (
	connectionsDesc = describe("bridge_connections", "Sync connections to this node that are open.")
	sessionsDesc    = describe("bridge_sessions", "Sessions on this node whose client file is known.")
	presenceDesc    = describe("bridge_presence_sessions", "Sessions on all nodes.")

	versionDesc = describe("bridge_history_version", "Newest history version that this node knows.")
	waitingDesc = describe("bridge_uploads_waiting", "Uploads on this node that wait for a commit.")
	stalledDesc = describe("bridge_uploads_waiting_held", "Those of them that wait for a held class.")

	ingestingDesc = describe("bridge_ingest_running", "1 when this node reads the change stream.")
	eventsDesc    = describe("bridge_ingest_events_total", "Change events that this node has read.")
	hintsDesc     = describe("bridge_ingest_hints_total", "Those of them about synced documents, the bridge's own writes left out.")
	lagDesc       = describe("bridge_ingest_lag_seconds", "How far what is committed is behind MongoDB; on the node that reads.")
	tokenDesc     = describe("bridge_resume_token_age_seconds", "How long ago the place is up to which the change stream is read.")
	windowDesc    = describe("bridge_oplog_window_seconds", "How far MongoDB's oplog reaches back; absent where that is unknown.")

	unsyncedDesc = describe("bridge_unsynced_documents", "Documents that can't be synced, on all nodes.", "class")
	heldDesc     = describe("bridge_class_held", "1 for a class that is held; asks is true when an operator has to decide.", "class", "asks")
	lookedDesc   = describe("bridge_scan_looked", "Documents that the comparison of a class with its collection, which this node runs, has looked at.", "class")
	totalDesc    = describe("bridge_scan_total", "Documents that it has to look at, about.", "class")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		connectionsDesc, sessionsDesc, presenceDesc, versionDesc, waitingDesc, stalledDesc, ingestingDesc, eventsDesc,
		hintsDesc, lagDesc, tokenDesc, windowDesc, unsyncedDesc, heldDesc, lookedDesc, totalDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f figures) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	n := f.node
	stats := n.sessions.Stats()
	gauge(connectionsDesc, float64(stats.Connections))
	gauge(sessionsDesc, float64(stats.Sessions))

	head, _ := n.file.Head()
	gauge(versionDesc, float64(head))
	waiting, held := n.file.Waiting()
	gauge(waitingDesc, float64(waiting))
	gauge(stalledDesc, float64(held))
	for _, h := range n.file.Holds() {
		gauge(heldDesc, 1, h.Class, map[bool]string{true: "true", false: "false"}[h.Asks])
	}

	gauge(ingestingDesc, map[bool]float64{true: 1}[n.ingester.Running()])
	counter(eventsDesc, n.ingester.Events())
	counter(hintsDesc, n.ingester.Hints())
	if lag, known := n.ingester.Lag(); known {
		gauge(lagDesc, lag.Seconds())
	}
	for _, p := range n.ingester.Scans() {
		if !p.Done {
			gauge(lookedDesc, float64(p.Looked), p.Class)
			gauge(totalDesc, float64(p.Total), p.Class)
		}
	}

	found := n.survey.look(context.Background())
	gauge(presenceDesc, float64(found.sessions))
	for class, count := range found.unsynced {
		gauge(unsyncedDesc, float64(count), class)
	}
	if age, known := found.tokenAge(); known {
		gauge(tokenDesc, age.Seconds())
	}
	if window, known := found.window(); known {
		gauge(windowDesc, window.Seconds())
	}
}
