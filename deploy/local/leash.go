// The leash: runs a stock program that knows nothing of us and ends it when our stdin closes.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// leash returns the exit code of the program. SIGTERM and SIGINT are passed on, so that stopping the leash is
// stopping the program. Pdeathsig covers the last gap: a kill -9 of the leash itself.
func leash(command []string) int {
	if len(command) == 0 {
		fail("usage: driftless-local leash PROGRAM [ARGUMENTS]")
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)

	program := exec.Command(command[0], command[1:]...)
	program.Stdout, program.Stderr = os.Stdout, os.Stderr
	program.SysProcAttr = leashedProcess()

	// Pdeathsig fires when the *thread* that started the program ends, so that thread must stay.
	started, ended := make(chan error, 1), make(chan error, 1)
	go onThreadOfItsOwn(func() {
		err := program.Start()
		started <- err
		if err == nil {
			ended <- program.Wait()
		}
	})
	if err := <-started; err != nil {
		fmt.Fprintln(os.Stderr, "driftless-local leash:", err)
		return 127
	}

	stdinClosed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(stdinClosed)
	}()

	for {
		select {
		case err := <-ended:
			return exitCode(err)
		case received := <-signals:
			_ = program.Process.Signal(received)
		case <-stdinClosed:
			stdinClosed = nil
			_ = program.Process.Signal(syscall.SIGTERM)
			time.AfterFunc(graceAfterStdinCloses, func() { _ = program.Process.Kill() })
		}
	}
}

func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode()
	case errors.As(err, &exit):
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
	}
	return 1
}
