// One job: a fresh directory with the source's files, init and generate in it, what they printed, and nothing left.
package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"driftless.io/deploy/plugins/worker"
	"github.com/nats-io/nats.go"
)

func serve(nc *nats.Conn, p *plugin, o *options, slots chan struct{}, job *worker.Job) worker.Answer {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(job.Limits.DeadlineMs)*time.Millisecond)
	defer cancel()
	// Its time runs while it waits: whoever asked gives up then, and what nobody waits for is not begun.
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return worker.OverLimit("no slot became free within %d ms", job.Limits.DeadlineMs)
	}
	files, err := worker.Fetch(nc, job)
	if err != nil {
		return worker.Failed("%v", err)
	}
	dir, err := os.MkdirTemp(o.workDir, "driftless-plugin-")
	if err != nil {
		return worker.Failed("no directory for the job: %v", err)
	}
	defer remove(dir)
	source := filepath.Join(dir, "source")
	for _, made := range []string{"source", "home", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, made), 0o700); err != nil {
			return worker.Failed("no directory for the job: %v", err)
		}
	}
	if err := writeFiles(source, files, p.Spec.PreserveFileMode); err != nil {
		return worker.Failed("the source's files cannot be written: %v", err)
	}
	if err := handOver(dir); err != nil {
		return worker.Failed("no directory for the job: %v", err)
	}
	workingDir := filepath.Join(source, filepath.FromSlash(path.Clean("/"+job.Path)))
	environment, variables := environmentOf(p, job, files)
	seconds := uint64(job.Limits.DeadlineMs/1000 + 1)
	var output []byte
	for _, step := range []struct {
		name string
		command
	}{{"init", p.Spec.Init}, {"generate", p.Spec.Generate}} {
		if len(step.Command) == 0 {
			continue
		}
		spec := specOf(o, dir, workingDir, step.argv(), environment, seconds)
		spec.ReadOnly = append(spec.ReadOnly, p.dir)
		result := runJailed(ctx, spec, job.Limits.OutputBytesMax)
		switch {
		case result.over:
			return worker.OverLimit("%s printed more than %d bytes", step.name, job.Limits.OutputBytesMax)
		case ctx.Err() != nil:
			return worker.OverLimit("%s was ended after %d ms: %s", step.name, job.Limits.DeadlineMs, result.stderr)
		case result.err != nil:
			return worker.Failed("%s: %v: %s", step.name, result.err, result.stderr)
		}
		output = result.stdout
	}
	return worker.Rendered(output, p.Spec.Version+"/"+p.digest, variables)
}

// environmentOf gives a plugin its variables; the empty ones are left out, as Argo CD does. The commit's are given only
// where something names them: a plugin that never asks need not run again for each commit.
func environmentOf(p *plugin, job *worker.Job, files []worker.File) (environment, variables []string) {
	revision := p.namesRevision || slices.ContainsFunc(files, func(file worker.File) bool {
		return bytes.Contains(file.Content, []byte(revisionVariable))
	})
	variables = []string{}
	for name, value := range job.Environment {
		ours := strings.HasPrefix(name, "ARGOCD_") || strings.HasPrefix(name, "PARAM_") || strings.HasPrefix(name, "KUBE_")
		if value == "" || !ours || strings.HasPrefix(name, revisionVariable) && !revision {
			continue
		}
		environment = append(environment, name+"="+value)
		if strings.HasPrefix(name, "ARGOCD_APP_") {
			variables = append(variables, name)
		}
	}
	slices.Sort(variables)
	return environment, variables
}

func writeFiles(dir string, files []worker.File, preserveMode bool) error {
	// No name and no link leads out of it.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	// Links last: nothing is written through one.
	slices.SortStableFunc(files, func(a, b worker.File) int { return cmp.Compare(linksLast(a), linksLast(b)) })
	for _, file := range files {
		if parent := path.Dir(file.Path); parent != "." {
			if err := root.MkdirAll(parent, 0o755); err != nil {
				return err
			}
		}
		mode := fs.FileMode(0o644)
		if file.Kind == "executable" && preserveMode {
			mode = 0o755
		}
		if file.Kind == "symlink" {
			err = root.Symlink(string(file.Content), file.Path)
		} else {
			err = root.WriteFile(file.Path, file.Content, mode)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func linksLast(file worker.File) int {
	if file.Kind == "symlink" {
		return 1
	}
	return 0
}

// handOver gives a job's directory to the account that the commands run as, when that is another one.
func handOver(dir string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, nobody, nobody)
	})
}

func remove(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	// A plugin may have taken the rights to its directories away from itself.
	_ = filepath.WalkDir(dir, func(p string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	if err := os.RemoveAll(dir); err != nil {
		log.Print(fmt.Errorf("a job's directory stays: %w", err))
	}
}
