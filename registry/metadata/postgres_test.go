package metadata_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/metatest"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

func TestPostgresKeepsTheContract(t *testing.T) {
	metatest.Run(t, func(t *testing.T, o metadata.Options) *metadata.Store {
		return openPostgres(t, pgtest.Database(t), o)
	})
}

func openPostgres(t testing.TB, dsn string, o metadata.Options) *metadata.Store {
	t.Helper()
	s, err := metadata.OpenPostgres(t.Context(), dsn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStoreGoesOnAfterTheServerCrashed(t *testing.T) {
	server := pgtest.Start(t)
	s := openPostgres(t, server.DSN(), metadata.Options{})
	commit := func(id string) error {
		_, err := s.CreateUpload(t.Context(), "a", id, blobstore.Upload{Key: id, Algorithm: "sha256", HashState: []byte{0}})
		return err
	}
	if err := commit("before"); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for i := range 30 { // more than there are connections
		if _, err := s.Upload(t.Context(), "a", "before"); !errors.Is(err, metadata.ErrUnavailable) {
			t.Fatalf("%d: got the error %v, want ErrUnavailable", i, err)
		}
		if err := commit("meanwhile"); !errors.Is(err, metadata.ErrUnavailable) {
			t.Fatalf("%d: got the error %v, want ErrUnavailable", i, err)
		}
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"after", "later"} {
		if err := commit(id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Upload(t.Context(), "a", "before"); err != nil {
		t.Fatal(err)
	}
	wantLocked(t, server.DSN(), metadata.Options{Exclusive: true})
}

func TestPostgresIsSharedUnlessExclusive(t *testing.T) {
	dsn := pgtest.Database(t)
	var group sync.WaitGroup
	for range 4 { // all of them migrate at once
		group.Go(func() {
			s, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	first, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wantLocked(t, dsn, metadata.Options{Exclusive: true})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	openPostgres(t, dsn, metadata.Options{Exclusive: true})
	wantLocked(t, dsn, metadata.Options{})
}

func wantLocked(t *testing.T, dsn string, o metadata.Options) {
	t.Helper()
	s, err := metadata.OpenPostgres(t.Context(), dsn, o)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, metadata.ErrLocked) {
		t.Fatalf("got the error %v, want ErrLocked", err)
	}
}

func TestPostgresErrorDoesNotTellThePassword(t *testing.T) {
	for _, dsn := range []string{
		"postgres://user:secret@127.0.0.1:1/db",
		"postgres://user:secret@127.0.0.1:notaport/db",
	} {
		_, err := metadata.OpenPostgres(t.Context(), dsn, metadata.Options{})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got the error %v", err)
		}
	}
}

func TestPostgresTellsTheTime(t *testing.T) {
	s := openPostgres(t, pgtest.Database(t), metadata.Options{})
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if now.Year() < 2024 {
		t.Errorf("the database says that it is %v", now)
	}
}
