package main

import "github.com/prometheus/client_golang/prometheus"

// figures are the metrics of packages that only know their counts.
type figures struct{ node *node }

var (
	connectionsDesc = prometheus.NewDesc("bridge_connections", "Sync connections that are open.", nil, nil)
	sessionsDesc    = prometheus.NewDesc("bridge_sessions", "Sessions whose client file is known.", nil, nil)
	ingestingDesc   = prometheus.NewDesc("bridge_ingest_running", "1 when this node reads the change stream.", nil, nil)
	eventsDesc      = prometheus.NewDesc("bridge_ingest_events_total", "Change events that this node has read.", nil, nil)
)

// Describe implements prometheus.Collector.
func (figures) Describe(ch chan<- *prometheus.Desc) {
	ch <- connectionsDesc
	ch <- sessionsDesc
	ch <- ingestingDesc
	ch <- eventsDesc
}

// Collect implements prometheus.Collector.
func (f figures) Collect(ch chan<- prometheus.Metric) {
	stats := f.node.sessions.Stats()
	running := 0.0
	if f.node.ingester.Running() {
		running = 1
	}
	ch <- prometheus.MustNewConstMetric(connectionsDesc, prometheus.GaugeValue, float64(stats.Connections))
	ch <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(stats.Sessions))
	ch <- prometheus.MustNewConstMetric(ingestingDesc, prometheus.GaugeValue, running)
	ch <- prometheus.MustNewConstMetric(eventsDesc, prometheus.CounterValue, float64(f.node.ingester.Events()))
}
