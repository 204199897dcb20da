// Chart archives, unpacked into memory under limits of bytes, entries and ratio, with the checks of Helm's own reader
// (pkg/chart/loader/archive), which knows no limit but the bytes of each.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	// unpackedRoot is where a chart that is a source of its own stands in the bundle. Its files are no inputs: the archive is.
	unpackedRoot    = ".git/chart"
	archiveBytesMax = 64 << 20
	archiveFilesMax = 10_000
	// Text packs some 10 to 1; what unfolds to more than this is made to.
	archiveRatioMax = 200
	archiveDepthMax = 8
)

var (
	drivePath = regexp.MustCompile(`^[a-zA-Z]:/`)
	utf8BOM   = []byte{0xEF, 0xBB, 0xBF}
)

type packedFile struct {
	name  string
	bytes []byte
}

// unpack gives an archive's files by their paths below its one top directory.
func unpack(file string, content []byte) ([]packedFile, error) {
	invalid := func(message string) error {
		return &Failure{Code: "MANIFEST_INVALID", File: file, Message: message}
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, invalid("The chart's archive is not gzipped.")
	}
	left := min(archiveBytesMax, max(1<<20, len(content)*archiveRatioMax))
	limited := &io.LimitedReader{R: unzipped, N: int64(left)}
	reader := tar.NewReader(limited)
	var files []packedFile
	for {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if limited.N <= 0 {
				return nil, limitFailure("archive", file, "The chart's archive unfolds to too many bytes.")
			}
			return nil, invalid("The chart's archive is damaged.")
		}
		if header.FileInfo().IsDir() || header.Typeflag == tar.TypeXGlobalHeader || header.Typeflag == tar.TypeXHeader {
			continue
		}
		delimiter := "/"
		if strings.ContainsRune(header.Name, '\\') {
			delimiter = `\`
		}
		top, name, _ := strings.Cut(header.Name, delimiter)
		name = strings.ReplaceAll(name, delimiter, "/")
		if top == "Chart.yaml" || path.IsAbs(name) || strings.HasPrefix(path.Clean(name), "..") || drivePath.MatchString(name) || path.Clean(name) == "." {
			return nil, &Failure{Code: "RENDER_PATH_DENIED", File: file, Message: "The chart's archive has a file outside its directory."}
		}
		if len(files) >= archiveFilesMax {
			return nil, limitFailure("archive", file, "The chart's archive has more than %d files.", archiveFilesMax)
		}
		data, err := io.ReadAll(reader)
		if err != nil || int64(len(data)) < header.Size {
			if limited.N <= 0 || errors.Is(err, io.ErrUnexpectedEOF) {
				return nil, limitFailure("archive", file, "The chart's archive unfolds to too many bytes.")
			}
			return nil, invalid("The chart's archive is damaged.")
		}
		files = append(files, packedFile{path.Clean(name), bytes.TrimPrefix(data, utf8BOM)})
	}
	if len(files) == 0 {
		return nil, invalid("The chart's archive is empty.")
	}
	return files, nil
}

// mountArchive makes an archive's content a tree of its own in the bundle.
func (b *bundle) mountArchive(file string) error {
	files, err := unpack(file, b.read(file))
	if err != nil {
		return err
	}
	b.mounts = append(b.mounts, unpackedRoot)
	b.complete = append(b.complete, unpackedRoot)
	for _, packed := range files {
		p := join(unpackedRoot, packed.name)
		if _, twice := b.entries[p]; !twice {
			b.addToParents(p)
		}
		b.entries[p] = entry{kind: regular, bytes: packed.bytes}
	}
	for _, names := range b.children {
		slices.Sort(names)
	}
	return nil
}
