// A chart's files as Helm's directory loader gives them (pkg/chart/v2/loader/directory.go): .helmignore, links followed,
// byte order marks dropped; vendored archives are unpacked here, where there are limits.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/ignore"
)

type chartFile = archive.BufferedFile

const chartDepthMax = 64

func (h *helmRender) chartFiles(dir string) ([]*chartFile, error) {
	rules := ignore.Empty()
	if _, there := h.bundle.entries[join(dir, ".helmignore")]; there {
		target, ok, err := h.bundle.resolve(join(dir, ".helmignore"))
		if err != nil {
			return nil, err
		}
		if ok {
			if rules, err = ignore.Parse(bytes.NewReader(h.bundle.read(target))); err != nil {
				return nil, &Failure{Code: "MANIFEST_INVALID", File: join(dir, ".helmignore"), Message: "A rule of .helmignore is not valid."}
			}
		}
	}
	rules.AddDefaults()
	var files []*chartFile
	var walk func(real, name string, depth int) error
	walk = func(real, name string, depth int) error {
		if depth > chartDepthMax {
			return limitFailure("depth", real, "The chart's directories are nested too deeply.")
		}
		names, err := h.chartNames(real, name)
		if err != nil {
			return err
		}
		for _, child := range names {
			relative := join(name, child)
			target, kind, err := h.bundle.find(join(real, child))
			if err != nil {
				return err
			}
			if kind == foundSubmodule {
				h.warn(join(real, child), "A submodule is not followed.")
			}
			if kind == foundNothing {
				h.warn(join(real, child), "A symbolic link leads to no file; it is skipped.")
			}
			if kind != foundFile && kind != foundDirectory || rules.Ignore(relative, fileInfo{child, kind == foundDirectory}) {
				continue
			}
			if kind == foundDirectory {
				if err := walk(target, relative, depth+1); err != nil {
					return err
				}
				continue
			}
			if len(files) >= archiveFilesMax {
				return limitFailure("files", "", "The chart has more than %d files.", archiveFilesMax)
			}
			if isChartArchive(relative) {
				content := h.bundle.read(target)
				unpacked, err := h.unpackChart(target, content, relative, 0)
				if err != nil {
					return err
				}
				files = append(files, unpacked...)
				continue
			}
			if onlyForFiles(relative) {
				h.unread = append(h.unread, target)
			} else {
				h.bundle.read(target)
			}
			content := bytes.TrimPrefix(h.bundle.entries[target].bytes, utf8BOM)
			files = append(files, &chartFile{Name: relative, Data: content})
		}
		return nil
	}
	return files, walk(dir, "", 0)
}

// chartNames lists a directory of a chart. Where a new name could only be shown by `.Files`, the listing is no input yet:
// of a chart's own directory the names that mean something are looked up instead.
func (h *helmRender) chartNames(real, name string) ([]string, error) {
	within := inSubchart(name)
	first, _, _ := strings.Cut(within, "/")
	if first == "templates" || first == "crds" || first == "charts" || !h.bundle.isComplete(real) {
		return h.bundle.list(real)
	}
	h.unlisted = append(h.unlisted, real)
	if within == "" {
		for _, known := range []string{
			"Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", "requirements.yaml", "requirements.lock",
			".helmignore", "templates", "crds", "charts",
		} {
			if _, err := h.bundle.exists(join(real, known)); err != nil {
				return nil, err
			}
		}
	}
	return h.bundle.children[real], nil
}

// inSubchart gives the name within the subchart that it belongs to, if any.
func inSubchart(name string) string {
	for {
		rest, sub := strings.CutPrefix(name, "charts/")
		if !sub {
			return name
		}
		_, name, _ = strings.Cut(rest, "/")
	}
}

// isChartArchive: charts/x.tgz, at any depth of subcharts.
func isChartArchive(name string) bool {
	return strings.HasSuffix(name, ".tgz") && path.Base(path.Dir(name)) == "charts"
}

// onlyForFiles: neither template, metadata, values, schema nor CRD, of this chart or a subchart.
func onlyForFiles(name string) bool {
	name = inSubchart(name)
	switch name {
	case "Chart.yaml", "Chart.lock", "values.yaml", "values.schema.json", "requirements.yaml", "requirements.lock":
		return false
	}
	return !strings.HasPrefix(name, "templates/") && !strings.HasPrefix(name, "crds/")
}

// unpackChart gives an archive's files as those of a directory of its name, so that Helm's own reader has nothing to unpack.
func (h *helmRender) unpackChart(file string, content []byte, name string, depth int) ([]*chartFile, error) {
	if depth > archiveDepthMax {
		return nil, limitFailure("archive", file, "Archives are nested too deeply in the chart's archive.")
	}
	packed, err := unpack(file, content)
	if err != nil {
		return nil, err
	}
	files := make([]*chartFile, 0, len(packed))
	for _, inner := range packed {
		relative := inner.name
		if name != "" {
			// No file of the chart has this name: it is the archive's.
			relative = name + ".unpacked/" + inner.name
		}
		if isChartArchive(inner.name) {
			more, err := h.unpackChart(file, inner.bytes, relative, depth+1)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
			continue
		}
		files = append(files, &chartFile{Name: relative, Data: inner.bytes})
	}
	return files, nil
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
