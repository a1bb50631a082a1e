package results

import (
	"errors"
	"os"
	"path/filepath"
)

// Write puts the page NAME.md and its chart NAME.svg into dir; each replaces the
// old one whole.
func Write(dir, name, page, chart string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		replace(filepath.Join(dir, name+".md"), page),
		replace(filepath.Join(dir, name+".svg"), chart))
}

func replace(path, content string) error {
	if err := os.WriteFile(path+".part", []byte(content), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
