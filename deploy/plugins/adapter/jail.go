// Runs one command and leaves nothing of it: `jail` adopts whatever the command starts, and ends it all when the command
// ends, when its deadline comes, or when the adapter is gone.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// jailSpec is what is said to a jail on its stdin, whose end then means: end it.
type jailSpec struct {
	Dir          string
	WorkingDir   string
	Argv         []string
	Env          []string
	ReadOnly     []string
	AllowNetwork bool
	NoSandbox    bool
	MemoryBytes  uint64
	CPUSeconds   uint64
	// Processes and threads of the account together, which the jail counts.
	Processes uint64
}

type jailResult struct {
	stdout []byte
	// stderr is its end.
	stderr string
	over   bool
	err    error
}

const (
	stderrKept = 4 << 10
	// exitSetup says that the command was never started.
	exitSetup = 125
	// endsWithin is how long a jail has to end what it adopted.
	endsWithin = 5 * time.Second
)

func specOf(o *options, dir, workingDir string, argv, env []string, cpuSeconds uint64) *jailSpec {
	base := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
		"HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"),
	}
	return &jailSpec{
		Dir: dir, WorkingDir: workingDir, Argv: argv, Env: append(base, env...), ReadOnly: append([]string{}, o.readOnly...),
		AllowNetwork: o.allowNetwork, NoSandbox: o.noSandbox, MemoryBytes: o.memoryBytes, CPUSeconds: cpuSeconds,
	}
}

// runJailed is the adapter's side.
func runJailed(ctx context.Context, spec *jailSpec, outputBytesMax int) jailResult {
	text, err := json.Marshal(spec)
	if err != nil {
		return jailResult{err: err}
	}
	cmd := exec.Command("/proc/self/exe", "jail")
	cmd.Env = []string{}
	// Ctrl-C is the adapter's to hear.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return jailResult{err: err}
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return jailResult{err: err}
	}
	stderr := &tail{}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		return jailResult{err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = lifeline.Close() })
	defer stop()
	_, _ = lifeline.Write(append(text, '\n'))
	var kept bytes.Buffer
	_, _ = io.Copy(&kept, io.LimitReader(stdout, int64(outputBytesMax)+1))
	over := kept.Len() > outputBytesMax
	if over {
		_ = lifeline.Close()
		_, _ = io.Copy(io.Discard, stdout)
	}
	// Should the jail itself hang, its pipes would keep us.
	cmd.WaitDelay = 2 * endsWithin
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch code := exit.ExitCode(); {
		case code == exitSetup:
			err = errors.New("it could not be started")
		case code > 128:
			signal := syscall.Signal(code - 128)
			over = over || signal == syscall.SIGXCPU || signal == syscall.SIGXFSZ
			err = fmt.Errorf("ended by %v", signal)
		}
	}
	return jailResult{stdout: kept.Bytes(), stderr: strings.TrimSpace(string(stderr.kept)), over: over, err: err}
}

// tail keeps the end of what is written.
type tail struct{ kept []byte }

func (t *tail) Write(text []byte) (int, error) {
	t.kept = append(t.kept, text...)
	if excess := len(t.kept) - stderrKept; excess > 0 {
		t.kept = append([]byte("…"), t.kept[excess:]...)
	}
	return len(text), nil
}

// jail is the process in between.
func jail() {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM)
	decoder := json.NewDecoder(os.Stdin)
	var spec jailSpec
	if err := decoder.Decode(&spec); err != nil {
		os.Exit(exitSetup)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		setupFailed(err)
	}
	account := uint32(os.Getuid())
	if account == 0 && !spec.NoSandbox {
		account = nobody
	}
	// The kernel counts all of the account, other jobs included.
	spec.Processes = processes + threadsOf(account)
	text, _ := json.Marshal(spec)
	read, write, err := os.Pipe()
	if err != nil {
		setupFailed(err)
	}
	cmd := exec.Command("/proc/self/exe", "sandboxed")
	cmd.Env = []string{}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{read}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		setupFailed(err)
	}
	_ = read.Close()
	go func() {
		_, _ = write.Write(text)
		_ = write.Close()
	}()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}()
	_ = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if !endAdopted() {
		fmt.Fprintln(os.Stderr, "some of its processes do not end")
		os.Exit(1)
	}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		os.Exit(128 + int(status.Signal()))
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

// endAdopted ends all descendants: whose parent ends becomes a child of this process, however it calls itself.
func endAdopted() bool {
	for until := time.Now().Add(endsWithin); time.Now().Before(until); {
		children := childrenOf(os.Getpid())
		if len(children) == 0 {
			return true
		}
		for _, child := range children {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
	return false
}

func childrenOf(parent int) []int {
	var children []int
	for name, fields := range processTable {
		if fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(strings.Split(name, "/")[2]); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}

func threadsOf(uid uint32) uint64 {
	var threads uint64
	for name, fields := range processTable {
		var owner unix.Stat_t
		if unix.Stat(name, &owner) == nil && owner.Uid == uid {
			count, _ := strconv.ParseUint(fields[17], 10, 64)
			threads += count
		}
	}
	return threads
}

// processTable gives each /proc/<pid>/stat and its fields from the state on.
func processTable(yield func(string, []string) bool) {
	names, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		// The name in parentheses may hold anything; state and parent follow it.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 17 && !yield(name, fields) {
			return
		}
	}
}

func setupFailed(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitSetup)
}
