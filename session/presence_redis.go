package session

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

const (
	// redisTimeout bounds one exchange with Redis. It costs nobody but the
	// board: sessions never wait for it.
	redisTimeout = 2 * time.Second

	// Pauses between attempts while Redis cannot be reached.
	redisRetryMin = 200 * time.Millisecond
	redisRetryMax = 5 * time.Second

	// redisHeartbeat is how long an outage can go unnoticed by a node that has
	// nothing to say.
	redisHeartbeat = 5 * time.Second

	// indexGrace is how long an expired session stays in the index of sessions:
	// room for nodes whose clocks differ. The session's own key expires in time.
	indexGrace = time.Minute

	// redisChunk is how many sessions one command names at most.
	redisChunk = 512
)

// RedisOptions say where the board is and whose it is. Addr, App and Node are
// required.
type RedisOptions struct {
	Addr     string // host:port
	Username string
	Password string
	DB       int
	TLS      *tls.Config // nil connects in the clear
	App      string      // app id: apps that share a Redis do not see each other
	Node     string      // this node's name, unique in the deployment
	Logger   *slog.Logger
}

// RedisPresence is the presence board of a deployment of several nodes. In
// Redis each session is a key that expires at its deadline, the ids of all are
// in one sorted set, and each server file has a publish/subscribe channel.
//
// What this node has to say is kept in a MemoryPresence as well, and one
// goroutine brings Redis up to it: what waits is sent in one pipeline when the
// previous one has returned. When Redis fails, changes stay marked and are sent
// when it is back; then all of the node's sessions are put on the board again.
//
// A RedisPresence is a prometheus.Collector: errors and whether the board is up.
type RedisPresence struct {
	opts   RedisOptions
	local  *MemoryPresence
	rdb    *redis.Client
	pubsub *redis.PubSub
	logger *slog.Logger

	mu      sync.Mutex
	waiting batch

	pending  chan struct{}       // holds a value when there is something to send
	listened map[string]struct{} // server files subscribed to in Redis; the sender's own

	failures atomic.Uint64
	down     atomic.Bool

	cancel context.CancelFunc
	done   sync.WaitGroup
	close  sync.Once
}

var (
	_ Presence             = (*RedisPresence)(nil)
	_ prometheus.Collector = (*RedisPresence)(nil)
)

// OpenRedisPresence returns the board in Redis. A Redis that cannot be reached
// is an outage like any other: logged, counted, and mended when it is there.
func OpenRedisPresence(opts RedisOptions) *RedisPresence {
	return openRedisPresence(opts, time.Now)
}

func openRedisPresence(opts RedisOptions, now func() time.Time) *RedisPresence {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	silenceClient()
	rdb := redis.NewClient(&redis.Options{
		Addr: opts.Addr, Username: opts.Username, Password: opts.Password, DB: opts.DB,
		TLSConfig:   opts.TLS,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout,
		ContextTimeoutEnabled: true,
		MaxRetries:            -1, // the sender has its own, and an outage must be seen
		DialerRetries:         1,
	})
	ctx, cancel := context.WithCancel(context.Background())
	p := &RedisPresence{
		opts:     opts,
		local:    newMemoryPresence(now),
		rdb:      rdb,
		pubsub:   rdb.Subscribe(ctx),
		logger:   opts.Logger,
		waiting:  newBatch(),
		pending:  make(chan struct{}, 1),
		listened: map[string]struct{}{},
		cancel:   cancel,
	}
	p.done.Add(2)
	go func() { defer p.done.Done(); p.send(ctx) }()
	go func() { defer p.done.Done(); p.listen() }()
	return p
}

// silenceClient keeps the Redis client from printing each failed attempt to
// standard error: an outage is logged here, once.
var silenceClient = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func (p *RedisPresence) prefix() string { return "bridge:{" + p.opts.App + "}:" }

func (p *RedisPresence) sessionKey(id string) string { return p.prefix() + "session:" + id }

func (p *RedisPresence) indexKey() string { return p.prefix() + "sessions" }

func (p *RedisPresence) channel(file string) string { return p.prefix() + "wake:" + file }

// mark notes that something has to be sent.
func (p *RedisPresence) mark(note func(*batch)) {
	p.mu.Lock()
	note(&p.waiting)
	p.mu.Unlock()
	p.ring()
}

func (p *RedisPresence) ring() {
	select {
	case p.pending <- struct{}{}:
	default:
	}
}

// Touch implements Presence.
func (p *RedisPresence) Touch(who Attendee, deadline time.Time) {
	p.local.Touch(who, deadline)
	p.mark(func(b *batch) { b.sessions[who.ID] = struct{}{} })
}

// Remove implements Presence.
func (p *RedisPresence) Remove(id string) {
	p.local.Remove(id)
	p.mark(func(b *batch) { b.sessions[id] = struct{}{} })
}

// Publish implements Presence. This node's own subscribers are woken at once.
func (p *RedisPresence) Publish(file string) {
	p.local.Publish(file)
	p.mark(func(b *batch) { b.files[file] = struct{}{} })
}

// Subscribe implements Presence.
func (p *RedisPresence) Subscribe(file string) (<-chan struct{}, func()) {
	wakeups, cancel := p.local.Subscribe(file)
	p.mark(func(b *batch) { b.channels[file] = struct{}{} })
	return wakeups, func() {
		cancel()
		p.mark(func(b *batch) { b.channels[file] = struct{}{} })
	}
}

// List implements Presence.
func (p *RedisPresence) List(ctx context.Context) ([]Attendee, error) {
	out, err := p.list(ctx)
	if err != nil {
		p.failures.Add(1)
		return p.local.attendees(), fmt.Errorf("list sessions: %w: %w", ErrPresenceDegraded, err)
	}
	return out, nil
}

func (p *RedisPresence) list(ctx context.Context) ([]Attendee, error) {
	ids, err := p.rdb.ZRange(ctx, p.indexKey(), 0, -1).Result()
	if err != nil {
		return nil, err
	}
	out := make([]Attendee, 0, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), redisChunk)
		keys := make([]string, n)
		for i, id := range ids[:n] {
			keys[i] = p.sessionKey(id)
		}
		ids = ids[n:]
		values, err := p.rdb.MGet(ctx, keys...).Result()
		if err != nil {
			return nil, err
		}
		for _, v := range values {
			text, ok := v.(string)
			if !ok {
				continue // expired
			}
			var who Attendee
			if err := json.Unmarshal([]byte(text), &who); err != nil {
				return nil, fmt.Errorf("read session: %w", err)
			}
			out = append(out, who)
		}
	}
	sortAttendees(out)
	return out, nil
}

// Count implements Presence.
func (p *RedisPresence) Count(ctx context.Context) (int, error) {
	after := "(" + strconv.FormatInt(p.local.now().UnixMilli(), 10)
	n, err := p.rdb.ZCount(ctx, p.indexKey(), after, "+inf").Result()
	if err != nil {
		p.failures.Add(1)
		return len(p.local.attendees()), fmt.Errorf("count sessions: %w: %w", ErrPresenceDegraded, err)
	}
	return int(n), nil
}

// Degraded reports whether the last exchange with Redis failed.
func (p *RedisPresence) Degraded() bool { return p.down.Load() }

// Close implements Presence. It also ends the connections to Redis.
func (p *RedisPresence) Close() error {
	var err error
	p.close.Do(func() {
		p.cancel()
		errSub := p.pubsub.Close()
		p.done.Wait()
		p.remember()
		sessions := p.take().sessions
		_ = p.local.Close()
		// Without Redis the keys stay, and expire at their deadlines.
		_ = p.update(context.Background(), batch{sessions: sessions})
		err = errors.Join(errSub, p.rdb.Close())
	})
	return err
}

// batch is what one round of the sender brings to Redis. The names are marks
// only: what is true of them is in the MemoryPresence.
type batch struct {
	sessions map[string]struct{} // ids whose key in Redis may be out of date
	files    map[string]struct{} // server files to publish
	channels map[string]struct{} // server files whose subscription may be out of date
	all      bool                // Redis may have forgotten this node's sessions
}

func newBatch() batch {
	return batch{sessions: map[string]struct{}{}, files: map[string]struct{}{}, channels: map[string]struct{}{}}
}

func (p *RedisPresence) take() batch {
	p.mu.Lock()
	b := p.waiting
	p.waiting = newBatch()
	p.mu.Unlock()
	if b.all {
		for _, who := range p.local.attendees() {
			b.sessions[who.ID] = struct{}{}
		}
	}
	return b
}

// remember has all of this node's sessions sent again.
func (p *RedisPresence) remember() { p.mark(func(b *batch) { b.all = true }) }

// putBack marks again what could not be sent.
func (p *RedisPresence) putBack(b batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.waiting.sessions, b.sessions)
	maps.Copy(p.waiting.files, b.files)
	maps.Copy(p.waiting.channels, b.channels)
}

// send brings Redis up to what this node knows until the context ends.
func (p *RedisPresence) send(ctx context.Context) {
	var (
		retry  <-chan time.Time
		pause  = redisRetryMin
		outage time.Time
	)
	heartbeat := time.NewTicker(redisHeartbeat)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry:
		case <-heartbeat.C:
			if retry != nil {
				continue
			}
		case <-p.pending:
			if retry != nil {
				continue // it goes with the next attempt
			}
		}
		if retry != nil {
			p.remember() // keys may have expired, and a new Redis may be empty
		}
		b := p.take()
		err := p.update(ctx, b)
		if ctx.Err() != nil {
			p.putBack(b)
			return
		}
		if err == nil {
			if retry != nil {
				p.logger.Info("presence restored", "redis", p.opts.Addr, "after", time.Since(outage).Round(time.Millisecond))
			}
			p.down.Store(false)
			retry, pause = nil, redisRetryMin
			continue
		}
		p.putBack(b)
		p.failures.Add(1)
		if retry == nil {
			outage = time.Now()
			p.down.Store(true)
			p.logger.Warn("presence degraded to this node until Redis is back", "redis", p.opts.Addr, "error", err)
		}
		retry = time.After(pause)
		pause = min(2*pause, redisRetryMax)
	}
}

// update sends one batch.
func (p *RedisPresence) update(ctx context.Context, b batch) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := p.updateChannels(ctx, b.channels); err != nil {
		return err
	}
	pipe := p.rdb.Pipeline()
	now := p.local.now()
	for id := range b.sessions {
		a, ok := p.local.lookup(id)
		if !ok {
			pipe.Del(ctx, p.sessionKey(id))
			pipe.ZRem(ctx, p.indexKey(), id)
			continue
		}
		text, err := json.Marshal(a.who)
		if err != nil {
			return fmt.Errorf("describe session: %w", err)
		}
		pipe.Set(ctx, p.sessionKey(id), text, max(a.deadline.Sub(now), time.Millisecond))
		pipe.ZAdd(ctx, p.indexKey(), redis.Z{Score: float64(a.deadline.UnixMilli()), Member: id})
	}
	if len(b.sessions) > 0 {
		pipe.ZRemRangeByScore(ctx, p.indexKey(), "-inf", strconv.FormatInt(now.Add(-indexGrace).UnixMilli(), 10))
	}
	for file := range b.files {
		pipe.Publish(ctx, p.channel(file), p.opts.Node)
	}
	if pipe.Len() == 0 {
		return p.rdb.Ping(ctx).Err()
	}
	_, err := pipe.Exec(ctx)
	return err
}

// updateChannels subscribes to the files that someone on this node listens for
// and leaves those that nobody does.
func (p *RedisPresence) updateChannels(ctx context.Context, files map[string]struct{}) error {
	var join, leave []string
	for file := range files {
		_, listened := p.listened[file]
		switch wanted := p.local.subscribed(file); {
		case wanted && !listened:
			join = append(join, file)
		case !wanted && listened:
			leave = append(leave, file)
		}
	}
	if len(join) > 0 {
		if err := p.pubsub.Subscribe(ctx, p.channelsOf(join)...); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		for _, file := range join {
			p.listened[file] = struct{}{}
		}
	}
	if len(leave) > 0 {
		if err := p.pubsub.Unsubscribe(ctx, p.channelsOf(leave)...); err != nil {
			return fmt.Errorf("unsubscribe: %w", err)
		}
		for _, file := range leave {
			delete(p.listened, file)
		}
	}
	return nil
}

func (p *RedisPresence) channelsOf(files []string) []string {
	out := make([]string, len(files))
	for i, file := range files {
		out[i] = p.channel(file)
	}
	return out
}

// listen wakes this node's subscribers until the subscription is closed. When a
// subscription was made or remade they are woken once, since wake-ups may have
// been missed; one remade shows that the connection was lost, perhaps with all
// that Redis held.
func (p *RedisPresence) listen() {
	prefix := p.channel("")
	confirmed := map[string]bool{}
	for m := range p.pubsub.ChannelWithSubscriptions() {
		switch m := m.(type) {
		case *redis.Subscription:
			if m.Kind != "subscribe" {
				delete(confirmed, m.Channel)
				continue
			}
			if confirmed[m.Channel] {
				p.remember()
			}
			confirmed[m.Channel] = true
			p.local.Publish(strings.TrimPrefix(m.Channel, prefix))
		case *redis.Message:
			if m.Payload != p.opts.Node {
				p.local.Publish(strings.TrimPrefix(m.Channel, prefix))
			}
		}
	}
}

var (
	presenceErrors = prometheus.NewDesc("bridge_presence_errors_total",
		"Failed exchanges with Redis.", nil, nil)
	presenceUp = prometheus.NewDesc("bridge_presence_up",
		"1 when the presence board in Redis is reachable, 0 while presence is degraded to this node.", nil, nil)
)

// Describe implements prometheus.Collector.
func (p *RedisPresence) Describe(ch chan<- *prometheus.Desc) {
	ch <- presenceErrors
	ch <- presenceUp
}

// Collect implements prometheus.Collector.
func (p *RedisPresence) Collect(ch chan<- prometheus.Metric) {
	up := 1.0
	if p.down.Load() {
		up = 0
	}
	ch <- prometheus.MustNewConstMetric(presenceErrors, prometheus.CounterValue, float64(p.failures.Load()))
	ch <- prometheus.MustNewConstMetric(presenceUp, prometheus.GaugeValue, up)
}
