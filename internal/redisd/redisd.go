// Package redisd runs a real redis-server for tests, on a free port of
// 127.0.0.1, with nothing kept on disk.
//
// A missing redis-server fails the tests; it never skips them.
package redisd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

// EnvPath is the environment variable that names the redis-server program to use.
const EnvPath = "REDIS_SERVER"

const (
	startTimeout = 20 * time.Second
	stopTimeout  = 10 * time.Second
	pollEvery    = 5 * time.Millisecond
)

// ErrNotFound is returned by Find when there is no redis-server program.
var ErrNotFound = errors.New("no redis-server found: apt-get install redis-server, or set " + EnvPath + " to its path")

// Server is a running redis-server.
type Server struct {
	// Addr is its host and port.
	Addr string

	path    string
	process *subprocess.Process
	output  *subprocess.Tail
}

// Find is the path of the redis-server program: what REDIS_SERVER names, else
// the one on the PATH.
func Find() (string, error) {
	path := os.Getenv(EnvPath)
	if path == "" {
		path = "redis-server"
	}
	found, err := exec.LookPath(path)
	if err != nil {
		return "", fmt.Errorf("%w (%v)", ErrNotFound, err)
	}
	return found, nil
}

// Start runs a server and returns when it answers. It runs until Stop, Kill or
// the end of this process.
func Start(ctx context.Context) (*Server, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		port, err := subprocess.FreePort()
		if err != nil {
			return nil, err
		}
		s := &Server{Addr: "127.0.0.1:" + strconv.Itoa(port), path: path}
		err = s.run(ctx)
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil || !strings.Contains(s.output.String(), "Address already in use") {
			return nil, err
		}
	}
}

// Run starts a server for a test and ends it with the test.
func Run(t testing.TB) *Server {
	t.Helper()
	s, err := Start(context.Background())
	if err != nil {
		t.Fatalf("redisd: %v", err)
	}
	t.Cleanup(s.Kill)
	return s
}

func (s *Server) run(ctx context.Context) error {
	s.output = &subprocess.Tail{}
	cmd := exec.Command(s.path,
		"--bind", "127.0.0.1", "--port", strings.TrimPrefix(s.Addr, "127.0.0.1:"),
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	cmd.Dir = os.TempDir()
	cmd.Stdout, cmd.Stderr = s.output, s.output
	p, err := subprocess.Start(cmd)
	if err != nil {
		return err
	}
	s.process = p
	if err := s.await(ctx); err != nil {
		p.Kill()
		return fmt.Errorf("start redis-server: %w; it said: %s", err, s.output)
	}
	return nil
}

// await waits until this process, and not another server on its port, answers.
func (s *Server) await(ctx context.Context) error {
	client := redis.NewClient(&redis.Options{Addr: s.Addr, MaxRetries: -1})
	defer client.Close()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		info, err := client.Info(ctx, "server").Result()
		if err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.process.Pid())) {
			return nil
		}
		select {
		case <-s.process.Done():
			return errors.New("it ended")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}

// Stop ends the server in order.
func (s *Server) Stop() error { return s.process.Stop(stopTimeout) }

// Kill ends the server as a crash would. What it held is gone.
func (s *Server) Kill() { s.process.Kill() }

// Restart runs a stopped or killed server again, empty, on the same port.
func (s *Server) Restart(ctx context.Context) error {
	select {
	case <-s.process.Done():
	default:
		return errors.New("restart redis-server: it is running")
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.run(ctx)
}
