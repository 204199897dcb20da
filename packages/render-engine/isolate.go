// What libraries might reach for behind our back is taken away before the first job: standard output, which is the
// parent's pipe, connections, and the environment, without which no program is found by its name.
package main

import (
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
)

// refusedURL is the last URL that a library asked for during this job.
var refusedURL string

type noConnection struct{}

func (noConnection) RoundTrip(request *http.Request) (*http.Response, error) {
	refusedURL = request.URL.Redacted()
	return nil, errors.New("the render engine makes no connection")
}

// diagnostics goes to the supervisor, which keeps the first kilobytes of each job.
var diagnostics = os.Stderr

func isolate() {
	os.Clearenv()
	http.DefaultTransport = noConnection{}
	// Libraries warn on both outputs and through loggers, quoting what they read; that is for nobody's eyes. The runtime
	// writes its last words to the descriptor itself.
	if nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout, os.Stderr = nowhere, nowhere
	}
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
}
