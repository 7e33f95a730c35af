package faults

import (
	"io"
	"net"
	"sync"
	"time"
)

// dialPatience is how long a node has to take a connection.
const dialPatience = 2 * time.Second

// gateway is what stands before the nodes in the devices' sight: a new connection
// goes to the next node that takes it.
type gateway struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	nodes  []string // addresses
	next   int
	open   map[net.Conn]bool
	closed bool
}

func newGateway(nodes []string) (*gateway, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gateway{listener: l, nodes: nodes, open: map[net.Conn]bool{}}
	g.running.Go(g.accept)
	return g, nil
}

func (g *gateway) url() string { return "http://" + g.listener.Addr().String() }

func (g *gateway) accept() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.running.Go(func() { g.pass(conn) })
	}
}

// dial connects to the next node that is there, nil if none is.
func (g *gateway) dial() net.Conn {
	g.mu.Lock()
	first := g.next
	g.next = (g.next + 1) % len(g.nodes)
	g.mu.Unlock()
	for i := range g.nodes {
		if conn, err := net.DialTimeout("tcp", g.nodes[(first+i)%len(g.nodes)], dialPatience); err == nil {
			return conn
		}
	}
	return nil
}

// pass carries a connection until one of its ends is gone.
func (g *gateway) pass(device net.Conn) {
	defer device.Close()
	node := g.dial()
	if node == nil {
		return
	}
	defer node.Close()
	if !g.keep(device, node) {
		return
	}
	defer g.forget(device, node)
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		to.Close()
		from.Close()
	}
	both.Go(func() { carry(node, device) })
	both.Go(func() { carry(device, node) })
	both.Wait()
}

func (g *gateway) keep(conns ...net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		g.open[c] = true
	}
	return !g.closed
}

func (g *gateway) forget(conns ...net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range conns {
		delete(g.open, c)
	}
}

func (g *gateway) close() {
	g.listener.Close()
	g.mu.Lock()
	g.closed = true
	for c := range g.open {
		c.Close()
	}
	g.mu.Unlock()
	g.running.Wait()
}
