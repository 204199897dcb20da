// A plugin as an example: each file `<name>.greeting` of a source becomes a ConfigMap. It needs nothing of Driftless but
// NATS; the messages are described in packages/contracts/src/plugin.ts, and any language will do.
//
//	NATS_URL=nats://127.0.0.1:4222 go run ./example
//
//	spec:
//	  source:
//	    plugin:
//	      name: greetings
//	      parameters: [{name: punctuation, string: "!"}]
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

type job struct {
	Path  string `json:"path"`
	Files struct {
		Chunks []string `json:"chunks"`
	} `json:"files"`
	Environment map[string]string `json:"environment"`
}

func main() {
	nc, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	_, err = nc.QueueSubscribe("driftless.v1.plugin.greetings", "greetings", func(message *nats.Msg) {
		answer := map[string]any{"kind": "rendered", "version": "1", "variables": []string{}}
		if manifests, err := render(nc, message.Data); err == nil {
			answer["manifests"] = manifests
		} else {
			answer = map[string]any{"kind": "failed", "message": err.Error()}
		}
		text, _ := json.Marshal(answer)
		_ = message.Respond(text)
	})
	if err != nil {
		log.Fatal(err)
	}
	select {}
}

func render(nc *nats.Conn, request []byte) (string, error) {
	var job job
	if err := json.Unmarshal(request, &job); err != nil {
		return "", err
	}
	var packed bytes.Buffer
	for _, subject := range job.Files.Chunks {
		piece, err := nc.Request(subject, nil, 5*time.Second)
		if err != nil {
			return "", err
		}
		packed.Write(piece.Data)
	}
	unpacked, err := gzip.NewReader(&packed)
	if err != nil {
		return "", err
	}
	var files []struct {
		Path    string `json:"path"`
		Content []byte `json:"content"` // Base64, which encoding/json reads.
	}
	if err := json.NewDecoder(unpacked).Decode(&files); err != nil {
		return "", err
	}
	var manifests strings.Builder
	for _, file := range files {
		name, is := strings.CutSuffix(path.Base(file.Path), ".greeting")
		if !is {
			continue
		}
		text := strings.TrimSpace(string(file.Content))
		if text == "" {
			return "", fmt.Errorf("%s greets nobody", file.Path)
		}
		object := map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name},
			"data": map[string]any{"greeting": text + job.Environment["PARAM_PUNCTUATION"]},
		}
		document, _ := json.Marshal(object)
		fmt.Fprintf(&manifests, "---\n%s\n", document)
	}
	return manifests.String(), nil
}
