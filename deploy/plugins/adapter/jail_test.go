// What a plugin's command can and cannot do, tried on the real kernel.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"driftless.io/deploy/plugins/worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "jail" {
		jail()
	}
	if len(os.Args) == 2 && os.Args[1] == "sandboxed" {
		sandboxed()
	}
	os.Exit(m.Run())
}

func inJail(t *testing.T, ctx context.Context, script string, change func(*options, *jailSpec)) (jailResult, string) {
	t.Helper()
	o := &options{workDir: t.TempDir(), memoryBytes: 512 << 20}
	// The commands may run as another account.
	for dir := o.workDir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o711)
	}
	dir, err := os.MkdirTemp(o.workDir, "job-")
	if err != nil {
		t.Fatal(err)
	}
	for _, made := range []string{"home", "tmp", "source"} {
		_ = os.Mkdir(filepath.Join(dir, made), 0o700)
	}
	if err := handOver(dir); err != nil {
		t.Fatal(err)
	}
	spec := specOf(o, dir, filepath.Join(dir, "source"), []string{"sh", "-c", script}, []string{"ARGOCD_APP_NAME=web"}, 5)
	if change != nil {
		change(o, spec)
	}
	return runJailed(ctx, spec, 1<<20), dir
}

func TestACommandHasItsDirectoryAndItsVariablesOnly(t *testing.T) {
	t.Setenv("SECRET_OF_THE_ADAPTER", "hunter2")
	result, dir := inJail(t, t.Context(), `echo written > here && cat here && echo x > "$TMPDIR/t" && env`, nil)
	if result.err != nil || !strings.Contains(string(result.stdout), "written") {
		t.Fatal(result.err, result.stderr)
	}
	if out := string(result.stdout); strings.Contains(out, "hunter2") || !strings.Contains(out, "ARGOCD_APP_NAME=web") || !strings.Contains(out, "HOME="+dir) {
		t.Error(out)
	}
}

func TestNothingOutsideCanBeReadOrWritten(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("hunter2"), 0o666); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(outside, 0o666)
	for dir := filepath.Dir(outside); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o777)
	}
	target := filepath.Dir(outside)
	for _, script := range []string{
		"cat " + outside, "echo x > " + outside, "echo x > " + target + "/new", "ls " + target,
		"cat /etc/shadow", "cat /proc/1/environ", "echo x > /usr/bin/driftless-was-here", "ls /root",
		"ln -s " + outside + " link && cat link", "mkdir a && cd a && cat ../../../../../../../../" + outside,
	} {
		result, _ := inJail(t, t.Context(), script, nil)
		if result.err == nil || strings.Contains(string(result.stdout), "hunter2") {
			t.Errorf("%s: %s", script, result.stdout)
		}
	}
	if content, _ := os.ReadFile(outside); string(content) != "hunter2" {
		t.Errorf("it was overwritten: %s", content)
	}
}

func TestASandboxIsWhatKeepsItIn(t *testing.T) {
	result, _ := inJail(t, t.Context(), "cat /proc/self/stat > /dev/null && echo out", func(_ *options, spec *jailSpec) { spec.NoSandbox = true })
	if result.err != nil || !strings.Contains(string(result.stdout), "out") {
		t.Error("the tests above would pass without a sandbox", result.err, result.stderr)
	}
}

func TestNoConnectionIsMade(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash to connect with")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	script := fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d && echo connected", listener.Addr().(*net.TCPAddr).Port)
	connect := func(_ *options, spec *jailSpec) { spec.Argv = []string{bash, "-c", script} }
	if result, _ := inJail(t, t.Context(), "", connect); result.err == nil {
		t.Errorf("connected: %s", result.stdout)
	}
	allowed := func(o *options, spec *jailSpec) { connect(o, spec); spec.AllowNetwork = true }
	if result, _ := inJail(t, t.Context(), "", allowed); result.err != nil {
		t.Error("not even where it is allowed", result.stderr)
	}
}

func TestWhatHangsIsEndedWithAllItStarted(t *testing.T) {
	marker := fmt.Sprintf("31%d", os.Getpid())
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	result, _ := inJail(t, ctx, fmt.Sprintf("setsid sleep %s & sleep %s & sleep %s", marker, marker, marker), nil)
	if result.err == nil {
		t.Error("it was not ended")
	}
	expectNoneLeft(t, marker)
}

func TestChildrenLeftBehindAreEnded(t *testing.T) {
	marker := fmt.Sprintf("32%d", os.Getpid())
	// The second of them holds stdout, for which everybody would wait.
	result, _ := inJail(t, t.Context(), fmt.Sprintf("(setsid sleep %s >/dev/null 2>&1 &) ; (setsid sleep %s &) ; echo done", marker, marker), nil)
	if result.err != nil || strings.TrimSpace(string(result.stdout)) != "done" {
		t.Error(result.err, string(result.stdout), result.stderr)
	}
	expectNoneLeft(t, marker)
}

func expectNoneLeft(t *testing.T, marker string) {
	t.Helper()
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), "sleep\x00"+marker) {
			t.Errorf("%s is still there", file)
		}
	}
}

func TestAFloodIsCut(t *testing.T) {
	result, _ := inJail(t, t.Context(), "while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", nil)
	if !result.over {
		t.Error(result.err)
	}
	result, _ = inJail(t, t.Context(), "head -c 1000000 /dev/zero | tr '\\0' e >&2; echo the end >&2; exit 3", nil)
	if result.err == nil || len(result.stderr) > 2*stderrKept || !strings.HasSuffix(result.stderr, "the end") {
		t.Error(result.err, len(result.stderr))
	}
}

func TestMemoryAndProcessesAreBounded(t *testing.T) {
	if result, _ := inJail(t, t.Context(), "x=a; while :; do x=$x$x; done", nil); result.err == nil {
		t.Error("memory without end")
	}
	bomb := fmt.Sprintf("i=0; while [ $i -lt %d ]; do sleep 33 & i=$((i+1)); done; echo all", processes*2)
	if result, _ := inJail(t, t.Context(), bomb, nil); strings.Contains(string(result.stdout), "all") {
		t.Error("processes without end")
	}
}

func TestNoFileIsWrittenOutsideTheSource(t *testing.T) {
	for _, files := range [][]worker.File{
		{{Path: "../x", Kind: "file"}}, {{Path: "/x", Kind: "file"}}, {{Path: "a/../../x", Kind: "file"}},
	} {
		if err := writeFiles(t.TempDir(), files, false); err == nil {
			t.Errorf("%v was written", files)
		}
	}
}

func TestTheCommitIsGivenWhereItIsNamedOnly(t *testing.T) {
	job := &worker.Job{Environment: map[string]string{
		"ARGOCD_APP_NAME": "web", "ARGOCD_APP_REVISION": "abc", "ARGOCD_ENV_A": "", "PATH": "/evil",
	}}
	environment, variables := environmentOf(&plugin{}, job, nil)
	if fmt.Sprint(environment, variables) != "[ARGOCD_APP_NAME=web] [ARGOCD_APP_NAME]" {
		t.Error(environment, variables)
	}
	named := []worker.File{{Content: []byte("echo $ARGOCD_APP_REVISION")}}
	if _, variables := environmentOf(&plugin{}, job, named); len(variables) != 2 {
		t.Error(variables)
	}
}
