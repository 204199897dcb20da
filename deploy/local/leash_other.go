//go:build !linux

// The leash elsewhere: stdin is the only tie.
package main

import "syscall"

func leashedProcess() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func onThreadOfItsOwn(work func()) { work() }
