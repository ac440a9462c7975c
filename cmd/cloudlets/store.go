package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/journal"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// storeFlags say where a registry keeps what it has.
type storeFlags struct {
	data     string
	database string
	s3       config.S3
	log      *slog.Logger // of the blob driver; nil is none
}

func (f *storeFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.data, "data", defaultData(), "directory for everything that is kept")
	cmd.Flags().StringVar(&f.database, "database", "", "PostgreSQL database for the metadata, postgres://… (default: SQLite in the data directory)")
	for _, field := range config.Fields() {
		for key, value := range map[string]*string{
			"s3.endpoint": &f.s3.Endpoint, "s3.bucket": &f.s3.Bucket, "s3.prefix": &f.s3.Prefix, "s3.region": &f.s3.Region,
		} {
			if field.Key() == key {
				cmd.Flags().StringVar(value, field.Flag(), field.Default, field.Help)
			}
		}
	}
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
	meta    *metadata.Store
	blobs   *blobstore.Store
	objects *objects
}

func (s *store) Close() error { return errors.Join(s.meta.Close(), s.objects.close()) }

// objects is the driver of the blobs, open.
type objects struct {
	driver blobstore.Driver
	place  string                                // for messages
	id     func(context.Context) (string, error) // tells these objects from others
	close  func() error

	redirect registry.Redirector // nil: the registry sends all blobs itself
}

// open opens the store that the flags name.
func (f storeFlags) open(ctx context.Context, o metadata.Options) (*store, error) {
	s, err := f.openUnbound(ctx, o)
	if err != nil {
		return nil, err
	}
	id, err := s.objects.id(ctx)
	if err == nil {
		err = journal.Bind(ctx, s.meta, s.objects.driver, id)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("blobs in %s: %w", s.objects.place, err), s.Close())
	}
	return s, nil
}

// openUnbound opens the store whatever the database belongs to.
func (f storeFlags) openUnbound(ctx context.Context, o metadata.Options) (_ *store, err error) {
	s := new(store)
	if s.objects, err = f.openObjects(ctx); err != nil {
		return nil, err
	}
	if s.meta, err = f.openMetadata(ctx, o); err != nil {
		return nil, errors.Join(err, s.objects.close())
	}
	if s.blobs, err = blobstore.New(s.objects.driver, s.meta); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// journals is what keeps the journals of a store.
func (f storeFlags) journals(s *store) journal.Config {
	return journal.Config{Metadata: s.meta, Blobs: s.blobs, Spool: f.data, Log: f.log}
}

func (f storeFlags) openObjects(ctx context.Context) (*objects, error) {
	if f.s3.Endpoint != "" {
		return f.openBucket(ctx)
	}
	driver, err := file.New(f.data)
	if err != nil {
		return nil, err
	}
	return &objects{
		driver: driver, place: f.data,
		id:    func(context.Context) (string, error) { return storeID(f.data) },
		close: func() error { return nil },
	}, nil
}

// openBucket opens the bucket. The data directory holds what else there is.
func (f storeFlags) openBucket(ctx context.Context) (*objects, error) {
	spool := filepath.Join(f.data, "spool")
	if err := os.MkdirAll(spool, 0o750); err != nil {
		return nil, fmt.Errorf("make the spool: %w", err)
	}
	log := f.log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	driver, err := s3.New(ctx, s3.Config{
		Endpoint: f.s3.Endpoint, Bucket: f.s3.Bucket, Prefix: f.s3.Prefix, Region: f.s3.Region,
		PartSize: f.s3.PartSize, EqualParts: f.s3.EqualParts, NoChecksums: !f.s3.Checksums,
		SpoolDir: spool, SpoolSize: f.s3.SpoolSize, CacheSize: f.s3.CacheSize, Log: log,
	})
	if err != nil {
		return nil, err
	}
	o := &objects{
		driver: driver, place: "bucket " + f.s3.Bucket + " at " + f.s3.Endpoint,
		id: driver.Identity, close: driver.Close,
	}
	if f.s3.Redirect {
		redirects, err := driver.Redirects(ctx, s3.RedirectConfig{
			Endpoint: f.s3.RedirectEndpoint, MinSize: f.s3.RedirectMinSize, Life: f.s3.RedirectExpiry,
		})
		if err != nil {
			return nil, errors.Join(err, driver.Close())
		}
		o.redirect = redirects
	}
	return o, nil
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
