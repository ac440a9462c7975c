package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// storeFlags say where a registry keeps what it has.
type storeFlags struct {
	data     string
	database string
}

func (f *storeFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", defaultData(), "directory for everything that is kept")
	cmd.Flags().StringVar(&f.database, "database", "", "PostgreSQL database for the metadata, postgres://… (default: SQLite in the data directory)")
}

// defaultData returns where a registry keeps its data: below XDG_DATA_HOME.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "cloudlets")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "cloudlets-data"
	}
	return filepath.Join(home, ".local", "share", "cloudlets")
}

// store is what a registry keeps, open.
type store struct {
	meta  *metadata.Store
	blobs *blobstore.Store
}

func (s *store) Close() error { return s.meta.Close() }

// open opens the store that the flags name.
func (f storeFlags) open(ctx context.Context, o metadata.Options) (_ *store, err error) {
	driver, err := file.New(f.data)
	if err != nil {
		return nil, err
	}
	meta, err := f.openMetadata(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &store{meta: meta}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	id, err := storeID(f.data)
	if err != nil {
		return nil, err
	}
	if err := meta.Bind(ctx, id); err != nil {
		return nil, fmt.Errorf("blobs in %s: %w", f.data, err)
	}
	s.blobs, err = blobstore.New(driver, meta)
	return s, err
}

func (f storeFlags) openMetadata(ctx context.Context, o metadata.Options) (*metadata.Store, error) {
	if f.database == "" {
		return metadata.OpenSQLite(ctx, filepath.Join(f.data, "metadata.sqlite"), o)
	}
	return metadata.OpenPostgres(ctx, f.database, o)
}

// storeIDFile names the file that tells one blob store from another, so that a
// database is not used with the blobs of another one.
const storeIDFile = "store-id"

// storeID returns what tells the blobs in a directory from those in another. It
// is made once.
func storeID(dir string) (string, error) {
	path := filepath.Join(dir, storeIDFile)
	id, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(id)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the id of the store: %w", err)
	}
	// As a link it is there whole or not at all, and the first of two wins.
	temp := path + "." + rand.Text()
	defer os.Remove(temp)
	if err := os.WriteFile(temp, []byte(rand.Text()+"\n"), 0o640); err != nil {
		return "", fmt.Errorf("write the id of the store: %w", err)
	}
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("write the id of the store: %w", err)
	}
	id, err = os.ReadFile(path)
	return strings.TrimSpace(string(id)), err
}
