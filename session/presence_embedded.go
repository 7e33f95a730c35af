package session

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embeddedTick is the step of an embedded Redis's clock.
const embeddedTick = time.Second

// EmbeddedRedis is a Redis inside this process, on a free port of 127.0.0.1: a
// deployment of one node runs the same code as one of many.
type EmbeddedRedis struct {
	server *miniredis.Miniredis
	stop   chan struct{}
	done   sync.WaitGroup
}

// StartEmbeddedRedis runs an empty Redis.
func StartEmbeddedRedis() (*EmbeddedRedis, error) {
	server, err := miniredis.Run()
	if err != nil {
		return nil, fmt.Errorf("start embedded Redis: %w", err)
	}
	e := &EmbeddedRedis{server: server, stop: make(chan struct{})}
	e.done.Add(1)
	go func() {
		defer e.done.Done()
		e.keepTime()
	}()
	return e, nil
}

// keepTime lets keys expire: the embedded server has no clock of its own.
func (e *EmbeddedRedis) keepTime() {
	ticker := time.NewTicker(embeddedTick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-e.stop:
			return
		case now := <-ticker.C:
			e.server.FastForward(now.Sub(last))
			last = now
		}
	}
}

// Addr is its host and port.
func (e *EmbeddedRedis) Addr() string { return e.server.Addr() }

// Close ends it; what it held is gone.
func (e *EmbeddedRedis) Close() {
	close(e.stop)
	e.done.Wait()
	e.server.Close()
}
