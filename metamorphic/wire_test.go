package metamorphic

import (
	"net"
	"sync"
)

// wire is a device's network: it passes bytes between the device and a node,
// and breaks when it is told to.
type wire struct {
	listener net.Listener
	running  sync.WaitGroup

	mu     sync.Mutex
	target string // address of the node
	open   map[*passage]bool
	left   [2]int     // bytes until it breaks, down and up; -1 is never
	mute   bool       // what comes down is lost
	lost   []*passage // the device has left, and the node does not know
	closed bool
}

// passage is one connection through the wire.
type passage struct {
	device, node net.Conn
	// Under the wire's mu:
	vanished bool // the device's end is gone
	mute     bool // something that came down was lost, and so is all that follows
}

func (l *passage) close() {
	l.device.Close()
	l.node.Close()
}

const (
	down = 0
	up   = 1
)

func newWire(target string) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: l, target: target, open: map[*passage]bool{}, left: [2]int{-1, -1}}
	w.running.Go(w.accept)
	return w, nil
}

func (w *wire) url() string { return "http://" + w.listener.Addr().String() }

func (w *wire) accept() {
	for {
		conn, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.running.Go(func() { w.connect(conn) })
	}
}

func (w *wire) connect(conn net.Conn) {
	w.mu.Lock()
	target := w.target
	w.mu.Unlock()
	node, err := net.Dial("tcp", target)
	if err != nil {
		conn.Close()
		return
	}
	l := &passage{device: conn, node: node}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		l.close()
		return
	}
	w.open[l] = true
	w.mu.Unlock()
	w.running.Go(func() { w.pass(l, node, conn, down) })
	w.pass(l, conn, node, up)
}

// pass copies one direction until the connection ends.
func (w *wire) pass(l *passage, from, to net.Conn, direction int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			allowed, lost, breaks := w.allow(l, direction, n)
			if !lost {
				_, werr := to.Write(buf[:allowed])
				if err == nil {
					err = werr
				}
			}
			if breaks {
				w.cut()
				return
			}
		}
		if err != nil {
			w.mu.Lock()
			delete(w.open, l)
			vanished := l.vanished
			w.mu.Unlock()
			if !vanished {
				l.close()
			}
			return
		}
	}
}

// allow says how many of n bytes pass, whether they are lost on the way, and
// whether the wire breaks after them.
func (w *wire) allow(l *passage, direction, n int) (allowed int, lost, breaks bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.mute = l.mute || w.mute && direction == down
	lost = l.mute && direction == down
	if w.left[direction] < 0 {
		return n, lost, false
	}
	if n < w.left[direction] {
		w.left[direction] -= n
		return n, lost, false
	}
	n = w.left[direction]
	w.left[direction] = -1
	return n, lost, true
}

// cut breaks all connections. The wire is whole again at once.
func (w *wire) cut() {
	w.mu.Lock()
	broken := passages(w.open)
	w.open = map[*passage]bool{}
	w.mute = false
	w.left = [2]int{-1, -1}
	w.mu.Unlock()
	for _, l := range broken {
		l.close()
	}
}

func passages(m map[*passage]bool) []*passage {
	out := make([]*passage, 0, len(m))
	for l := range m {
		out = append(out, l)
	}
	return out
}

// vanish takes the device away without a word: the node's connections stay open,
// with nobody at the other end. The wire is whole again at once.
func (w *wire) vanish() {
	w.mu.Lock()
	broken := passages(w.open)
	w.open = map[*passage]bool{}
	w.mute = false
	w.lost = append(w.lost, broken...)
	for _, l := range broken {
		l.vanished = true
	}
	w.mu.Unlock()
	for _, l := range broken {
		l.device.Close()
	}
}

func (w *wire) cutAfter(direction, bytes int) {
	w.mu.Lock()
	w.left[direction] = bytes
	w.mu.Unlock()
}

func (w *wire) muteDown() {
	w.mu.Lock()
	w.mute = true
	w.mu.Unlock()
}

func (w *wire) lead(target string) {
	w.mu.Lock()
	w.target = target
	w.mu.Unlock()
}

func (w *wire) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.listener.Close()
	w.cut()
	for _, l := range w.lost {
		l.close()
	}
	w.running.Wait()
}
