package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// maxFile bounds the files that are read, in bytes.
const maxFile = 1 << 20

// Sources are where values come from.
type Sources struct {
	// File is the path of the YAML file; empty without one.
	File string
	// Getenv looks up an environment variable; nil is an empty environment.
	Getenv func(name string) (string, bool)
	// Flag looks up a flag that was set; nil is an empty command line.
	Flag func(name string) (string, bool)
}

// Load reads the configuration. The error tells all that is wrong with it, one
// fault a line.
func Load(s Sources) (*Config, error) {
	c := new(Config)
	if err := load(reflect.ValueOf(c).Elem(), s); err != nil {
		return nil, err
	}
	return c, c.check()
}

// load sets all fields of a struct.
func load(root reflect.Value, s Sources) error {
	fields := fieldsOf(root.Type(), nil, nil)
	if err := setDefaults(root, fields); err != nil {
		return err
	}
	var errs []error
	if s.File != "" {
		content, err := readFile(s.File)
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		errs = append(errs, applyFile(root, fields, s.File, content)...)
	}
	errs = append(errs, applyLookup(root, fields, Field.Env, s.Getenv, "")...)
	errs = append(errs, applyLookup(root, fields, Field.Flag, s.Flag, "--")...)
	return errors.Join(errs...)
}

func setDefaults(root reflect.Value, fields []Field) error {
	for _, f := range fields {
		if f.Default == "" {
			continue
		}
		if err := f.set(root, f.Default); err != nil {
			return fmt.Errorf("default of %s: %w", f.Key(), err)
		}
	}
	return nil
}

// applyLookup sets the fields that a source of texts has.
func applyLookup(root reflect.Value, fields []Field, name func(Field) string, lookup func(string) (string, bool), prefix string) []error {
	if lookup == nil {
		return nil
	}
	var errs []error
	for _, f := range fields {
		text, ok := lookup(name(f))
		if !ok {
			continue
		}
		if err := f.set(root, text); err != nil {
			errs = append(errs, fmt.Errorf("%s%s: %w", prefix, name(f), err))
		}
	}
	return errs
}

// readSecret reads the file of a secret, whose last line break is not part of
// it.
func readSecret(path string) (Secret, error) {
	content, err := readFile(path)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	return NewSecret(strings.TrimRight(string(content), "\r\n")), nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s: expected at most %d bytes", path, maxFile)
	}
	return content, nil
}

// Changed returns the fields in which two configurations differ.
func Changed(a, b *Config) []Field {
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	var changed []Field
	for _, f := range Fields() {
		if !f.FromFile && !reflect.DeepEqual(va.FieldByIndex(f.index).Interface(), vb.FieldByIndex(f.index).Interface()) {
			changed = append(changed, f)
		}
	}
	return changed
}
