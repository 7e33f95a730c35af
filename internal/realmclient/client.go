package realmclient

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/internal/subprocess"
)

const (
	// DefaultTimeout is how long a command may take whose context has no deadline.
	DefaultTimeout = 30 * time.Second

	// answerGrace is how much longer than its own timeout a command has to
	// answer before the process is taken for hung and killed.
	answerGrace = 10 * time.Second

	// reportLimit is how much of its log, in bytes, a failed test prints.
	reportLimit = 8 << 10

	// exitTimeout is how long the process has to end after "exit".
	exitTimeout = 10 * time.Second
)

// ErrTimeout is what a command's error wraps when the library did not get
// there in time.
var ErrTimeout = errors.New("timed out")

// CommandError is a command that failed; the process lives on.
type CommandError struct {
	Op      string
	Message string
	App     *AppError // of a failed App Services call
	Timeout bool
}

func (e *CommandError) Error() string { return e.Op + ": " + e.Message }

// Is makes errors.Is(err, ErrTimeout) work.
func (e *CommandError) Is(target error) bool { return target == ErrTimeout && e.Timeout }

// DeathError is the end of the process, before or while a command ran.
type DeathError struct {
	Op     string // the command that got no answer
	How    string // such as "signal: aborted" or "killed by the test"
	Stderr string // its last output; an assertion of the library is there
}

func (e *DeathError) Error() string {
	return fmt.Sprintf("%s: the client's process is dead (%s); it said:\n%s", e.Op, e.How, e.Stderr)
}

// Options say how a client's process runs.
type Options struct {
	// LogLevel of the library: trace debug detail info warn error off; empty
	// means info. debug names every message sent and received.
	LogLevel string
	// Stderr gets a copy of what the process logs. Nil keeps only the end of it.
	Stderr io.Writer
}

// Client is a process with the library loaded: one device with one app. Its
// methods may be called from several goroutines; commands run one at a time.
type Client struct {
	process *subprocess.Process
	stdin   io.WriteCloser
	answers *bufio.Reader
	output  *os.File
	stderr  *subprocess.Tail

	mu  sync.Mutex
	seq int64
}

// Start builds the program if need be and runs it.
func Start(opt Options) (*Client, error) {
	library, err := Library()
	if err != nil {
		return nil, err
	}
	path, err := Program()
	if err != nil {
		return nil, err
	}
	c := &Client{stderr: &subprocess.Tail{}}
	cmd := exec.Command(path, library)
	if opt.LogLevel != "" {
		cmd.Args = append(cmd.Args, opt.LogLevel)
	}
	cmd.Stderr = c.stderr
	if opt.Stderr != nil {
		cmd.Stderr = io.MultiWriter(c.stderr, opt.Stderr)
	}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start realmclient: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start realmclient: %w", err)
	}
	defer w.Close()
	cmd.Stdout = w
	c.output, c.answers = r, bufio.NewReaderSize(r, 64<<10)
	if c.process, err = subprocess.Start(cmd); err != nil {
		r.Close()
		return nil, err
	}
	return c, nil
}

// Run starts a client for a test and ends it with the test. If the test has
// failed by then, what the library logged is printed.
func Run(t testing.TB, opt Options) *Client {
	t.Helper()
	c, err := Start(opt)
	if err != nil {
		t.Fatalf("realmclient: %v", err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			log := c.Stderr()
			t.Logf("what the real client (process %d) logged last:\n%s", c.process.Pid(), log[max(0, len(log)-reportLimit):])
		}
	})
	return c
}

// Do runs one command and returns its result. The context's deadline bounds it
// (DefaultTimeout without one). The error is a *CommandError or a *DeathError.
func (c *Client) Do(ctx context.Context, cmd Command) (json.RawMessage, error) {
	timeout := DefaultTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	if timeout <= 0 {
		return nil, &CommandError{Op: cmd.Op, Message: "no time left", Timeout: true}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq++
	cmd.Seq, cmd.Timeout = c.seq, timeout.Seconds()
	line, err := json.Marshal(cmd)
	if err != nil {
		return nil, &CommandError{Op: cmd.Op, Message: err.Error()}
	}
	hung := time.AfterFunc(timeout+answerGrace, func() { _ = c.process.Signal(os.Kill) })
	defer hung.Stop()
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		return nil, c.death(cmd.Op)
	}
	reply, err := c.answers.ReadBytes('\n')
	if err != nil {
		return nil, c.death(cmd.Op)
	}
	var answer Answer
	if err := json.Unmarshal(reply, &answer); err != nil {
		return nil, &CommandError{Op: cmd.Op, Message: fmt.Sprintf("unreadable answer %q: %v", reply, err)}
	}
	if answer.Seq != cmd.Seq {
		return nil, &CommandError{Op: cmd.Op, Message: fmt.Sprintf("answer %d to command %d", answer.Seq, cmd.Seq)}
	}
	if !answer.OK {
		return nil, &CommandError{Op: cmd.Op, Message: answer.Error, App: answer.App, Timeout: answer.Timeout}
	}
	return answer.Result, nil
}

// do runs a command and decodes its result, numbers as json.Number.
func do[T any](ctx context.Context, c *Client, cmd Command) (T, error) {
	var result T
	raw, err := c.Do(ctx, cmd)
	if err != nil {
		return result, err
	}
	if err := unmarshal(raw, &result); err != nil {
		return result, &CommandError{Op: cmd.Op, Message: err.Error()}
	}
	return result, nil
}

func (c *Client) death(op string) error {
	// The pipe is closed, so the process has ended or is about to.
	how := "exit status 0"
	if err := c.process.Err(); err != nil {
		how = err.Error()
	}
	return &DeathError{Op: op, How: how, Stderr: c.Stderr()}
}

// Stderr is the end of what the library has logged.
func (c *Client) Stderr() string { return c.stderr.String() }

// Done is closed when the process has ended.
func (c *Client) Done() <-chan struct{} { return c.process.Done() }

// Close ends the process in order. What is not uploaded yet stays in its files.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), exitTimeout)
	defer cancel()
	_, err := c.Do(ctx, Command{Op: "exit"})
	if err != nil {
		c.Kill()
		return err
	}
	select {
	case <-c.process.Done():
	case <-ctx.Done():
	}
	c.Kill()
	return nil
}

// Kill ends the process as a crash of the app would; its files stay.
func (c *Client) Kill() {
	c.process.Kill()
	c.stdin.Close()
	c.output.Close()
}
