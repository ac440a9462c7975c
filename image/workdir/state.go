package workdir

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// State is what is remembered of a directory: which version it was last equal
// to. It is kept outside of the directory, which holds the image and nothing
// else.
type State struct {
	Directory string `json:"directory"` // absolute, without symbolic links
	// Repository and Digest name the version, as HOST/REPOSITORY and digest.
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	// Fingerprint is of the directory when it was that version, in hexadecimal;
	// empty where it was changing.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// statePath returns the file that the state of a directory is kept in: below
// $XDG_STATE_HOME, or ~/.local/state (XDG Base Directory Specification).
func statePath(dir string) (resolved, file string, err error) {
	if resolved, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	if resolved, err = filepath.EvalSymlinks(resolved); err != nil {
		return "", "", err
	}
	home := os.Getenv("XDG_STATE_HOME")
	if home == "" {
		if home, err = os.UserHomeDir(); err != nil {
			return "", "", err
		}
		home = filepath.Join(home, ".local", "state")
	}
	sum := sha256.Sum256([]byte(resolved))
	return resolved, filepath.Join(home, "cloudlets", "directories", hex.EncodeToString(sum[:16])+".json"), nil
}

// Load returns what is remembered of a directory: the zero State if nothing is.
func Load(dir string) (State, error) {
	resolved, file, err := statePath(dir)
	if err != nil {
		return State{}, fmt.Errorf("find the state of %s: %w", dir, err)
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("read the state of %s: %w", dir, err)
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return State{}, fmt.Errorf("read the state of %s in %s (remove the file to forget it): %w", dir, file, err)
	}
	if s.Directory != resolved {
		return State{}, nil
	}
	return s, nil
}

// Save remembers a state of a directory, in place of an older one.
func (s State) Save(dir string) error {
	resolved, file, err := statePath(dir)
	if err != nil {
		return fmt.Errorf("keep the state of %s: %w", dir, err)
	}
	s.Directory = resolved
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return fmt.Errorf("keep the state of %s: %w", dir, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "new-*")
	if err != nil {
		return fmt.Errorf("keep the state of %s: %w", dir, err)
	}
	_, err = temporary.Write(append(data, '\n'))
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep the state of %s: %w", dir, err), os.Remove(temporary.Name()))
	}
	return nil
}

// Is reports whether the state is of a directory with this fingerprint.
func (s State) Is(f Fingerprint) bool { return s.Fingerprint == hex.EncodeToString(f.Sum[:]) }

// Remember sets the fingerprint of a settled directory.
func (s *State) Remember(f Fingerprint) { s.Fingerprint = hex.EncodeToString(f.Sum[:]) }
