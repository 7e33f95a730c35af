package mongod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

const (
	// DefaultReplSet is the name of the replica set a server forms unless told otherwise.
	DefaultReplSet = "rs0"

	// DefaultOplogMB is the size of the oplog: how far back a change stream
	// can resume. mongod's own default is a twentieth of the free disk.
	DefaultOplogMB = 1024

	// DefaultCacheMB is the size of the storage engine's cache. mongod's own
	// default is half of the machine's memory.
	DefaultCacheMB = 512

	// DefaultStartTimeout is how long a server has until it accepts writes.
	DefaultStartTimeout = 60 * time.Second

	// stopTimeout is how long a server has to close its files in order.
	stopTimeout = 30 * time.Second

	// pollEvery is the pause between two looks at a server that is starting.
	pollEvery = 10 * time.Millisecond

	logFile  = "mongod.log"
	portFile = "port"
)

// Exit statuses of mongod that a start can be repeated after.
const (
	exitNetError   = 48  // the port is taken
	exitDBPathBusy = 100 // another mongod holds the files; also other errors of the storage
)

// Options say how a server runs. Only Dir is required.
type Options struct {
	// Dir holds the data, the log and the port; it is made if it is not there.
	// A server started again on the same folder finds its data.
	Dir string

	// Path is the mongod program; empty means Find.
	Path string

	// Port on 127.0.0.1; 0 means the one used last in Dir if it is free, else any free one.
	Port int

	// ReplSet is the name of the replica set; empty means DefaultReplSet.
	ReplSet string

	// Standalone runs a server that is in no replica set.
	Standalone bool

	// OplogMB and CacheMB are sizes in megabytes; 0 means the defaults.
	OplogMB, CacheMB int

	// Parameters are server parameters, as --setParameter takes them.
	Parameters map[string]string

	// StartTimeout bounds Start; 0 means DefaultStartTimeout.
	StartTimeout time.Duration

	// Stderr gets what mongod prints; its log goes to mongod.log in Dir. Nil discards it.
	Stderr io.Writer
}

func (o Options) withDefaults() Options {
	if o.ReplSet == "" {
		o.ReplSet = DefaultReplSet
	}
	if o.OplogMB == 0 {
		o.OplogMB = DefaultOplogMB
	}
	if o.CacheMB == 0 {
		o.CacheMB = DefaultCacheMB
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = DefaultStartTimeout
	}
	return o
}

// Server is a running mongod.
type Server struct {
	// URI connects a driver to the server, through its replica set if it is in one.
	URI string

	// Addr is its host and port.
	Addr string

	opt Options

	mu      sync.Mutex
	process *subprocess.Process
}

// Start runs a mongod and returns when it is a writable primary (or, standing
// alone, accepts commands). The context bounds the start, not the life: the
// server runs until Stop, Kill or the end of this process.
func Start(ctx context.Context, opt Options) (*Server, error) {
	s, err := launch(ctx, opt)
	if err != nil {
		return nil, err
	}
	if opt.Standalone {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.opt.StartTimeout)
	defer cancel()
	if err := initiate(ctx, s.opt.ReplSet, []*Server{s}); err != nil {
		s.Kill()
		return nil, &Error{Op: "start mongod", Err: err, Hint: "its log is " + s.LogPath()}
	}
	return s, nil
}

// launch runs a mongod and returns when it accepts commands; it may not be
// a member of a replica set yet.
func launch(ctx context.Context, opt Options) (*Server, error) {
	opt = opt.withDefaults()
	if opt.Dir == "" {
		return nil, errors.New("start mongod: no folder for its data")
	}
	dir, err := filepath.Abs(opt.Dir)
	if err != nil {
		return nil, fmt.Errorf("start mongod: %w", err)
	}
	opt.Dir = dir
	if err := os.MkdirAll(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, fmt.Errorf("start mongod: %w", err)
	}
	if opt.Path == "" {
		if opt.Path, err = Find(); err != nil {
			return nil, err
		}
	}
	s := &Server{opt: opt}
	ctx, cancel := context.WithTimeout(ctx, opt.StartTimeout)
	defer cancel()
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// run starts the process until one stays. A start is repeated when somebody
// took the port between its choice and its use, and when a predecessor that
// was killed is not quite gone from the files.
func (s *Server) run(ctx context.Context) error {
	portTaken := false
	for {
		port, err := s.choosePort(portTaken)
		if err != nil {
			return err
		}
		logStart := s.logSize()
		p, err := s.exec(port)
		if err != nil {
			return &Error{Op: "start mongod", Err: err, Hint: findHint}
		}
		s.Addr = "127.0.0.1:" + strconv.Itoa(port)
		s.URI = "mongodb://" + s.Addr + "/?replicaSet=" + s.opt.ReplSet
		if s.opt.Standalone {
			s.URI = "mongodb://" + s.Addr + "/?directConnection=true"
		}
		err = s.awaitCommands(ctx, p)
		if err == nil {
			s.mu.Lock()
			s.process = p
			s.mu.Unlock()
			return os.WriteFile(filepath.Join(s.opt.Dir, portFile), []byte(strconv.Itoa(port)), 0o600)
		}
		if ctx.Err() != nil {
			p.Kill()
		}
		why := s.complaint(logStart)
		busy := strings.Contains(why, "DBPathInUse")
		switch code := p.ExitCode(); {
		case ctx.Err() == nil && code == exitNetError && s.opt.Port == 0:
			portTaken = true
		case busy && code == exitDBPathBusy && pause(ctx):
		case busy:
			return &Error{Op: "start mongod", Err: errors.New(why), Hint: "another mongod is using " + s.opt.Dir}
		case ctx.Err() != nil:
			return &Error{Op: "start mongod", Err: fmt.Errorf("%w; it logged: %s", err, why), Hint: "its log is " + s.LogPath()}
		default:
			return &Error{Op: "start mongod", Err: fmt.Errorf("it ended with status %d: %s", code, why), Hint: "its log is " + s.LogPath()}
		}
	}
}

func (s *Server) exec(port int) (*subprocess.Process, error) {
	args := []string{
		"--dbpath", filepath.Join(s.opt.Dir, "db"),
		"--logpath", s.LogPath(), "--logappend",
		"--bind_ip", "127.0.0.1", "--port", strconv.Itoa(port), "--nounixsocket",
		"--wiredTigerCacheSizeGB", strconv.FormatFloat(float64(s.opt.CacheMB)/1024, 'f', -1, 64),
		"--setParameter", "diagnosticDataCollectionEnabled=false",
		// A primary that is told to end waits 15 s for somebody to take over.
		"--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
	}
	if !s.opt.Standalone {
		args = append(args, "--replSet", s.opt.ReplSet, "--oplogSize", strconv.Itoa(s.opt.OplogMB))
	}
	for name, value := range s.opt.Parameters {
		args = append(args, "--setParameter", name+"="+value)
	}
	cmd := exec.Command(s.opt.Path, args...)
	cmd.Stdout, cmd.Stderr = s.opt.Stderr, s.opt.Stderr
	return subprocess.Start(cmd)
}

// choosePort prefers the port that the folder's replica set configuration
// names, unless that has turned out to be taken.
func (s *Server) choosePort(taken bool) (int, error) {
	if s.opt.Port != 0 {
		return s.opt.Port, nil
	}
	if b, err := os.ReadFile(filepath.Join(s.opt.Dir, portFile)); err == nil && !taken {
		if port, err := strconv.Atoi(string(b)); err == nil && port > 0 && port < 1<<16 {
			return port, nil
		}
	}
	return subprocess.FreePort()
}

// LogPath is the server's log, one JSON document a line.
func (s *Server) LogPath() string { return filepath.Join(s.opt.Dir, logFile) }

// Dir is the folder of its data.
func (s *Server) Dir() string { return s.opt.Dir }

// Done is closed when the running process has ended.
func (s *Server) Done() <-chan struct{} { return s.running().Done() }

func (s *Server) running() *subprocess.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Stop ends the server in order: its files are closed and checkpointed.
func (s *Server) Stop() error {
	if err := s.running().Stop(stopTimeout); err != nil {
		return fmt.Errorf("stop mongod: %w", err)
	}
	return nil
}

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.running().Kill() }

// Restart runs a server that was stopped or killed once more, on the same
// folder and port, and returns when it accepts writes. A member of a Set needs
// the set's majority for that: use Set.Restart.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.StartTimeout)
	defer cancel()
	if err := s.relaunch(ctx); err != nil {
		return err
	}
	if s.opt.Standalone {
		return nil
	}
	return initiate(ctx, s.opt.ReplSet, []*Server{s})
}

// relaunch runs the process again; the driver connections that others hold
// name its address, so it must get the same port.
func (s *Server) relaunch(ctx context.Context) error {
	select {
	case <-s.Done():
	default:
		return errors.New("restart mongod: it is running")
	}
	port, err := strconv.Atoi(strings.TrimPrefix(s.Addr, "127.0.0.1:"))
	if err != nil {
		return fmt.Errorf("restart mongod: %w", err)
	}
	s.opt.Port = port
	return s.run(ctx)
}

// pause waits a moment, or reports that the context has ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
