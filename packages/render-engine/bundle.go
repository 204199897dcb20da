// The bundle: the part of a repository's tree that the parent sent, and the record of what was read of it. Three answers
// to a look-up are possible: it is there, it is known not to be there, or nobody knows yet and the parent must say.
package main

import (
	"path"
	"slices"
	"strings"
)

type entryKind int

const (
	regular entryKind = iota
	link
	submodule
)

type entry struct {
	kind  entryKind
	bytes []byte
}

// Reads are a source's inputs: when none of them changes, neither does the result (DESIGN §3).
type Reads struct {
	Files    []string `json:"files"`
	Listings []string `json:"listings"`
	Missed   []string `json:"missed"`
}

type bundle struct {
	entries  map[string]entry
	children map[string][]string
	complete []string
	absent   map[string]bool
	// mounts are the directories below .git at which the trees of other sources stand.
	mounts []string
	reads  Reads
	seen   map[string]bool
}

func newBundle(request *RenderRequest, raw []byte) (*bundle, *Failure) {
	b := &bundle{
		entries:  make(map[string]entry, len(request.Files)),
		children: map[string][]string{},
		complete: make([]string, 0, len(request.Complete)),
		absent:   make(map[string]bool, len(request.Absent)),
		seen:     map[string]bool{},
	}
	b.reads = Reads{Files: []string{}, Listings: []string{}, Missed: []string{}}
	for _, file := range request.Files {
		if file.Size < 0 || file.Size > len(raw) {
			return nil, &Failure{Code: "INTERNAL", Message: "The bundle's bytes do not fit its list of files."}
		}
		e := entry{kind: regular, bytes: raw[:file.Size]}
		if file.Link {
			e.kind = link
		} else if file.Submodule {
			e.kind = submodule
		}
		raw = raw[file.Size:]
		if _, twice := b.entries[file.Path]; !twice {
			b.addToParents(file.Path)
		}
		b.entries[file.Path] = e
	}
	if len(raw) != 0 {
		return nil, &Failure{Code: "INTERNAL", Message: "The bundle has bytes that belong to no file."}
	}
	for _, names := range b.children {
		slices.Sort(names)
	}
	for _, dir := range request.Complete {
		b.complete = append(b.complete, clean(dir))
	}
	for _, dir := range request.Refs {
		if dir = clean(dir); dir != "" {
			b.mounts = append(b.mounts, dir)
		}
	}
	for _, p := range request.Absent {
		b.absent[p] = true
	}
	return b, nil
}

func (b *bundle) addToParents(p string) {
	for p != "" {
		dir, name := "", p
		if i := strings.LastIndexByte(p, '/'); i >= 0 {
			dir, name = p[:i], p[i+1:]
		}
		if dir == "" && name == ".git" {
			// What is mounted there belongs to no directory of this tree: a chart at the root does not have it.
			return
		}
		known := b.children[dir] != nil
		b.children[dir] = append(b.children[dir], name)
		if known {
			return
		}
		p = dir
	}
}

// clean gives the repository's root as "", everything else without leading or trailing slashes.
func clean(p string) string {
	p = path.Clean(p)
	if p == "." || p == "/" {
		return ""
	}
	return p
}

func (b *bundle) known(p string) bool {
	if _, there := b.entries[p]; there || b.absent[p] || b.children[p] != nil {
		return true
	}
	return b.isComplete(p)
}

// isComplete: that the whole repository is here says nothing about the trees mounted below .git.
func (b *bundle) isComplete(p string) bool {
	mount := b.mountOf(p)
	for _, whole := range b.complete {
		if b.mountOf(whole) == mount && within(whole, p) {
			return true
		}
	}
	return false
}

func within(dir, p string) bool { return dir == "" || p == dir || strings.HasPrefix(p, dir+"/") }

// mountOf gives the root of the tree that a path belongs to; no link and no `..` leads out of it.
func (b *bundle) mountOf(p string) string {
	if !strings.HasPrefix(p, ".git/") {
		return ""
	}
	for _, mount := range b.mounts {
		if within(mount, p) {
			return mount
		}
	}
	return ""
}

// beneath joins a path written by a person to a directory of the tree at root; ok is false when it leaves that tree.
func beneath(root, dir, p string) (joined string, ok bool) {
	if strings.HasPrefix(p, "/") {
		dir, p = root, strings.TrimLeft(p, "/")
	}
	relative := strings.TrimPrefix(strings.TrimPrefix(dir, root), "/")
	if relative == "" {
		relative = "."
	}
	if strings.ContainsRune(p, 0) || escapes(relative, p) {
		return "", false
	}
	return join(dir, p), true
}

// list gives the sorted names in a directory, and nil where there is none.
func (b *bundle) list(dir string) ([]string, error) {
	if !b.isComplete(dir) {
		return nil, &needError{paths: []string{dir}}
	}
	b.record(&b.reads.Listings, dir)
	return b.children[dir], nil
}

// exists is a look-up by name alone.
func (b *bundle) exists(p string) (bool, error) {
	if !b.known(p) {
		return false, &needError{paths: []string{p}}
	}
	_, there := b.entries[p]
	if !there && b.children[p] == nil {
		b.record(&b.reads.Missed, p)
		return false, nil
	}
	return there, nil
}

// resolve follows symbolic links to a regular file; ok is false when the link leads nowhere or to something else.
func (b *bundle) resolve(p string) (target string, ok bool, err error) {
	target, kind, err := b.find(p)
	return target, kind == foundFile, err
}

type foundKind int

const (
	foundNothing foundKind = iota
	foundFile
	foundDirectory
	foundSubmodule
)

// find follows symbolic links to what a path means.
func (b *bundle) find(p string) (target string, kind foundKind, err error) {
	for range 40 {
		if dir, through := b.linkOnTheWay(p); through {
			if b.linkEscapes(dir) {
				b.record(&b.reads.Files, dir)
				return "", foundNothing, linkDenied(dir)
			}
			next := join(path.Dir(dir), string(b.entries[dir].bytes))
			b.record(&b.reads.Files, dir)
			rest := strings.TrimPrefix(p[len(dir):], "/")
			p = clean(path.Join(next, rest))
			continue
		}
		if !b.known(p) {
			return "", foundNothing, &needError{paths: []string{p}}
		}
		e, there := b.entries[p]
		switch {
		case there && e.kind == regular:
			return p, foundFile, nil
		case there:
			return p, foundSubmodule, nil
		case b.children[p] != nil || p == "":
			return p, foundDirectory, nil
		}
		b.record(&b.reads.Missed, p)
		return p, foundNothing, nil
	}
	return "", foundNothing, nil
}

// linkOnTheWay finds the first component of a path that is itself a link.
func (b *bundle) linkOnTheWay(p string) (string, bool) {
	for i := 0; i <= len(p); i++ {
		if i == len(p) || p[i] == '/' {
			if e, there := b.entries[p[:i]]; there && e.kind == link {
				return p[:i], true
			}
		}
	}
	return "", false
}

func (b *bundle) read(p string) []byte {
	b.record(&b.reads.Files, p)
	return b.entries[p].bytes
}

func (b *bundle) record(list *[]string, p string) {
	if within(unpackedRoot, p) {
		return
	}
	key := p
	if list == &b.reads.Listings {
		key = p + "/"
	}
	if !b.seen[key] {
		b.seen[key] = true
		*list = append(*list, p)
	}
}

// refuseLinksOutside refuses absolute targets and targets that leave the repository on any step of their way, as Argo CD
// does before it renders anything: what lies outside the checkout is the machine's, not the repository's.
func (b *bundle) refuseLinksOutside(dir string) error {
	for p, e := range b.entries {
		if e.kind == link && within(dir, p) && b.linkEscapes(p) {
			b.record(&b.reads.Files, p)
			return linkDenied(p)
		}
	}
	return nil
}

func (b *bundle) linkEscapes(p string) bool {
	target := string(b.entries[p].bytes)
	inTree := strings.TrimPrefix(strings.TrimPrefix(p, b.mountOf(p)), "/")
	return strings.HasPrefix(target, "/") || escapes(path.Dir(inTree), target)
}

func linkDenied(p string) *Failure {
	return &Failure{Code: "RENDER_PATH_DENIED", Message: "A symbolic link leads out of the repository.", File: p}
}

func escapes(dir, target string) bool {
	depth := 0
	if dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return true
			}
		default:
			depth++
		}
	}
	return false
}

func join(dir, name string) string { return clean(path.Join(dir, name)) }
