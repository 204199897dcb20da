// Tells by which files a source is a plugin's, in the bucket that the renderers follow.
package main

import (
	"bytes"
	"encoding/json"
	"log"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// bucket is BUCKETS.plugins of packages/contracts/src/streams.ts; the services make it.
const bucket = "PLUGINS"

type pluginDeclaration struct {
	Name     string `json:"name"`
	Discover struct {
		FileName string `json:"fileName,omitempty"`
		Glob     string `json:"glob,omitempty"`
	} `json:"discover"`
}

// declare says it again whenever it is lost. It is never taken back: whose adapter is away is waited for.
func declare(nc *nats.Conn, plugins []*plugin) {
	texts := map[string][]byte{}
	for _, p := range plugins {
		discover := &p.Spec.Discover
		if discover.FileName == "" && discover.Find.Glob == "" {
			if len(discover.Find.Command) > 0 {
				log.Printf("%s: spec.discover.find.command is not honoured; name the plugin in the Application", p.Metadata.Name)
			}
			continue
		}
		said := pluginDeclaration{Name: p.names()[0]}
		said.Discover.FileName, said.Discover.Glob = discover.FileName, discover.Find.Glob
		text, _ := json.Marshal(said)
		texts[strings.ReplaceAll(said.Name, ".", "_")] = text
	}
	if len(texts) == 0 {
		return
	}
	js, err := nc.JetStream()
	if err != nil {
		log.Print(err)
		return
	}
	for ; ; time.Sleep(2 * time.Second) {
		kv, err := js.KeyValue(bucket)
		if err != nil {
			continue
		}
		for key, text := range texts {
			if entry, err := kv.Get(key); err == nil && bytes.Equal(entry.Value(), text) {
				continue
			}
			_, _ = kv.Put(key, text)
		}
	}
}
