package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peapod/peapod/internal/nearest"
)

// nearFile guesses which file somebody meant who gave a path that leads nowhere:
// "; did you mean web.json?", or what there is to choose from. good tells which
// files it may be.
func nearFile(path string, good func(os.DirEntry) bool) string {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		if outer := strings.TrimRight(dir, "/"); outer != "" && !exists(outer) {
			return fmt.Sprintf("; there is no directory %s", outer)
		}
		return ""
	}
	var names []string
	for _, e := range entries {
		if good(e) {
			names = append(names, e.Name())
		}
	}
	near := nearest.Name(name, names)
	if i := slices.IndexFunc(names, func(n string) bool { return strings.TrimSuffix(n, filepath.Ext(n)) == name }); i >= 0 {
		near = names[i] // all but .json
	}
	const few = 5
	switch {
	case near != "":
		return fmt.Sprintf("; did you mean %s?", dir+near)
	case len(names) > 0 && len(names) <= few:
		return "; there is " + strings.Join(names, ", ")
	}
	return ""
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// orElse adds otherwise to a guess that is none.
func orElse(guess, otherwise string) string {
	if strings.Contains(guess, "did you mean") {
		return guess
	}
	return guess + otherwise
}

// isSpec tells whether a file's name is that of a spec.
func isSpec(e os.DirEntry) bool {
	return !e.IsDir() && slices.Contains([]string{".json", ".yaml", ".yml"}, filepath.Ext(e.Name()))
}
