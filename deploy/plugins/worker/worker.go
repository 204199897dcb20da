// Package worker is what a plugin's worker says and hears (packages/contracts/src/plugin.ts), for those in Go.
package worker

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

type File struct {
	Path string `json:"path"`
	// Kind is file, executable or symlink.
	Kind    string `json:"kind"`
	Content []byte `json:"content"`
}

type Job struct {
	Plugin string `json:"plugin"`
	Path   string `json:"path"`
	Files  struct {
		Digest string   `json:"digest"`
		Bytes  int      `json:"bytes"`
		Chunks []string `json:"chunks"`
	} `json:"files"`
	Environment map[string]string `json:"environment"`
	Limits      struct {
		DeadlineMs     int `json:"deadlineMs"`
		OutputBytesMax int `json:"outputBytesMax"`
	} `json:"limits"`
}

type Answer struct {
	Kind    string `json:"kind"`
	Gzip    string `json:"gzip,omitempty"`
	Version string `json:"version,omitempty"`
	// Variables is nil when nobody knows which had a part in it.
	Variables []string `json:"variables,omitzero"`

	Message string `json:"message,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Limit   bool   `json:"limit,omitempty"`
}

// Rendered packs manifests so that megabytes of them fit into one message.
func Rendered(manifests []byte, version string, variables []string) Answer {
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = writer.Write(manifests)
	_ = writer.Close()
	return Answer{
		Kind: "rendered", Gzip: base64.StdEncoding.EncodeToString(packed.Bytes()), Version: version, Variables: variables,
	}
}

func Failed(format string, args ...any) Answer {
	return Answer{Kind: "failed", Message: fmt.Sprintf(format, args...)}
}

func OverLimit(format string, args ...any) Answer {
	answer := Failed(format, args...)
	answer.Limit = true
	return answer
}

// filesMax bounds what a job's files unpack to; repo-fetcher's own limits are far below it.
const filesMax = 1 << 30

// Fetch brings the files of a job's source.
func Fetch(nc *nats.Conn, job *Job) ([]File, error) {
	var packed bytes.Buffer
	for _, subject := range job.Files.Chunks {
		piece, err := nc.Request(subject, nil, 5*time.Second)
		if err != nil {
			return nil, fmt.Errorf("the source's files: %w", err)
		}
		if piece.Header.Get("Status") != "" {
			return nil, errors.New("the source's files are no longer stored")
		}
		packed.Write(piece.Data)
	}
	reader, err := gzip.NewReader(&packed)
	if err != nil {
		return nil, err
	}
	var files []File
	return files, json.NewDecoder(io.LimitReader(reader, filesMax)).Decode(&files)
}

// Serve answers the jobs of a plugin; all workers of one plugin share them.
func Serve(nc *nats.Conn, name string, render func(*Job) Answer) error {
	subject := "driftless.v1.plugin." + strings.ReplaceAll(name, ".", "_")
	_, err := nc.QueueSubscribe(subject, "workers", func(message *nats.Msg) {
		go func() {
			var job Job
			answer := Answer{}
			if err := json.Unmarshal(message.Data, &job); err != nil {
				answer = Failed("the job cannot be read: %v", err)
			} else {
				answer = render(&job)
			}
			text, err := json.Marshal(answer)
			if err == nil && int64(len(text)) > nc.MaxPayload() {
				text, err = json.Marshal(OverLimit("the output does not fit into one message of %d bytes", nc.MaxPayload()))
			}
			if err == nil {
				_ = message.Respond(text)
			}
		}()
	})
	return err
}
