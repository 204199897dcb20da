// Gives up what a plugin's command must not have, then becomes it: read-only system directories, one directory to write,
// no sockets, no other account's rights, bounded memory, time, files and processes.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

const (
	// landlockABI 6 is the first that keeps signals and abstract sockets inside.
	landlockABI = 6
	nobody      = 65534
	openFiles   = 1024
	processes   = 256
	fileBytes   = 256 << 20
)

var systemDirectories = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store"}

// etc is what programs look up there; the rest of /etc may hold what is not theirs.
var etc = []string{
	"/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/alternatives", "/etc/ld.so.conf.d",
}

var etcFiles = []string{
	"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/localtime",
	"/etc/ld.so.cache", "/etc/ld.so.conf",
}

var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"}

func sandboxed() {
	// The filter is this thread's, and so is the exec.
	runtime.LockOSThread()
	from := os.NewFile(3, "spec")
	var spec jailSpec
	if err := json.NewDecoder(from).Decode(&spec); err != nil {
		setupFailed(err)
	}
	_ = from.Close()
	if err := os.Chdir(spec.WorkingDir); err != nil {
		setupFailed(err)
	}
	if err := restrict(&spec); err != nil {
		setupFailed(err)
	}
	os.Clearenv()
	for _, variable := range spec.Env {
		for i := range variable {
			if variable[i] == '=' {
				_ = os.Setenv(variable[:i], variable[i+1:])
				break
			}
		}
	}
	program, err := exec.LookPath(spec.Argv[0])
	if err != nil {
		setupFailed(err)
	}
	if err := syscall.Exec(program, spec.Argv, spec.Env); err != nil {
		setupFailed(fmt.Errorf("%s: %w", program, err))
	}
}

func restrict(spec *jailSpec) error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE: 0, unix.RLIMIT_CPU: spec.CPUSeconds, unix.RLIMIT_DATA: spec.MemoryBytes,
		unix.RLIMIT_FSIZE: fileBytes, unix.RLIMIT_NOFILE: openFiles, unix.RLIMIT_NPROC: spec.Processes,
	}
	for which, limit := range limits {
		if err := syscall.Setrlimit(which, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("limit %d: %w", which, err)
		}
	}
	if spec.NoSandbox {
		return nil
	}
	rules := []landlock.Rule{
		landlock.RODirs(systemDirectories...).IgnoreIfMissing(),
		landlock.RODirs(etc...).IgnoreIfMissing(),
		landlock.ROFiles(etcFiles...).IgnoreIfMissing(),
		landlock.RODirs(spec.ReadOnly...),
		landlock.RWFiles(devices...).IgnoreIfMissing(),
		landlock.RWDirs(spec.Dir).WithRefer(),
	}
	if spec.AllowNetwork {
		// Everything but the network.
		if err := landlock.V6.RestrictPaths(rules...); err != nil {
			return err
		}
		if err := landlock.V6.RestrictScoped(); err != nil {
			return err
		}
	} else if err := landlock.V6.Restrict(rules...); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		// Last, for root may look up what the rules name. A limit of processes does not hold for root, and files of root are not a plugin's.
		if err := syscall.Setgroups(nil); err != nil {
			return err
		}
		if err := syscall.Setgid(nobody); err != nil {
			return err
		}
		if err := syscall.Setuid(nobody); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return filterCalls(spec.AllowNetwork)
}
