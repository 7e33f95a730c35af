// Package subprocess runs another program as a child that never outlives this
// process: servers for development and tests, and the bridge under test.
//
// It promises that a started child is waited for, that Stop and Kill return
// only when it has ended, and (on Linux) that the kernel kills it when this
// process dies in whatever way. It knows nothing of what the programs do.
package subprocess

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a started child.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; read after done is closed
}

// Start starts cmd in a process group of its own, so that a Ctrl-C in the
// terminal reaches this process alone and it decides when its children end.
func Start(cmd *exec.Cmd) (*Process, error) {
	isolate(cmd)
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel's parent-death signal goes out when the thread that
		// started the child ends, so that thread is kept until the child has.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended and its output has been copied.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended: nil for exit status 0, else an
// *exec.ExitError. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// ExitCode is the child's exit status, -1 if a signal ended it. It waits for the end.
func (p *Process) ExitCode() int {
	<-p.done
	return p.cmd.ProcessState.ExitCode()
}

// Signal sends sig; a child that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(sig); err != nil && err != os.ErrProcessDone {
		return err
	}
	return nil
}

// Stop asks the child to end (SIGTERM) and waits; what has not ended after
// grace is killed, which is an error.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		p.Kill() // no SIGTERM on this system
		return nil
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %v and was killed", p.cmd.Path, grace)
	}
}

// Kill ends the child at once (SIGKILL), as a crash would, and waits.
func (p *Process) Kill() {
	_ = p.Signal(os.Kill)
	<-p.done
}

// FreePort is a TCP port that was free on 127.0.0.1 a moment ago. Another
// program may take it first: whoever uses it must be ready to try again.
func FreePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
