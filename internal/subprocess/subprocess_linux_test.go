package subprocess

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// The test binary itself is the child: roleEnv says what it plays.
const roleEnv = "SUBPROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		goleak.VerifyTestMain(m)
	case "wait": // until told to end
		fmt.Println("waiting", os.Getpid())
		select {}
	case "stubborn": // does not end when asked
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("waiting", os.Getpid())
		select {}
	case "parent": // starts a child that waits, then waits itself
		child, _ := play("wait")
		out, err := child.StdoutPipe()
		if err != nil {
			panic(err)
		}
		if _, err := Start(child); err != nil {
			panic(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		fmt.Print(line)
		select {}
	case "fail":
		fmt.Fprintln(os.Stderr, "no luck")
		os.Exit(7)
	}
}

func play(role string) (*exec.Cmd, *Tail) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	tail := &Tail{}
	cmd.Stderr = tail
	return cmd, tail
}

// startWaiting starts a role that prints one line when it is ready.
func startWaiting(t *testing.T, role string) (*Process, string) {
	t.Helper()
	cmd, _ := play(role)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cmd.Stdout = w
	p, err := Start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the child said nothing: %v", err)
	}
	return p, strings.TrimSpace(line)
}

func TestStopAsksFirst(t *testing.T) {
	p, _ := startWaiting(t, "wait")
	if err := p.Stop(time.Minute); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if got := p.ExitCode(); got != -1 {
		t.Errorf("exit code %d, want -1 for the end by SIGTERM", got)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	p, _ := startWaiting(t, "stubborn")
	if err := p.Stop(10 * time.Millisecond); err == nil {
		t.Error("Stop of a child that ignores SIGTERM returned no error")
	}
	select {
	case <-p.Done():
	default:
		t.Error("the child is still there after Stop")
	}
}

func TestExitCodeAndOutput(t *testing.T) {
	cmd, tail := play("fail")
	p, err := Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.ExitCode(); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
	if p.Err() == nil {
		t.Error("Err is nil for exit status 7")
	}
	if got, want := tail.String(), "no luck\n"; got != want {
		t.Errorf("kept output %q, want %q", got, want)
	}
}

func TestStartOfNothingFails(t *testing.T) {
	if _, err := Start(exec.Command("/nonexistent/program")); err == nil {
		t.Error("no error for a program that does not exist")
	}
}

// TestChildDiesWithItsParent kills a parent the hard way: nobody is left to
// clean up, and still its child must go.
func TestChildDiesWithItsParent(t *testing.T) {
	p, line := startWaiting(t, "parent")
	pid, err := strconv.Atoi(strings.TrimPrefix(line, "waiting "))
	if err != nil {
		t.Fatalf("the grandchild said %q", line)
	}
	grandchild, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(grandchild)
	p.Kill()
	const patience = 10_000 // ms
	// It can be read from when the process has ended.
	ended := []unix.PollFd{{Fd: int32(grandchild), Events: unix.POLLIN}}
	n, err := unix.Poll(ended, patience)
	for err == unix.EINTR {
		n, err = unix.Poll(ended, patience)
	}
	if n == 0 || err != nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		t.Fatalf("the grandchild outlived its parent by 10 s (%v)", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	tail := &Tail{Limit: 5}
	fmt.Fprint(tail, "abc")
	fmt.Fprint(tail, "defg")
	if got, want := tail.String(), "cdefg"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
