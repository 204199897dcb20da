// The render engine: a long-lived child that turns bytes into bytes. It takes one job at a time from stdin and answers
// on stdout; it opens no file, reads no variable and makes no connection. Its parent's supervisor (src/engine.ts) gives
// it a deadline by killing it. Landlock and seccomp come on top of this; nothing here may need what they forbid.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

func main() {
	memoryLimit := flag.Int64("memory-limit-bytes", 0, "end the process when its data grows over this; 0 for no limit")
	flag.Parse()
	// Ctrl-C reaches the whole process group; the parent decides when a job is over, and its end closes our stdin.
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	if err := limitMemory(*memoryLimit); err != nil {
		fmt.Fprintln(os.Stderr, "cannot limit memory:", err)
		os.Exit(1)
	}

	replies := os.Stdout
	isolate()
	// One job at a time on one core each: more threads would only wake one another. Little is alive between jobs, so that
	// collecting a third as often costs megabytes.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(200)
	go endWithParent(os.Getppid())
	requests := bufio.NewReaderSize(os.Stdin, 64<<10)
	for {
		request, err := readFrame(requests)
		if err != nil {
			os.Exit(0)
		}
		reply, err := answer(request)
		if err != nil {
			fmt.Fprintln(diagnostics, "unreadable request:", err)
			os.Exit(2)
		}
		if _, err := replies.Write(reply); err != nil {
			os.Exit(0)
		}
	}
}

// endWithParent ends a job that goes on while nobody is left to kill it; between jobs the end of stdin does that.
func endWithParent(parent int) {
	for range time.Tick(time.Second) {
		if os.Getppid() != parent {
			os.Exit(0)
		}
	}
}

// limitMemory makes the collector work harder before the hard limit, where the process ends instead of the machine.
func limitMemory(limit int64) error {
	if limit <= 0 {
		return nil
	}
	debug.SetMemoryLimit(limit * 8 / 10)
	return syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: uint64(limit), Max: uint64(limit)})
}
