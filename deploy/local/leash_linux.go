// The leash on Linux: the kernel ends the program when the leash dies.
package main

import (
	"runtime"
	"syscall"
)

func leashedProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

func onThreadOfItsOwn(work func()) {
	runtime.LockOSThread()
	work()
}
