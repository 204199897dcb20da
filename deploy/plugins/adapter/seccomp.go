// What Landlock does not cover: sockets of every kind, and calls that only look for a way out.
package main

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

var deniedCalls = []uint32{
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_UNSHARE, unix.SYS_SETNS,
	unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_USERFAULTFD, unix.SYS_INIT_MODULE,
	unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_OPEN_BY_HANDLE_AT,
	// It could do all of it without being seen here.
	unix.SYS_IO_URING_SETUP,
}

// filterCalls is a list of what is denied, for the commands are anybody's. A pair of connected sockets stays: it leads
// nowhere.
func filterCalls(allowNetwork bool) error {
	const (
		load, equal, atLeast, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		// Of struct seccomp_data.
		callAt, architectureAt = 0, 4
		deny                   = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
	)
	architecture := uint32(unix.AUDIT_ARCH_X86_64)
	if runtime.GOARCH == "arm64" {
		architecture = unix.AUDIT_ARCH_AARCH64
	}
	denied := deniedCalls
	if !allowNetwork {
		denied = append([]uint32{unix.SYS_SOCKET}, denied...)
	}
	program := []unix.SockFilter{
		{Code: load, K: architectureAt},
		// The numbers of another architecture mean other calls.
		{Code: equal, K: architecture, Jt: 1},
		{Code: answer, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: callAt},
		// The x32 calls of x86-64.
		{Code: atLeast, K: 0x40000000, Jf: 1},
		{Code: answer, K: deny},
	}
	for _, call := range denied {
		program = append(program, unix.SockFilter{Code: equal, K: call, Jf: 1}, unix.SockFilter{Code: answer, K: deny})
	}
	program = append(program, unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&filter)), 0, 0)
}
