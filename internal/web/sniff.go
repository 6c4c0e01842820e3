package web

import (
	"net"
	"strings"
	"sync"
)

// preface is what every HTTP/2 client sends first. Nothing that speaks
// HTTP/1 can begin with it.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// protocol is what a connection speaks.
type protocol int

const (
	protocolUnknown protocol = iota // more bytes are needed
	protocolHTTP1                   // or nonsense, which the HTTP server answers with 400
	protocolHTTP2
)

// classify looks at the first bytes of a connection. The answer does not
// depend on how they arrived: the first byte that leaves the preface decides
// for HTTP/1, the whole preface for HTTP/2.
func classify(head []byte) protocol {
	switch {
	case !strings.HasPrefix(preface, string(head[:min(len(head), len(preface))])):
		return protocolHTTP1
	case len(head) < len(preface):
		return protocolUnknown
	}
	return protocolHTTP2
}

// sniffed gives back the bytes that were read to find the protocol. It has
// one reader, like every connection.
type sniffed struct {
	net.Conn
	head []byte
}

func (s *sniffed) Read(p []byte) (int, error) {
	if len(s.head) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.head)
	s.head = s.head[n:]
	return n, nil
}

// queue is a net.Listener fed with connections of known protocol. Handing
// over waits for the server to accept; the number of waiting connections is
// bounded by the listener's.
type queue struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// put hands c over, or closes it when nobody accepts any more.
func (q *queue) put(c net.Conn) {
	select {
	case q.conns <- c:
	case <-q.closed:
		_ = c.Close()
	}
}

// Accept implements net.Listener.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr implements net.Listener.
func (q *queue) Addr() net.Addr { return q.addr }
