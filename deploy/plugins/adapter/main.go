// Serves Argo CD's ConfigManagementPlugin declarations as plugins of Driftless: a worker on NATS that gives each job a
// directory of its own and runs the declared commands there, sandboxed.
//
//	plugin-adapter [flags] plugin.yaml|directory …
//
// The program is three: this one speaks NATS; for each command it starts itself as `jail`, which ends whatever the
// command leaves behind; and that starts itself as `sandboxed`, which gives up its rights and becomes the command.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"driftless.io/deploy/plugins/worker"
	"github.com/nats-io/nats.go"
)

type options struct {
	readOnly     []string
	allowNetwork bool
	noSandbox    bool
	memoryBytes  uint64
	workDir      string
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "jail":
			jail()
		case "sandboxed":
			sandboxed()
		}
	}
	var o options
	servers := flag.String("nats", cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), "NATS servers")
	parallel := flag.Int("parallel", runtime.NumCPU(), "jobs at a time")
	memoryMiB := flag.Uint64("memory-mib", 1024, "data that each process of a plugin may have")
	readOnly := flag.String("read-only", "", "more directories that plugins may read, comma-separated")
	flag.StringVar(&o.workDir, "work-dir", os.TempDir(), "where the jobs' directories are made")
	flag.BoolVar(&o.allowNetwork, "allow-network", false, "let plugins open sockets")
	flag.BoolVar(&o.noSandbox, "no-sandbox", false, "run plugins with all of this process's rights")
	endWithStdin := flag.Bool("end-with-stdin", false, "end when stdin does")
	flag.Parse()
	o.memoryBytes = *memoryMiB << 20
	if *readOnly != "" {
		o.readOnly = strings.Split(*readOnly, ",")
	}

	files, err := declarationFiles(flag.Args())
	if err != nil {
		log.Fatal(err)
	}
	var plugins []*plugin
	for _, file := range files {
		p, err := readDeclaration(file)
		if err != nil {
			log.Fatalf("%s: %v", file, err)
		}
		plugins = append(plugins, p)
	}
	if len(plugins) == 0 {
		log.Fatal("name at least one file with a ConfigManagementPlugin, or a directory of them")
	}
	if err := trySandbox(&o); err != nil {
		log.Fatalf("plugins cannot be sandboxed here: %v\nLandlock (ABI %d) is needed: Linux 6.12 or newer with `landlock` among its LSMs. --no-sandbox does without.", err, landlockABI)
	}
	nc, err := nats.Connect(*servers, nats.Name("plugin-adapter"), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true))
	if err != nil {
		log.Fatal(err)
	}
	slots := make(chan struct{}, max(1, *parallel))
	for _, p := range plugins {
		for _, name := range p.names() {
			if err := worker.Serve(nc, name, func(job *worker.Job) worker.Answer { return serve(nc, p, &o, slots, job) }); err != nil {
				log.Fatal(err)
			}
		}
		log.Printf("serving %s", strings.Join(p.names(), " and "))
	}
	go declare(nc, plugins)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if *endWithStdin {
		go func() {
			_, _ = os.Stdin.Read(make([]byte, 1))
			stop()
		}()
	}
	<-ctx.Done()
	// What was taken is finished and answered; others take what comes now.
	_ = nc.Drain()
	for range cap(slots) {
		slots <- struct{}{}
	}
	nc.Close()
}

func declarationFiles(arguments []string) ([]string, error) {
	var files []string
	for _, argument := range arguments {
		info, err := os.Stat(argument)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, argument)
			continue
		}
		entries, err := os.ReadDir(argument)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if ext := filepath.Ext(entry.Name()); slices.Contains([]string{".yaml", ".yml"}, ext) {
				files = append(files, filepath.Join(argument, entry.Name()))
			}
		}
	}
	return files, nil
}

func trySandbox(o *options) error {
	dir, err := os.MkdirTemp(o.workDir, "driftless-plugin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	result := runJailed(context.Background(), specOf(o, dir, dir, []string{"/bin/sh", "-c", "echo ok"}, nil, 1), 100)
	if result.err != nil || strings.TrimSpace(string(result.stdout)) != "ok" {
		return fmt.Errorf("%v %s", result.err, result.stderr)
	}
	return nil
}
