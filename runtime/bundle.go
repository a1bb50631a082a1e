package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// LoadSpec reads the configuration of the bundle dir (runtime-spec, "Bundle").
// Errors name the file, the line and the field.
func LoadSpec(dir string) (*specs.Spec, error) {
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%w: a bundle is a directory with a config.json and a root", err)
		}
		return nil, err
	}
	spec := &specs.Spec{}
	if err := decode(path, data, spec); err != nil {
		return nil, err
	}
	return spec, nil
}

// LoadProcess reads a process to execute, as `exec --process` takes it.
func LoadProcess(path string) (*specs.Process, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	process := &specs.Process{}
	if err := decode(path, data, process); err != nil {
		return nil, err
	}
	return process, nil
}

// decode gives JSON errors a place. Fields that the specification does not
// know are allowed by it ("Extensibility").
func decode(path string, data []byte, into any) error {
	err := json.Unmarshal(data, into)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%s: %w", path, position(data, syntax.Offset), err)
	case errors.As(err, &kind):
		return fmt.Errorf("%s:%s: %s: %s where a %s belongs", path, position(data, kind.Offset), kind.Field, kind.Value, kind.Type)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// position is "line:column" of the byte before offset.
func position(data []byte, offset int64) string {
	before := data[:min(max(offset-1, 0), int64(len(data)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("%d:%d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}
