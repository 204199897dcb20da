// driftless-local: etcd and the Kubernetes control plane in one binary, and a leash for stock programs.
//
//	driftless-local etcd|kube-apiserver|kube-controller-manager|kube-scheduler [flags of that program]
//	driftless-local leash PROGRAM [ARGUMENTS]   runs any program and ends it when our stdin closes
//	driftless-local certs DIRECTORY             writes the local cluster's keys and certificates
//
// One binary because the four share most of their code: linked apart they take four times the disk and link time.
// Every subcommand that stays watches its stdin: the starter holds the other end of that pipe, so that even a
// kill -9 of the starter, which runs none of its code, ends everything it started.
package main

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// How long a program may take to end by itself once nobody holds the leash. kube-apiserver waits for etcd for
// minutes when etcd ends first, which is the normal case after a crash of the starter.
const graceAfterStdinCloses = 3 * time.Second

func main() {
	if len(os.Args) < 2 {
		fail("usage: driftless-local etcd|kube-apiserver|kube-controller-manager|kube-scheduler|leash|certs ...")
	}
	subcommand, arguments := os.Args[1], os.Args[2:]
	// Each program reads os.Args itself and expects its own name in front.
	os.Args = append([]string{subcommand}, arguments...)
	switch subcommand {
	case "etcd":
		endWhenStdinCloses()
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		run(controllermanager.NewControllerManagerCommand())
	case "kube-scheduler":
		run(scheduler.NewSchedulerCommand())
	case "leash":
		os.Exit(leash(arguments))
	case "certs":
		if len(arguments) != 1 {
			fail("usage: driftless-local certs DIRECTORY")
		}
		if err := writeCertificates(arguments[0]); err != nil {
			fail(err.Error())
		}
	default:
		fail("unknown subcommand " + subcommand)
	}
}

func run(command *cobra.Command) {
	endWhenStdinCloses()
	os.Exit(cli.Run(command))
}

func endWhenStdinCloses() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		time.Sleep(graceAfterStdinCloses)
		os.Exit(1)
	}()
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "driftless-local: "+message)
	os.Exit(2)
}
