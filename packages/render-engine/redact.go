// Libraries' error messages, fit to be shown: one sentence, with its place split off, and without values that may be secret.
package main

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const messageBytesMax = 600

// redact drops secrets from a message, the longest first; what is shorter than four characters is nobody's secret.
func redact(message string, secrets []string) string {
	secrets = slices.Clone(secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range slices.Compact(secrets) {
		if len(secret) >= 4 {
			message = strings.ReplaceAll(message, secret, "…")
			// As %q writes it.
			if quoted := strconv.Quote(secret); quoted != `"`+secret+`"` {
				message = strings.ReplaceAll(message, quoted[1:len(quoted)-1], "…")
			}
		}
	}
	if len(message) > messageBytesMax {
		message = strings.ToValidUTF8(message[:messageBytesMax], "") + "…"
	}
	return message
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// texts collects the texts within a value.
func texts(value any, into *[]string) {
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			texts(member, into)
		}
	case []any:
		for _, item := range v {
			texts(item, into)
		}
	case string:
		*into = append(*into, v)
	case json.Number:
		*into = append(*into, string(v))
	}
}

var jsonnetPosition = regexp.MustCompile(`([^\s:()]+):\(?(\d+)[:)]`)

func jsonnetPlace(message, file string) (string, int) {
	found := jsonnetPosition.FindStringSubmatch(message)
	if found == nil {
		return file, 0
	}
	line, _ := strconv.Atoi(found[2])
	return found[1], line
}

// invalidOutput is about what a tool made of files, in which the document's own line numbers mean nothing.
func invalidOutput(err error, file, prefix string) error {
	var wrong *problem
	if errors.As(err, &wrong) {
		return &Failure{Code: "MANIFEST_INVALID", File: file, Message: prefix + wrong.message}
	}
	var failure *Failure
	if errors.As(err, &failure) {
		if failure.File == "" {
			failure.File = file
		}
		failure.Line = 0
	}
	return err
}
