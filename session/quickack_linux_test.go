package session

import (
	"context"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/protocol"
)

// The clients' sockets have Nagle's algorithm on: their second small message
// leaves when the first is acknowledged. A server that delays its
// acknowledgements, as TCP does, costs them some 40 ms wherever it has nothing
// to answer.
func TestSmallMessagesAreAcknowledgedAtOnce(t *testing.T) {
	r := newRig(t, func(o *Options) { o.QuietDelay = time.Minute })
	r.file.commit(dogs())
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetNoDelay(false)
		}
		return c, err
	}}
	defer transport.CloseIdleConnections()
	w, err := r.tryDialBy(&http.Client{Transport: transport}, "user:ann", protocol.Offer(true)...)
	if err != nil {
		t.Fatal(err)
	}
	expect[*protocol.LogMessage](w)
	p := w.open(1)
	var took []time.Duration
	for range 15 {
		start := time.Now()
		p.upload() // nothing to answer
		p.awaitMark()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	const delayed = 35 * time.Millisecond
	if median := took[len(took)/2]; median > delayed {
		t.Errorf("a message behind another took %v, all: %v", median, took)
	}
}
